"""Measure a few epochs of some networks, and predict from them how long others take."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from statistics import median
from typing import Any, Self

import numpy as np
from sklearn.linear_model import LinearRegression

from models.data.encoding.choice import STANDARD, CategoryEncoding, Encoding, NumericEncoding
from models.data.encoding.cross_fitting import MAX_TARGETS
from models.data.encoding.numbers import quantile_edges
from models.networks.inputs import Inputs
from models.networks.size import Size, size_of
from models.space.hyperparameters import TrialValues, value
from models.trials.data import PreparedFold
from models.trials.run import PeakMemory
from models.trials.scoring import report_run
from models.trials.spec import Objective
from models.trials.trainers.base import Array, EpochReport, Run, TrainingData
from models.trials.trainers.choice import choose_trainer

# Multiply-adds of one epoch of a calibration: about 0.2 s of one core.
_MAX_EPOCH_PRODUCTS = 4e9
_MIN_EPOCHS = 2  # the first one also builds and traces
_MAX_EPOCHS = 40
MAX_ORDERED = 1000  # rows that the number of bins is computed from
_MIN_SECONDS = 0.02  # of the epochs after the first


@dataclass(frozen=True, slots=True)
class Work:
    """The work of one epoch of one network."""

    size: Size
    batch: int
    rows: int  # to train on
    validation_rows: int

    @classmethod
    def of(
        cls, network: str, values: TrialValues, data: TrainingData, inputs: Inputs | None = None
    ) -> Self:
        """Return the work of the network that `values` make, on all rows of `data`.

        `inputs` are those of its encoding, where `data` has another.
        """
        size = size_of(network, values, inputs or data.inputs, data.outputs.units)
        rows = len(data.x_train)
        batch = min(int(value(values, "batch_size")), rows)
        return cls(size, batch, rows, len(data.x_validation))

    @property
    def epoch_terms(self) -> tuple[float, ...]:
        """The terms of an epoch's seconds: steps, products, numbers that the steps update."""
        steps = math.ceil(self.rows / self.batch)
        products = self.size.training_multiply_adds(self.rows)
        products += self.validation_rows * self.size.multiply_adds
        return steps, products, steps * self.size.parameters

    @property
    def setup_terms(self) -> tuple[float, ...]:
        """The terms of the seconds outside the epochs."""
        return 1.0, self.size.layers, self.size.parameters


@dataclass(frozen=True, slots=True)
class Measured:
    """The time and memory that the training of one network took."""

    work: Work  # on the measured rows
    epoch_seconds: float
    setup_seconds: float  # of a run outside its epochs, scoring included
    memory_bytes: int  # resident memory of the process, for all rows of the data


class InputsByEncoding:
    """The inputs that each encoding makes of a fold, without preparing its rows again."""

    def __init__(self, fold: PreparedFold) -> None:
        """`fold` has the encoding STANDARD."""
        self._data, self._fitted = fold.training, fold.preprocessor
        self._ordered: list[Array] | None = None
        self._known: dict[Encoding, Inputs] = {STANDARD: fold.training.inputs}

    def of(self, encoding: Encoding) -> Inputs:
        """Return the inputs; the number of bins is that of at most MAX_ORDERED rows."""
        if self._fitted.image is not None:
            return self._data.inputs
        if encoding not in self._known:
            self._known[encoding] = self._estimate(encoding)
        return self._known[encoding]

    def _estimate(self, encoding: Encoding) -> Inputs:
        fitted, units = self._fitted, self._data.outputs.units
        has_places = encoding.category is CategoryEncoding.ONE_HOT
        encoded = fitted.encoded if has_places else fitted.categories
        categories = self._data.categories if has_places else ()
        numbers = self._numbers(encoding)
        features = numbers + sum(categories) + len(encoded) * min(units, MAX_TARGETS)
        features += sum(len(text.feature_names) for text in fitted.texts)
        if encoding.missing_indicators:
            features += sum(item.has_missing for item in fitted.scaled)
        return Inputs((features,), numbers, categories)

    def _numbers(self, encoding: Encoding) -> int:
        if encoding.numeric is not NumericEncoding.PIECEWISE:
            return self._data.numbers
        if self._ordered is None:
            self._ordered = list(self._present())
        edges = [quantile_edges(column, encoding.bins) for column in self._ordered]
        return sum(max(1, len(each) - 1) for each in edges)

    def _present(self) -> Iterator[Array]:
        """Yield the sorted numbers of each component, without those that fill missing cells."""
        fill, mean, scale = self._fitted.scaling()
        filled = ((fill - mean) / scale).astype(np.float32)
        gaps = [item.has_missing for item in self._fitted.scaled for _ in item.fill]
        for column, number, has_gaps in zip(self._data.x_train.T, filled, gaps, strict=False):
            ordered = np.sort(column[column != number] if has_gaps else column)
            places = np.linspace(0, len(ordered) - 1, min(len(ordered), MAX_ORDERED))
            yield ordered[places.astype(np.int64)]


