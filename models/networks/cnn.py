"""The convolutional network: blocks of convolution and pooling, then dense layers."""

import keras

from models.errors import Invalid
from models.networks.inputs import Inputs
from models.networks.mlp import dense_layers, kernel, layer_seed
from models.networks.outputs import Outputs
from models.space.hyperparameters import TrialValues, layer_value, value

_POOL = 2  # pixels of a side that become one


def build(values: TrialValues, inputs: Inputs, outputs: Outputs, seed: int) -> keras.Model:
    """Build an uncompiled network: (rows, height, width, channels) -> (rows, outputs.units).

    Each of the `conv_blocks` is Conv2D, BatchNormalization (if asked for), activation,
    MaxPooling2D and Dropout (plain). Convolutions keep the size of the map by padding with zeros.
    Pooling halves every side of two pixels or more; a map of one pixel is not pooled. The last map
    is flattened, not averaged, since the place of a stroke matters in images as small as a
    digit's. The rest is as in an mlp; `activation`, `dropout` and `batch_normalization` apply to
    blocks and dense layers alike. Raises Invalid at `network` for rows that are not images.
    """
    if len(inputs.shape) != 3:
        raise Invalid.at("network", f"'cnn' learns from images, not from rows {inputs.shape}.")
    features = keras.Input(inputs.shape, name="features")
    signal = features
    blocks = int(value(values, "conv_blocks"))
    for block in range(blocks):
        signal = _block(signal, values, block, layer_seed(seed, block))
    signal = keras.layers.Flatten(name="flatten")(signal)
    signal = dense_layers(signal, values, outputs, layer_seed(seed, blocks))
    return keras.Model(features, signal, name="cnn")


def _block(
    signal: keras.KerasTensor, values: TrialValues, block: int, seed: int
) -> keras.KerasTensor:
    number = block + 1
    normalized = bool(value(values, "batch_normalization"))
    signal = keras.layers.Conv2D(
        int(layer_value(values, "filters", block)),
        int(layer_value(values, "kernel_size", block)),
        padding="same",
        use_bias=not normalized,
        name=f"conv_{number}",
        **kernel(values, seed),
    )(signal)
    if normalized:
        signal = keras.layers.BatchNormalization(name=f"conv_batch_normalization_{number}")(signal)
    activation = str(value(values, "activation"))
    signal = keras.layers.Activation(activation, name=f"conv_activation_{number}")(signal)
    window = tuple(min(_POOL, side) for side in signal.shape[1:3])
    if _POOL in window:
        signal = keras.layers.MaxPooling2D(window, name=f"pool_{number}")(signal)
    dropout = float(value(values, "dropout"))
    if dropout:
        signal = keras.layers.Dropout(dropout, seed=seed + 1, name=f"conv_dropout_{number}")(signal)
    return signal
