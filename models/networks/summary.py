"""A description of a network layer by layer, as data and as text."""

from dataclasses import dataclass

import keras


@dataclass(frozen=True, slots=True)
class LayerSummary:
    """One layer."""

    name: str
    type: str  # class name in Keras: Dense, Dropout, …
    output_shape: tuple[int | None, ...]  # None is the number of rows
    parameters: int  # trained and untrained numbers


def layers(model: keras.Model) -> list[LayerSummary]:
    """Return every layer of a built network, from input to output."""
    return [
        LayerSummary(
            layer.name, type(layer).__name__, _output_shape(layer), int(layer.count_params())
        )
        for layer in model.layers
    ]


def text(model: keras.Model) -> str:
    """Return the layers as an aligned table that ends with the total number of parameters."""
    rows = [("layer", "type", "output shape", "parameters")]
    rows += [
        (layer.name, layer.type, _shape_text(layer.output_shape), f"{layer.parameters:,}")
        for layer in layers(model)
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        f"{name:<{widths[0]}}  {kind:<{widths[1]}}  {shape:<{widths[2]}}  {count:>{widths[3]}}"
        for name, kind, shape, count in rows
    ]
    return "\n".join([*lines, f"total parameters: {int(model.count_params()):,}"])


def _output_shape(layer: keras.layers.Layer) -> tuple[int | None, ...]:
    return tuple(layer.output.shape)


def _shape_text(shape: tuple[int | None, ...]) -> str:
    return " × ".join("rows" if size is None else str(size) for size in shape)
