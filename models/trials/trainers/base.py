"""What trains the runs of a trial."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from models.networks.outputs import Outputs
from models.space.hyperparameters import TrialValues
from models.trials.spec import EarlyStopping

Array = np.ndarray[Any, Any]
Weights = Sequence[Array]  # in the order of keras.Model.get_weights()


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """The rows of one fold, ready for a network."""

    x_train: Array  # float32 (rows, *input_shape)
    y_train: Array  # float32 (rows,) scaled values, or int64 (rows,) class numbers
    x_validation: Array
    y_validation: Array
    outputs: Outputs
    target_scale: float = 1.0  # own units in one unit of a scaled regression target
    # float32 (rows,) above or at 0: what each row's loss is multiplied by in training, and in the
    # training loss of the history, before the mean over the batch; None: 1 for every row. They
    # touch nothing else: neither validation figures nor the companion metric.
    weights_train: Array | None = None

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
    initial_weights: Weights | None = None  # to go on from
    early_stopping: EarlyStopping | None = None


@dataclass(frozen=True, slots=True, eq=False)
class RunResult:
    """What one training came to. Losses and errors are in the target's own units."""

    weights: Weights  # of the best epoch
    best_epoch: int  # with the least validation loss, from 1; 0 if the first epoch diverged
    epochs: int  # where training ended
    history: Mapping[str, list[float]]  # per epoch trained here
    validation_outputs: Array  # float32 (rows, units) with the best weights
    training_outputs: Array
    parameters: int
    seconds: float
    diverged: bool  # a loss or an output was not finite
    stopped: bool = False  # ended early because `report` said so


@dataclass(frozen=True, slots=True)
class EpochReport:
    """One epoch of one run, told while the trial is running."""

    fold: int
    execution: int
    epoch: int  # from 1
    logs: Mapping[str, float]


Report = Callable[[EpochReport], bool | None]  # answers whether the trial is to end here


class Trainer(Protocol):
    """Trains networks; the weights and figures of a run follow from the run and its data alone."""

    name: str  # what a trial's result calls it

    def train(
        self, runs: Sequence[Run], data: Sequence[TrainingData], report: Report | None = None
    ) -> list[RunResult]:
        """Train each run on `data[run.fold]`.

        The results are in the order of the runs and end after the first that diverged, since its
        trial has failed, or that was stopped. Raises MemoryError when the device's memory is full.
        """
        ...
