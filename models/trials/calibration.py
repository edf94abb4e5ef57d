"""Train a few epochs of a network, and tell from a few networks how long others take."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from statistics import median
from typing import Any, Self

import numpy as np
from sklearn.linear_model import LinearRegression

from models.networks.size import Size, size_of
from models.networks.values import value
from models.space.hyperparameters import TrialValues
from models.trials.data import PreparedFold
from models.trials.objective import Objective
from models.trials.peak_memory import PeakMemory
from models.trials.scoring import report_run
from models.trials.trainers.base import Array, EpochReport, Run, TrainingData
from models.trials.trainers.choice import choose_trainer

# What one epoch of a calibration multiplies at most: about 0.2 s of one core.
_EPOCH_PRODUCTS = 4e9
_EPOCHS = 2  # at least; the first one also builds and traces
_LEAST_SECONDS = 0.02  # of the epochs after the first
_MOST_EPOCHS = 40


@dataclass(frozen=True, slots=True)
class Work:
    """One epoch's work of one network."""

    size: Size
    batch: int
    rows: int  # to train on
    validation_rows: int

    @classmethod
    def of(cls, network: str, values: TrialValues, data: TrainingData) -> Self:
        """The work of the network that `values` make, on all rows of `data`."""
        size = size_of(network, values, data.input_shape, data.outputs.units)
        rows = len(data.x_train)
        batch = min(int(value(values, "batch_size")), rows)
        return cls(size, batch, rows, len(data.x_validation))

    @property
    def epoch_terms(self) -> tuple[float, ...]:
        """What an epoch's seconds are a sum of: steps, products, numbers that steps update.

        A row that is learned from goes through the network three times as much as one that is
        validated on: forward, and backward to the weights and to the signal.
        """
        steps = math.ceil(self.rows / self.batch)
        passes = 3 * self.rows + self.validation_rows
        return steps, passes * self.size.multiply_adds, steps * self.size.parameters

    @property
    def setup_terms(self) -> tuple[float, ...]:
        """What the seconds beside the epochs are a sum of."""
        return 1.0, self.size.layers, self.size.parameters


@dataclass(frozen=True, slots=True)
class Measured:
    """What the training of one network took."""

    work: Work  # on the rows that it was measured with
    epoch_seconds: float
    setup_seconds: float  # of a run beside its epochs, its scores included
    memory_bytes: int  # resident memory of the process, with every row of the data


def measure(network: str, values: TrialValues, fold: PreparedFold) -> Measured:
    """Train and score `values` for a few epochs, on the first rows where all would take long."""
    data = fold.training
    whole = Work.of(network, values, data)
    few = _first_rows(data, _affordable_rows(whole))
    clock = _Clock()
    memory = PeakMemory(clock)
    started = time.perf_counter()
    run = Run(0, 0, 0, network, values, epochs=_MOST_EPOCHS)
    result = choose_trainer(network, values).train([run], [few], memory)[0]
    if not result.diverged:
        report_run(run, result, _scored(fold, few), Objective("loss", "min"), "")
    seconds = time.perf_counter() - started
    # A first epoch that diverged is the only one.
    epoch = median(np.diff(clock.ends)) if len(clock.ends) > 1 else seconds
    left_out = (whole.rows - len(few.x_train)) + (whole.validation_rows - len(few.x_validation))
    return Measured(
        Work.of(network, values, few),
        float(epoch),
        max(0.0, seconds - float(epoch) * len(clock.ends)),
        # Both trainers hold a copy of the rows of their own.
        memory.bytes + left_out * int(np.prod(data.input_shape)) * data.x_train.itemsize,
    )


class CostModel:
    """Seconds of a training, as sums of terms fitted to what was measured.

    The factors are not negative (Lawson and Hanson, 1974), and errors count by their share, so
    that small networks weigh as much as large ones.
    """

    def __init__(self, measured: Sequence[Measured]) -> None:
        self._epoch = _fit(
            [each.work.epoch_terms for each in measured], [each.epoch_seconds for each in measured]
        )
        self._setup = _fit(
            [each.work.setup_terms for each in measured], [each.setup_seconds for each in measured]
        )

    def epoch_seconds(self, work: Work) -> float:
        """Seconds of one epoch."""
        return float(self._epoch @ work.epoch_terms)

    def setup_seconds(self, work: Work) -> float:
        """Seconds of one run beside its epochs."""
        return float(self._setup @ work.setup_terms)


class _Clock:
    """Notes when each epoch ends, and says when it has seen enough."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def __call__(self, epoch: EpochReport) -> bool:
        self.ends.append(time.perf_counter())
        return len(self.ends) >= _EPOCHS and self.ends[-1] - self.ends[0] >= _LEAST_SECONDS


def _affordable_rows(work: Work) -> int:
    rows = int(_EPOCH_PRODUCTS / (3 * work.size.multiply_adds))
    return min(work.rows, max(work.batch, rows))


def _first_rows(data: TrainingData, rows: int) -> TrainingData:
    """As many training rows, and validation rows in the same proportion."""
    if rows >= len(data.x_train):
        return data
    validated = max(1, len(data.x_validation) * rows // len(data.x_train))
    counts = {"_train": rows, "_validation": validated}
    cut: dict[str, Any] = {}
    for item in fields(data):
        array = getattr(data, item.name)
        for ending, count in counts.items():
            if item.name.endswith(ending) and array is not None:
                cut[item.name] = array[:count]
    if data.x_validation is data.x_train:
        cut |= {"x_validation": cut["x_train"], "y_validation": cut["y_train"]}
    return replace(data, **cut)


def _scored(fold: PreparedFold, few: TrainingData) -> PreparedFold:
    """`fold` with as many rows as `few` has."""
    return replace(
        fold,
        training=few,
        training_truth=fold.training_truth[: len(few.x_train)],
        validation_truth=fold.validation_truth[: len(few.x_validation)],
    )


def _fit(terms: Sequence[Sequence[float]], seconds: Sequence[float]) -> Array:
    """Factors of the terms, from one row of terms for each measured figure."""
    told = np.maximum(np.asarray(seconds), 1e-9)
    shares = np.asarray(terms, dtype=float) / told[:, None]
    # Columns of like size, so that the solver's tolerance suits them all.
    scale = np.maximum(shares.max(axis=0), 1e-300)
    line = LinearRegression(positive=True, fit_intercept=False)
    factors: Array = line.fit(shares / scale, np.ones(len(told))).coef_ / scale
    return factors
