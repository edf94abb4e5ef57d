"""Between the dimensions of a space and the numbers that Keras Tuner searches."""

from collections.abc import Mapping
from typing import Any

from models.space.dimension import Dimension
from models.space.hyperparameters import Value
from models.space.parameters import Float, Int
from models.space.space import SearchSpace


class Codec:
    """Dimensions of countable values become the indices of their values, from 0.

    Keras Tuner's own steps lose the last value of 0 to 0.5 by 0.1 (`0.5 // 0.1` is 4), and its
    choices turn booleans into 0 and 1.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.dimensions = {dimension.name: dimension for dimension in space.dimensions}
        self._options = {dimension.name: _indexed(dimension) for dimension in space.dimensions}

    def indices(self, name: str) -> int | None:
        """How many values a dimension has; None where its numbers are searched themselves."""
        options = self._options[name]
        return None if options is None else len(options)

    def encoded(self, name: str, value: Value) -> int | float:
        """One value of the dimension `name` as a number."""
        options = self._options[name]
        if options is not None:
            return options.index(value)
        assert isinstance(value, int | float)
        return float(value) if isinstance(self.dimensions[name].parameter, Float) else value

    def encode(self, flat: Mapping[str, Value]) -> dict[str, int | float]:
        """The active dimensions as numbers."""
        return {name: self.encoded(name, flat[name]) for name in self.dimensions if name in flat}

    def decode(self, numbers: Mapping[str, Any]) -> dict[str, Value]:
        """The values of the active dimensions; other names are passed over."""
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
        # The end of a logarithmic range is overshot: by rounding, or by one for whole numbers.
        within = min(max(number, parameter.min), parameter.max)
        return int(within) if isinstance(parameter, Int) else float(within)


def _indexed(dimension: Dimension) -> tuple[Value, ...] | None:
    parameter = dimension.parameter
    if isinstance(parameter, Int) and parameter.sampling == "log" and parameter.step is None:
        return None if parameter.min < parameter.max else (parameter.min,)
    return parameter.options()