def measure(network: str, values: TrialValues, fold: PreparedFold) -> Measured:
    """Train and score `values` for a few epochs, on some rows only where all would take long."""
    data = fold.training
    whole = Work.of(network, values, data)
    few = _first_rows(data, _affordable_rows(whole))
    clock = _Clock()
    memory = PeakMemory(clock)
    started = time.perf_counter()
    run = Run(0, 0, 0, network, values, epochs=_MAX_EPOCHS)
    result = choose_trainer(network, values, few).train([run], [few], memory)[0]
    if not result.diverged:
        report_run(run, result, _scored(fold, few), Objective("loss", "min"), "")
    seconds = time.perf_counter() - started
    # A first epoch that diverges is the only one.
    epoch = median(np.diff(clock.ends)) if len(clock.ends) > 1 else seconds
    left_out = (whole.rows - len(few.x_train)) + (whole.validation_rows - len(few.x_validation))
    return Measured(
        Work.of(network, values, few),
        float(epoch),
        max(0.0, seconds - float(epoch) * len(clock.ends)),
        # Both trainers keep a copy of the rows.
        memory.bytes + left_out * int(np.prod(data.input_shape)) * data.x_train.itemsize,
    )


class CostModel:
    """Predicts the seconds of a training as sums of terms, fitted to measurements.

    The factors are not negative (Lawson and Hanson, 1974). Errors are relative, so that small
    networks weigh as much as large ones.
    """

    def __init__(self, measured: Sequence[Measured]) -> None:
        self._epoch = _fit(
            [each.work.epoch_terms for each in measured], [each.epoch_seconds for each in measured]
        )
        self._setup = _fit(
            [each.work.setup_terms for each in measured], [each.setup_seconds for each in measured]
        )

    def epoch_seconds(self, work: Work) -> float:
        """Return the seconds of one epoch."""
        return float(self._epoch @ work.epoch_terms)

    def setup_seconds(self, work: Work) -> float:
        """Return the seconds of one run outside its epochs."""
        return float(self._setup @ work.setup_terms)


class _Clock:
    """Notes when each epoch ends, and ends the run after enough of them."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def __call__(self, epoch: EpochReport) -> bool:
        self.ends.append(time.perf_counter())
        return len(self.ends) >= _MIN_EPOCHS and self.ends[-1] - self.ends[0] >= _MIN_SECONDS


def _affordable_rows(work: Work) -> int:
    rows = int(_MAX_EPOCH_PRODUCTS / work.size.training_multiply_adds(1))
    return min(work.rows, max(work.batch, rows))


def _first_rows(data: TrainingData, rows: int) -> TrainingData:
    """Return the first `rows` training rows, and validation rows in the same proportion."""
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
    """Return `fold` with the rows of `few`."""
    return replace(
        fold,
        training=few,
        training_truth=fold.training_truth[: len(few.x_train)],
        validation_truth=fold.validation_truth[: len(few.x_validation)],
    )


def _fit(terms: Sequence[Sequence[float]], seconds: Sequence[float]) -> Array:
    """Return the factors of the terms; each row of `terms` belongs to one measured figure."""
    measured = np.maximum(np.asarray(seconds), 1e-9)
    shares = np.asarray(terms, dtype=float) / measured[:, None]
    # Columns of similar size, so that the solver's tolerance suits them all.
    scale = np.maximum(shares.max(axis=0), 1e-300)
    line = LinearRegression(positive=True, fit_intercept=False)
    factors: Array = line.fit(shares / scale, np.ones(len(measured))).coef_ / scale
    return factors
