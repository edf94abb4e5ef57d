"""The weights that a new network of Keras would have, without building it."""

import numpy as np

from models.networks.mlp import kernel_initializer, layer_seed
from models.space.hyperparameters import TrialValues
from models.trials.trainers.numpy.layout import LayerPlan, Weights


def initialize(weights: Weights, plans: list[LayerPlan], values: TrialValues, seed: int) -> None:
    """Fill `weights` as `models.networks.mlp.build` would with the same `values` and `seed`."""
    for number, (plan, layer) in enumerate(zip(plans, weights.layers, strict=True)):
        initializer = kernel_initializer(values, layer_seed(seed, number))
        np.copyto(layer.kernel, initializer((plan.inputs, plan.units)))
        if layer.bias is not None:
            layer.bias.fill(0)
        if layer.scaling is not None:
            layer.scaling.gamma.fill(1)
            layer.scaling.beta.fill(0)
    for moving in weights.moving:
        if moving is not None:
            moving.mean.fill(0)
            moving.variance.fill(1)
