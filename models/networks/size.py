"""How large a network is, worked out from its values without building it."""

from dataclasses import dataclass
from itertools import pairwise

from models.networks.values import layer_value, value
from models.space.hyperparameters import TrialValues


@dataclass(frozen=True, slots=True)
class Size:
    """What the time and the memory of a training follow from."""

    parameters: int  # trained and untrained numbers
    multiply_adds: int  # of one row's way forward, matrix products and convolutions alone
    layers: int  # that have a kernel


def size_of(
    network: str, values: TrialValues, input_shape: tuple[int, ...], output_units: int
) -> Size:
    """The size of the network that `models.networks.families.build` would make.

    `input_shape` is that of one preprocessed row: (features,) or (height, width, channels).
    """
    inputs, parameters, products, blocks = 1, 0, 0, 0
    if network == "cnn":
        blocks = int(value(values, "conv_blocks"))
        inputs, parameters, products = _convolutions(values, blocks, input_shape)
    else:
        for side in input_shape:
            inputs *= side
    hidden = int(value(values, "num_layers"))
    widths = [inputs, *(int(layer_value(values, "units", layer)) for layer in range(hidden))]
    for layer, (before, after) in enumerate(pairwise(widths)):
        normalized = bool(layer_value(values, "batch_normalization", layer))
        parameters += before * after + _beside_kernel(after, normalized)
        products += before * after
    parameters += (widths[-1] + 1) * output_units
    products += widths[-1] * output_units
    return Size(parameters, products, blocks + hidden + 1)


def _convolutions(
    values: TrialValues, blocks: int, input_shape: tuple[int, ...]
) -> tuple[int, int, int]:
    """Numbers in the last map, parameters, and products of all blocks."""
    height, width, channels = input_shape
    normalized = bool(value(values, "batch_normalization"))
    parameters = products = 0
    for block in range(blocks):
        filters = int(layer_value(values, "filters", block))
        kernel = int(layer_value(values, "kernel_size", block)) ** 2 * channels * filters
        parameters += kernel + _beside_kernel(filters, normalized)
        products += kernel * height * width
        height, width, channels = max(1, height // 2), max(1, width // 2), filters
    return height * width * channels, parameters, products


def _beside_kernel(units: int, normalized: bool) -> int:
    """A bias, or the four numbers that a batch normalization has instead."""
    return units * (4 if normalized else 1)
