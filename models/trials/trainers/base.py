"""The interface of a trainer, and what every trainer shares: row order, record of a run."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Protocol

import numpy as np

from models.data.preparation.tasks import Task
from models.networks.inputs import Inputs
from models.networks.outputs import Outputs
from models.networks.steps import Steps
from models.space.hyperparameters import TrialValues, value
from models.trials.monitor import VALIDATION_LOSS, Monitor
from models.trials.spec import EarlyStopping

Array = np.ndarray[Any, Any]
Floats = np.ndarray[Any, np.dtype[np.float32]]
Weights = Sequence[Array]  # of a network, in the order of keras.Model.get_weights()


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """The rows of one fold, ready for a network."""

    x_train: Array  # float32 (rows, *input_shape)
    y_train: Array  # float32 (rows,) scaled values, or int64 (rows,) class numbers
    x_validation: Array
    y_validation: Array
    outputs: Outputs
    target_scale: float = 1.0  # the target's own units in one unit of a scaled regression target
    # float32 (rows,), not negative; None is 1 for every row. Each row's loss is multiplied by its
    # weight in training and in the training loss of the history, before the mean over the batch.
    # `val_loss` and the companion metric are not weighted.
    weights_train: Array | None = None
    # float32 (rows,): the class weights of the validation rows, for `Monitor.by_class_weight`.
    weights_validation: Array | None = None
    # The number of the class that metrics count; see `models.trials.metrics.class_metrics`.
    positive_class: int | None = None
    numbers: int = 0  # of the leading features, scaled numbers
    categories: tuple[int, ...] = ()  # the places of each one-hot category that follows them

    @property
    def inputs(self) -> Inputs:
        """What one row holds."""
        return Inputs(self.input_shape, self.numbers, self.categories)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one row."""
        return tuple(self.x_train.shape[1:])


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One training of a trial: one fold, one execution."""

    fold: int
    execution: int
    seed: int
    network: str
    values: TrialValues
    epochs: int  # where training ends, counted from the start
    initial_epoch: int = 0
    schedule_epochs: int | None = None  # over which `lr_schedule` is laid; None: `epochs`
    initial_weights: Weights | None = None  # to continue from
    early_stopping: EarlyStopping | None = None
    monitor: Monitor = VALIDATION_LOSS

    def steps(self, rows: int) -> Steps:
        """Return the optimizer steps of a training on so many rows, by which rates are chosen."""
        batches = math.ceil(rows / int(value(self.values, "batch_size")))
        epochs = self.epochs if self.schedule_epochs is None else self.schedule_epochs
        return Steps(total=batches * epochs, done=batches * self.initial_epoch)


@dataclass(frozen=True, slots=True, eq=False)
class RunResult:
    """The outcome of one training. Losses and errors are in the target's own units."""

    weights: Weights  # of the best epoch
    best_epoch: int  # by the monitored metric, from 1; 0 if the first epoch diverged
    epochs: int  # where training ended
    history: Mapping[str, list[float]]  # by metric, one figure for each epoch trained here
    validation_outputs: Array  # float32 (rows, units) with the best weights
    training_outputs: Array
    parameters: int  # trained and untrained numbers
    seconds: float
    diverged: bool  # a loss or an output was not finite
    stopped: bool = False  # ended early because `report` returned True


@dataclass(frozen=True, slots=True)
class EpochReport:
    """One epoch of one run, reported while the trial is running."""

    fold: int
    execution: int
    epoch: int  # from 1
    logs: Mapping[str, float]


Report = Callable[[EpochReport], bool | None]  # returns True to end the trial here


NEEDS_COUNTS = "A Poisson loss needs targets of 0 and more, and not only of 0."


class Trainer(Protocol):
    """Trains networks. The weights and figures of a run depend on the run and its data alone."""

    name: str  # as a trial's result names it

    def train(
        self, runs: Sequence[Run], data: Sequence[TrainingData], report: Report | None = None
    ) -> list[RunResult]:
        """Train each run on `data[run.fold]`.

        The results are in the order of the runs. They end after the first run that diverged, since
        its trial has failed, or that was stopped. Raises MemoryError when the device's memory is
        full.
        """
        ...


def check_targets(values: TrialValues, data: TrainingData) -> None:
    """Raise ValueError if a Poisson loss cannot be had of the training targets."""
    if data.outputs.task is not Task.REGRESSION or value(values, "loss") != "poisson":
        return
    mean = data.outputs.mean
    if mean <= 0 or data.y_train.min() < -mean * (1 + 1e-5):
        raise ValueError(NEEDS_COUNTS)


