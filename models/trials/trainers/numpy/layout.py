"""The weights of a multilayer perceptron in one flat array: their places and initial values."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.networks.inputs import Stage
from models.networks.mlp import kernel_initializer, layer_seed
from models.networks.outputs import Outputs
from models.space.hyperparameters import TrialValues, layer_value, value
from models.trials.trainers.base import Array, Floats
from models.trials.trainers.numpy.inputs import initialize_stage, stage_views


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """One dense layer and what follows it."""

    inputs: int
    units: int
    activation: str  # `linear` for the last layer, whose loss applies its activation
    dropout: float
    normalized: bool

    @property
    def rows(self) -> int:
        """Rows of the affine matrix: one for each input, and one for a bias."""
        return self.inputs if self.normalized else self.inputs + 1


def plan_layers(values: TrialValues, features: int, outputs: Outputs) -> list[LayerPlan]:
    """Return the layers that `models.networks.mlp` would build, the output layer last."""
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
    """The trained numbers of a batch normalization."""

    gamma: Floats  # (units, 1)
    beta: Floats  # (units, 1)


@dataclass(frozen=True, slots=True, eq=False)
class LayerArrays:
    """The trained numbers of one layer, or their gradient: views of a flat array."""

    place: slice  # of its numbers in the flat array
    affine: Floats  # (inputs, units), with one more row for a bias
    kernel: Floats  # (inputs, units)
    bias: Floats | None  # (units,)
    scaling: Scaling | None


@dataclass(frozen=True, slots=True, eq=False)
class Moving:
    """The running moments of a batch normalization, which are not trained."""

    mean: Floats  # (units, 1)
    variance: Floats  # (units, 1)


def flat_size(plans: Sequence[LayerPlan]) -> int:
    """Return the number of trained numbers."""
    return sum(plan.units * (plan.rows + 2 * plan.normalized) for plan in plans)


def views(flat: Floats, plans: Sequence[LayerPlan], start: int = 0) -> list[LayerArrays]:
    """Return the layers of a flat array, whose `flat_size(plans)` numbers begin at `start`."""
    layers = []
    for plan in plans:
        end = start + plan.rows * plan.units
        affine = flat[start:end].reshape(plan.rows, plan.units)
        kernel = affine[: plan.inputs]
        if not plan.normalized:
            layers.append(LayerArrays(slice(start, end), affine, kernel, affine[-1], None))
            start = end
            continue
        first, start = start, end + 2 * plan.units
        gamma, beta = flat[end:start].reshape(2, plan.units, 1)
        layers.append(LayerArrays(slice(first, start), affine, kernel, None, Scaling(gamma, beta)))
    return layers


class Weights:
    """Every number of a network: the trained ones in one flat array, and the running moments."""

    def __init__(self, plans: Sequence[LayerPlan], stage: Stage | None = None) -> None:
        self.stage = stage  # its numbers are the first
        self.stage_size = 0 if stage is None else stage.parameters
        # Unlike `zeros`, `empty` requests large memory pages, which are faster to pass over.
        self.flat = np.empty(self.stage_size + flat_size(plans), np.float32)
        self.flat.fill(0)
        self.stage_arrays = self.stage_views(self.flat)
        self.layers = views(self.flat, plans, self.stage_size)
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

    def stage_views(self, flat: Floats) -> list[Array]:
        """Return the arrays of the stage in a flat array like `self.flat`."""
        return [] if self.stage is None else stage_views(flat[: self.stage_size], self.stage)

    def copy_from(self, other: "Weights") -> None:
        """Copy the numbers of a network of the same layers."""
        np.copyto(self.flat, other.flat)
        np.copyto(self._moments, other._moments)

    @property
    def size(self) -> int:
        """The number of numbers, trained and untrained."""
        return self.flat.size + self._moments.size

    def load(self, arrays: Sequence[Array]) -> None:
        """Copy arrays in the order of `keras.Model.get_weights`."""
        for mine, given in zip(self._in_keras_order(), arrays, strict=True):
            np.copyto(mine, given)

    def arrays(self) -> list[Array]:
        """Return copies in the order of `keras.Model.get_weights`."""
        return [array.copy() for array in self._in_keras_order()]

    def _in_keras_order(self) -> list[Floats]:
        arrays = [*self.stage_arrays]
        for layer, moving in zip(self.layers, self.moving, strict=True):
            arrays.append(layer.kernel)
            if layer.bias is not None:
                arrays.append(layer.bias)
            if layer.scaling is not None:
                arrays += [layer.scaling.gamma[:, 0], layer.scaling.beta[:, 0]]
            if moving is not None:
                arrays += [moving.mean[:, 0], moving.variance[:, 0]]
        return arrays


def initialize(
    weights: Weights, plans: Sequence[LayerPlan], values: TrialValues, seed: int
) -> None:
    """Fill new `weights` as `models.networks.mlp.build` would for the same `values` and `seed`."""
    if weights.stage is not None:
        initialize_stage(weights.stage_arrays, weights.stage, seed)
    for number, (plan, layer) in enumerate(zip(plans, weights.layers, strict=True)):
        initializer = kernel_initializer(values, layer_seed(seed, number))
        np.copyto(layer.kernel, initializer((plan.inputs, plan.units)))
        if layer.scaling is not None:
            layer.scaling.gamma.fill(1)
    for moving in weights.moving:
        if moving is not None:
            moving.variance.fill(1)
