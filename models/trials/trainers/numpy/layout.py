"""Where the weights of a multilayer perceptron lie in one flat array."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.networks.outputs import Outputs
from models.networks.values import layer_value, value
from models.space.hyperparameters import TrialValues
from models.trials.trainers.base import Array
from models.trials.trainers.numpy.types import Floats


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """One dense layer and what follows it."""

    inputs: int
    units: int
    activation: str  # the last layer has none here: its loss knows it
    dropout: float
    normalized: bool

    @property
    def rows(self) -> int:
        """Rows of the affine matrix: one an input, and one for the bias if there is one."""
        return self.inputs if self.normalized else self.inputs + 1


def plan_layers(values: TrialValues, features: int, outputs: Outputs) -> list[LayerPlan]:
    """The layers that `models.networks.mlp` would build, the output layer last."""
    plans = []
    inputs = features
    for layer in range(int(value(values, "num_layers"))):
        units = int(layer_value(values, "units", layer))
        plans.append(
            LayerPlan(
                inputs,
                units,
                str(layer_value(values, "activation", layer)),
                float(layer_value(values, "dropout", layer)),
                bool(layer_value(values, "batch_normalization", layer)),
            )
        )
        inputs = units
    return [*plans, LayerPlan(inputs, outputs.units, "linear", 0.0, False)]


@dataclass(frozen=True, slots=True, eq=False)
class Scaling:
    """What a batch normalization learns."""

    gamma: Floats  # (units, 1)
    beta: Floats  # (units, 1)


@dataclass(frozen=True, slots=True, eq=False)
class LayerArrays:
    """The trained numbers of one layer, or their gradient: views of a flat array."""

    flat: Floats  # all of them
    affine: Floats  # (inputs, units); a bias is one more row
    kernel: Floats  # (inputs, units)
    bias: Floats | None  # (units,)
    scaling: Scaling | None


@dataclass(frozen=True, slots=True, eq=False)
class Moving:
    """The running moments of a batch normalization, which are not trained."""

    mean: Floats  # (units, 1)
    variance: Floats  # (units, 1)


def flat_size(plans: Sequence[LayerPlan]) -> int:
    """How many trained numbers there are."""
    return sum(plan.units * (plan.rows + 2 * plan.normalized) for plan in plans)


def views(flat: Floats, plans: Sequence[LayerPlan]) -> list[LayerArrays]:
    """The layers of a flat array."""
    layers, start = [], 0
    for plan in plans:
        end = start + plan.rows * plan.units
        affine = flat[start:end].reshape(plan.rows, plan.units)
        kernel = affine[: plan.inputs]
        if not plan.normalized:
            layers.append(LayerArrays(flat[start:end], affine, kernel, affine[-1], None))
            start = end
            continue
        first, start = start, end + 2 * plan.units
        gamma, beta = flat[end:start].reshape(2, plan.units, 1)
        layers.append(LayerArrays(flat[first:start], affine, kernel, None, Scaling(gamma, beta)))
    return layers


class Weights:
    """Every number of a network: the trained ones in one flat array, and the running moments."""

    def __init__(self, plans: Sequence[LayerPlan]) -> None:
        # Unlike `zeros`, `empty` asks for large pages of memory, which are faster to pass over.
        self.flat = np.empty(flat_size(plans), np.float32)
        self.flat.fill(0)
        self.layers = views(self.flat, plans)
        self._moments = np.zeros((sum(2 * p.units for p in plans if p.normalized), 1), np.float32)
        self.moving: list[Moving | None] = []
        start = 0
        for plan in plans:
            if not plan.normalized:
                self.moving.append(None)
                continue
            end = start + 2 * plan.units
            mean, variance = self._moments[start:end].reshape(2, plan.units, 1)
            self.moving.append(Moving(mean, variance))
            start = end

    def copy_from(self, other: "Weights") -> None:
        """Take over the numbers of a network of the same layers."""
        np.copyto(self.flat, other.flat)
        np.copyto(self._moments, other._moments)

    @property
    def size(self) -> int:
        """How many numbers there are, trained and untrained."""
        return self.flat.size + self._moments.size

    def load(self, arrays: Sequence[Array]) -> None:
        """Take arrays in the order of `keras.Model.get_weights`."""
        for mine, given in zip(self._in_keras_order(), arrays, strict=True):
            np.copyto(mine, given)

    def arrays(self) -> list[Array]:
        """Copies in the order of `keras.Model.get_weights`."""
        return [array.copy() for array in self._in_keras_order()]

    def _in_keras_order(self) -> list[Floats]:
        arrays = []
        for layer, moving in zip(self.layers, self.moving, strict=True):
            arrays.append(layer.kernel)
            if layer.bias is not None:
                arrays.append(layer.bias)
            if layer.scaling is not None:
                arrays += [layer.scaling.gamma[:, 0], layer.scaling.beta[:, 0]]
            if moving is not None:
                arrays += [moving.mean[:, 0], moving.variance[:, 0]]
        return arrays