def epoch_order(seed: int, epoch: int, rows: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return every row number once, shuffled; `epoch` counts from 0 over the whole training."""
    return np.random.default_rng([seed, epoch]).permutation(rows)


def mean_history(
    histories: Sequence[Mapping[str, Sequence[float | None]]],
) -> dict[str, list[float | None]]:
    """Return, by metric and epoch, the mean over the runs that reached the epoch.

    It is None where a figure is not finite.
    """
    longest = max(len(history["loss"]) for history in histories)
    return {
        name: [
            _finite_mean(
                [history[name][epoch] for history in histories if epoch < len(history[name])]
            )
            for epoch in range(longest)
        ]
        for name in histories[0]
    }


def _finite_mean(figures: Sequence[float | None]) -> float | None:
    finite = [figure for figure in figures if figure is not None and math.isfinite(figure)]
    return fmean(finite) if len(finite) == len(figures) else None


# Of an epoch, smaller for better ones: whether it is before the start of early stopping, whether
# the monitored metric is undefined, and then the figure that decides.
_Rank = tuple[bool, bool, float]
_NOTHING: _Rank = (True, True, math.inf)


class Recorder:
    """Keeps the history of a run and decides which weights to keep and when training ends.

    The weights of the epoch with the best figure of the monitored metric are kept, of equal ones
    those of the first. An epoch in which it is undefined is worse than all others; among such
    epochs the validation loss decides. Training ends at an epoch whose losses are not finite, when
    `report` returns True, or by early stopping: `patience` epochs in a row that are not better
    than the best by more than `min_delta`. Epochs up to `start_from_epoch` do not count for that;
    one of them is kept only if no later one was trained. The history is in the target's own units.
    """

    def __init__(self, run: Run, data: TrainingData, report: Report | None = None) -> None:
        companion = data.outputs.companion
        names = ["loss", "val_loss", companion, f"val_{companion}"]
        self._has_own_series = run.monitor.series not in names
        if self._has_own_series:
            names.append(run.monitor.series)
        self.history: dict[str, list[float]] = {name: [] for name in names}
        self.best_epoch = 0
        self.diverged = False
        self.ended = False
        self.stopped = False  # by `report`, before training would have ended
        unit = data.target_scale if data.outputs.task is Task.REGRESSION else 1.0
        self._units = (unit**2, unit**2, unit, unit)
        self._run, self._data = run, data
        self._report = report
        self._best = self._to_beat = _NOTHING
        self._waited = 0

    def record(
        self,
        epoch: int,
        loss: float,
        val_loss: float,
        companion: float,
        val_companion: float,
        outputs: Callable[[], Array],
    ) -> bool:
        """Record and report `epoch`, counted from 1; return whether to keep its weights.

        `outputs` returns those of the validation rows, (rows, units). It is called only where the
        monitored metric does not follow from the other figures.
        """
        figures = (loss, val_loss, companion, val_companion)
        for name, figure, unit in zip(self.history, figures, self._units, strict=False):
            self.history[name].append(float(figure) * unit)
        if self._has_own_series:
            monitor, data = self._run.monitor, self._data
            self.history[monitor.series].append(
                monitor.measure(
                    data.outputs.task,
                    data.y_validation,
                    outputs(),
                    data.weights_validation,
                    data.positive_class,
                )
            )
        is_best = self._note(epoch, self.history["val_loss"][-1], loss)
        if self._report is not None:
            self._send(self._report, epoch)
        return is_best

    def result(
        self,
        weights: Weights,
        validation_outputs: Array,
        training_outputs: Array,
        parameters: int,
        seconds: float,
    ) -> RunResult:
        """Return the outcome of the run, whose outputs are those with the best weights."""
        finite = np.isfinite(validation_outputs).all() and np.isfinite(training_outputs).all()
        return RunResult(
            weights=weights,
            best_epoch=self.best_epoch,
            epochs=self._run.initial_epoch + len(self.history["loss"]),
            history=self.history,
            validation_outputs=validation_outputs,
            training_outputs=training_outputs,
            parameters=parameters,
            seconds=seconds,
            diverged=self.diverged or not finite,
            stopped=self.stopped,
        )

    def _note(self, epoch: int, val_loss: float, loss: float) -> bool:
        if not (math.isfinite(val_loss) and math.isfinite(loss)):
            self.diverged = self.ended = True
            return False
        rank = self._rank(epoch, val_loss)
        self._stop_early(epoch, rank)
        if rank >= self._best:
            return False
        self._best = rank
        self.best_epoch = epoch
        return True

    def _rank(self, epoch: int, val_loss: float) -> _Rank:
        rule, monitor = self._run.early_stopping, self._run.monitor
        is_early = rule is not None and epoch <= rule.start_from_epoch
        figure = monitor.loss(self.history[monitor.series][-1])
        return (is_early, False, figure) if math.isfinite(figure) else (is_early, True, val_loss)

    def _stop_early(self, epoch: int, rank: _Rank) -> None:
        rule = self._run.early_stopping
        if rule is None or epoch <= rule.start_from_epoch:
            return
        *before, figure = self._to_beat
        if rank < (*before, figure - rule.min_delta):
            self._to_beat = rank
            self._waited = 0
            return
        self._waited += 1
        self.ended = self._waited >= rule.patience

    def _send(self, report: Report, epoch: int) -> None:
        latest = {name: figures[-1] for name, figures in self.history.items()}
        is_stopped = report(EpochReport(self._run.fold, self._run.execution, epoch, latest))
        if is_stopped and not self.ended and epoch < self._run.epochs:
            self.ended = self.stopped = True
