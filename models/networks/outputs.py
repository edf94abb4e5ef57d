"""The last layer and the loss of a network, by task."""

from dataclasses import dataclass
from typing import Self

from models.data.preparation.tasks import Task

_ACTIVATION = {Task.REGRESSION: "linear", Task.BINARY: "sigmoid", Task.MULTICLASS: "softmax"}
_LOSS = {
    Task.REGRESSION: "mean_squared_error",
    Task.BINARY: "binary_crossentropy",
    Task.MULTICLASS: "sparse_categorical_crossentropy",
}
_COMPANION = {Task.REGRESSION: "mae", Task.BINARY: "accuracy", Task.MULTICLASS: "accuracy"}


@dataclass(frozen=True, slots=True)
class Outputs:
    """The last layer of a network: its task and its number of units."""

    task: Task
    units: int  # 1 for regression and binary, the number of classes for multiclass
    # The mean of a regression's training targets in their standard deviations, for a Poisson loss.
    mean: float = 0.0

    @classmethod
    def of(cls, task: Task, classes: int = 0, mean: float = 0.0) -> Self:
        """Return the outputs of `task`; `classes` matters for multiclass only."""
        return cls(task, classes if task is Task.MULTICLASS else 1, mean)

    @property
    def activation(self) -> str:
        """Keras name of the last layer's activation."""
        return _ACTIVATION[self.task]

    @property
    def loss(self) -> str:
        """Keras name of the loss."""
        return _LOSS[self.task]

    @property
    def companion(self) -> str:
        """The metric beside the loss in the history of epochs: `mae` or `accuracy`."""
        return _COMPANION[self.task]
