"""The encoding of the dimensions of a space as the numbers that Keras Tuner searches."""

from collections.abc import Mapping
from typing import Any

from models.space.dimensions import Dimension
from models.space.hyperparameters import Value
from models.space.parameters import Float, Int
from models.space.space import SearchSpace


class Codec:
    """Encodes a dimension of countable values as the index of a value, from 0.

    Keras Tuner's own steps lose the last value of 0 to 0.5 by 0.1 (`0.5 // 0.1` is 4), and its
    choices turn booleans into 0 and 1.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.dimensions = {dimension.name: dimension for dimension in space.dimensions}
        self._options = {dimension.name: _indexed(dimension) for dimension in space.dimensions}

    def indices(self, name: str) -> int | None:
        """Return the number of values of a dimension; None if its numbers are searched as such."""
        options = self._options[name]
        return None if options is None else len(options)

    def encoded(self, name: str, value: Value) -> int | float:
        """Encode one value of the dimension `name`."""
        options = self._options[name]
        if options is not None:
            return options.index(value)
        assert isinstance(value, int | float)
        return float(value) if isinstance(self.dimensions[name].parameter, Float) else value

    def encode(self, flat: Mapping[str, Value]) -> dict[str, int | float]:
        """Encode the values of the active dimensions."""
        return {name: self.encoded(name, flat[name]) for name in self.dimensions if name in flat}

    def decode(self, numbers: Mapping[str, Any]) -> dict[str, Value]:
        """Decode the values of the active dimensions; other names are ignored."""
        return {
            name: self._decoded(dimension, numbers[name])
            for name, dimension in self.dimensions.items()
            if name in numbers
        }

    def _decoded(self, dimension: Dimension, number: Any) -> Value:
        options, parameter = self._options[dimension.name], dimension.parameter
        if options is not None:
            return options[int(number)]
        assert isinstance(parameter, Int | Float)
        # Keras Tuner overshoots the end of a log range: by rounding, whole numbers by one.
        within = min(max(number, parameter.min), parameter.max)
        return int(within) if isinstance(parameter, Int) else float(within)


def _indexed(dimension: Dimension) -> tuple[Value, ...] | None:
    parameter = dimension.parameter
    if isinstance(parameter, Int) and parameter.sampling == "log" and parameter.step is None:
        return None if parameter.min < parameter.max else (parameter.min,)
    return parameter.options()
