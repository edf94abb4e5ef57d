"""The multilayer perceptron: dense layers one after the other."""

from typing import Any

import keras

from models.networks import members
from models.networks.embeddings import stage_network
from models.networks.inputs import Inputs, plan_stage
from models.networks.losses import predicts_rate
from models.networks.outputs import Outputs
from models.space.hyperparameters import TrialValues, layer_value, value


def build(values: TrialValues, inputs: Inputs, outputs: Outputs, seed: int) -> keras.Model:
    """Build an uncompiled network: (rows, *inputs.shape) -> (rows, outputs.units).

    Images are flattened. Without hidden layers the model is linear. `kernel_initializer`, `l1` and
    `l2` apply to every kernel, the output layer's included, but not to trained encodings.
    """
    features = keras.Input(inputs.shape, name="features")
    signal = keras.layers.Flatten(name="flatten")(features) if len(inputs.shape) > 1 else features
    if stage := plan_stage(values, inputs):
        signal = stage_network(stage, seed)(signal)
    return keras.Model(features, dense_layers(signal, values, outputs, seed), name="mlp")


def dense_layers(
    signal: keras.KerasTensor, values: TrialValues, outputs: Outputs, seed: int
) -> keras.KerasTensor:
    """Build the dense layers that end every family: (rows, features) -> (rows, outputs.units).

    With several `members` they begin with the adapters and end with the mean; see
    `models.networks.members`. A `scaling_layer` stands where the adapters would. Each of the
    `num_layers` hidden layers is Dense, BatchNormalization (if asked for, before the activation, as
    in Ioffe and Szegedy, 2015), activation, Dropout (plain, also after selu). Batch normalization
    is shared by the members, as the kernels are. With a Poisson loss, the exponential of the output
    is the prediction in means of the target, which is then scaled like other targets.
    """
    layers, count = int(value(values, "num_layers")), int(value(values, "members"))
    if count > 1:
        signal = members.adapt(signal, count, seed)
    elif value(values, "scaling_layer"):
        signal = members.scale(signal)
    for layer in range(layers):
        signal = _hidden(signal, values, layer, layer_seed(seed, layer))
    last = kernel(values, layer_seed(seed, layers))
    if count > 1:
        initializers = output_initializers(values, seed, layers, count)
        signal = members.predict_apart(signal, outputs, initializers, last["kernel_regularizer"])
    else:
        signal = keras.layers.Dense(
            outputs.units, activation=outputs.activation, name="output", **last
        )(signal)
    if predicts_rate(values, outputs):
        signal = _rate(signal, outputs)
    return members.mean(signal) if count > 1 else signal


def layer_seed(seed: int, layer: int) -> int:
    """Return the seed of a layer's kernel; layers count from 0, the output layer last."""
    return seed + 2 * layer


def kernel_initializer(values: TrialValues, seed: int) -> keras.initializers.Initializer:
    """Return the initializer of a layer's kernel."""
    name = value(values, "kernel_initializer")
    return keras.initializers.get({"class_name": name, "config": {"seed": seed}})


def output_initializers(
    values: TrialValues, seed: int, layers: int, count: int
) -> list[keras.initializers.Initializer]:
    """Return the initializers of the members' output layers, after so many hidden `layers`."""
    return [kernel_initializer(values, layer_seed(seed, layers + each)) for each in range(count)]


def _rate(signal: keras.KerasTensor, outputs: Outputs) -> keras.KerasTensor:
    signal = keras.layers.Activation("exponential", name="rate")(signal)
    return keras.layers.Rescaling(outputs.mean, -outputs.mean, name="scaled_rate")(signal)


def _hidden(
    signal: keras.KerasTensor, values: TrialValues, layer: int, seed: int
) -> keras.KerasTensor:
    number = layer + 1
    normalized = bool(layer_value(values, "batch_normalization", layer))
    signal = keras.layers.Dense(
        int(layer_value(values, "units", layer)),
        use_bias=not normalized,
        name=f"dense_{number}",
        **kernel(values, seed),
    )(signal)
    if normalized:
        signal = keras.layers.BatchNormalization(name=f"batch_normalization_{number}")(signal)
    activation = str(layer_value(values, "activation", layer))
    signal = keras.layers.Activation(activation, name=f"activation_{number}")(signal)
    dropout = float(layer_value(values, "dropout", layer))
    if dropout:
        signal = keras.layers.Dropout(dropout, seed=seed + 1, name=f"dropout_{number}")(signal)
    return signal


def kernel(values: TrialValues, seed: int) -> dict[str, Any]:
    """Return the initializer and the penalty of a kernel, as arguments of its layer."""
    l1, l2 = float(value(values, "l1")), float(value(values, "l2"))
    return {
        "kernel_initializer": kernel_initializer(values, seed),
        "kernel_regularizer": keras.regularizers.L1L2(l1, l2) if l1 or l2 else None,
    }
