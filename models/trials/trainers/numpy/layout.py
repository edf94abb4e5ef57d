"""The weights of a multilayer perceptron in one flat array: their places and initial values."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.networks.inputs import Stage
from models.networks.members import random_signs
from models.networks.mlp import kernel_initializer, layer_seed, output_initializers
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
    members: int = 1  # with a kernel and a bias of their own
    # Numbers that multiply each input: one for each member, or those of a scaling layer.
    adapters: int = 0

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
    members = int(value(values, "members"))
    plans.append(LayerPlan(inputs, outputs.units, "linear", 0.0, False, members))
    if members > 1 or value(values, "scaling_layer"):
        plans[0] = replace(plans[0], adapters=members)
    return plans


@dataclass(frozen=True, slots=True, eq=False)
class Scaling:
    """The trained numbers of a batch normalization."""

    gamma: Floats  # (units, 1)
    beta: Floats  # (units, 1)


@dataclass(frozen=True, slots=True, eq=False)
class LayerArrays:
    """The trained numbers of one layer, or their gradient: views of a flat array."""

    place: slice  # of its numbers in the flat array
    # Those of an output layer of several members have one more axis, the first.
    affine: Floats  # (inputs, units), with one more row for a bias
    kernel: Floats  # (inputs, units)
    bias: Floats | None  # (units,)
    scaling: Scaling | None
    adapters: Floats | None  # (members, inputs)


@dataclass(frozen=True, slots=True, eq=False)
class Moving:
    """The running moments of a batch normalization, which are not trained."""

    mean: Floats  # (units, 1)
    variance: Floats  # (units, 1)


def flat_size(plans: Sequence[LayerPlan]) -> int:
    """Return the number of trained numbers."""
    return sum(
        plan.adapters * plan.inputs + plan.units * (plan.members * plan.rows + 2 * plan.normalized)
        for plan in plans
    )


def views(flat: Floats, plans: Sequence[LayerPlan], start: int = 0) -> list[LayerArrays]:
    """Return the layers of a flat array, whose `flat_size(plans)` numbers begin at `start`."""
    layers = []
    for plan in plans:
        first, adapters, bias, scaling = start, None, None, None
        if plan.adapters:
            start = first + plan.adapters * plan.inputs
            adapters = flat[first:start].reshape(plan.adapters, plan.inputs)
        end = start + plan.members * plan.rows * plan.units
        shape = (plan.rows, plan.units)
        affine = flat[start:end].reshape(shape if plan.members == 1 else (plan.members, *shape))
        start = end
        if plan.normalized:
            start = end + 2 * plan.units
            scaling = Scaling(*flat[end:start].reshape(2, plan.units, 1))
        else:
            bias = affine[..., -1, :]
        kernel = affine[..., : plan.inputs, :]
        layers.append(LayerArrays(slice(first, start), affine, kernel, bias, scaling, adapters))
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
            if layer.adapters is not None:
                # A scaling layer has one axis in Keras.
                is_scaling = len(layer.adapters) == 1
                arrays.append(layer.adapters[0] if is_scaling else layer.adapters)
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
        if layer.adapters is not None:
            signs = random_signs(plan.adapters, plan.inputs, seed)
            np.copyto(layer.adapters, signs if plan.adapters > 1 else 1)
        shape = (plan.inputs, plan.units)
        if plan.members > 1:
            initializers = output_initializers(values, seed, number, plan.members)
            np.copyto(layer.kernel, [each(shape) for each in initializers])
        else:
            np.copyto(layer.kernel, kernel_initializer(values, layer_seed(seed, number))(shape))
        if layer.scaling is not None:
            layer.scaling.gamma.fill(1)
    for moving in weights.moving:
        if moving is not None:
            moving.variance.fill(1)
