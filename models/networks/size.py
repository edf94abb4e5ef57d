"""The size of a network, computed from its values without building it."""

from dataclasses import dataclass
from itertools import pairwise

from models.networks.inputs import Inputs, plan_stage
from models.space.hyperparameters import TrialValues, layer_value, value

_MAX_ROWS = 8192  # in one forward pass
_MAX_PIXELS = 2**19


@dataclass(frozen=True, slots=True)
class Size:
    """The figures that determine the time and the memory of a training."""

    parameters: int  # trained and untrained numbers
    multiply_adds: int  # of one row's forward pass, matrix products and convolutions alone
    layers: int  # with a kernel

    def training_multiply_adds(self, rows: int) -> int:
        """Return the multiply-adds of learning from so many rows once.

        A row that is learned from takes three products a layer: forward, and backward to the
        weights and to the signal.
        """
        return 3 * rows * self.multiply_adds


def size_of(network: str, values: TrialValues, inputs: Inputs, output_units: int) -> Size:
    """Return the size of the network that `models.networks.families.build` would make."""
    features, parameters, products, before = inputs.features, 0, 0, 0
    if network == "cnn":
        before = int(value(values, "conv_blocks"))
        features, parameters, products = _convolutions(values, before, inputs.shape)
    elif stage := plan_stage(values, inputs):
        features, before = stage.outputs, len(stage.kernels)
        parameters, products = stage.parameters, stage.multiply_adds
    hidden, members = int(value(values, "num_layers")), int(value(values, "members"))
    if members > 1:
        parameters += members * features
    elif value(values, "scaling_layer"):
        parameters += features
    widths = [features, *(int(layer_value(values, "units", layer)) for layer in range(hidden))]
    for layer, (wide, after) in enumerate(pairwise(widths)):
        normalized = bool(layer_value(values, "batch_normalization", layer))
        parameters += wide * after + _beside_kernel(after, normalized)
        products += members * wide * after
    parameters += members * (widths[-1] + 1) * output_units
    products += members * widths[-1] * output_units
    return Size(parameters, products, before + hidden + 1)


def rows_at_once(shape: tuple[int, ...], members: int = 1) -> int:
    """Return how many rows fit in one forward pass without learning.

    `shape` is that of a row: (features,) or (height, width[, channels]). Each of the `members` of
    a network keeps numbers of its own. A convolution keeps as
    many numbers of every pixel as it has filters, so the pixels are limited: a map of 64 filters
    over the maximum takes 128 MiB.
    """
    if len(shape) < 2:
        return max(1, _MAX_ROWS // members)
    height, width = shape[:2]
    return max(1, min(_MAX_ROWS, _MAX_PIXELS // (height * width)))


def _convolutions(
    values: TrialValues, blocks: int, input_shape: tuple[int, ...]
) -> tuple[int, int, int]:
    """Return the numbers in the last map, and parameters and products of all blocks."""
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
    """Return the numbers of a bias, or of the batch normalization that replaces it."""
    return units * (4 if normalized else 1)
