"""What networks must have in common to be trained by one program. Imports no TensorFlow."""

from dataclasses import dataclass
from typing import Self

from models.data.preparation.tasks import Task
from models.networks.values import layer_value, value
from models.space.hyperparameters import TrialValues

# Optimizers that are one update with different numbers; the others are their own.
_SAME_UPDATE = {"adamw": "adam"}


@dataclass(frozen=True, slots=True)
class Structure:
    """The parts of a network that are built into its program; every other value is a number."""

    task: Task
    activations: tuple[str, ...]  # of the hidden layers
    normalized: tuple[bool, ...]  # of the hidden layers
    update: str  # a key of models.trials.packs.updates.UPDATES

    @classmethod
    def of(cls, values: TrialValues, task: Task) -> Self:
        """The structure of the perceptron that `values` describe."""
        layers = range(int(value(values, "num_layers")))
        optimizer = str(value(values, "optimizer"))
        return cls(
            task,
            tuple(str(layer_value(values, "activation", layer)) for layer in layers),
            tuple(bool(layer_value(values, "batch_normalization", layer)) for layer in layers),
            _SAME_UPDATE.get(optimizer, optimizer),
        )


def drops(values: TrialValues) -> bool:
    """Whether any layer drops out numbers."""
    layers = range(int(value(values, "num_layers")))
    return any(float(layer_value(values, "dropout", layer)) for layer in layers)
