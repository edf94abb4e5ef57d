"""Trials as points of a cube, for models of numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import qmc

from models.oracles.sampling import Flat
from models.space.hyperparameters import Value
from models.space.parameters import Dimension, Float, Int, is_ordered
from models.space.space import SearchSpace

Array = np.ndarray[Any, Any]

_INACTIVE = 0.5  # position of a dimension without effect; no category has it


class Encoding:
    """Maps the values of trials to points, (dimensions,), and back.

    A number lies from 0 to 1, where its range has it: by its logarithm, or by its index if it has
    steps. A category is its index, which only says whether two are equal.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._columns = [_Column(each) for each in space.dimensions]
        self._places = {each.name: place for place, each in enumerate(space.dimensions)}
        self.ordered = np.array([column.is_ordered for column in self._columns], bool)
        # The distance between neighbours; 0 in a continuous range.
        self.steps = np.array([column.step for column in self._columns])
        self._when = [
            [
                (self._places[each.parent], self._positions(each.parent, each.values))
                for each in column.dimension.when
            ]
            for column in self._columns
        ]

    def _positions(self, name: str, values: Sequence[Value]) -> Array:
        column = self._columns[self._places[name]]
        return np.array([column.encode(value) for value in values])

    @property
    def dimensions(self) -> int:
        """Number of dimensions."""
        return len(self._columns)

    def encode(self, flat: Flat) -> Array:
        """Return the point of the values of a trial."""
        return np.array(
            [
                column.encode(flat[column.dimension.name])
                if column.dimension.name in flat
                else _INACTIVE
                for column in self._columns
            ]
        )

    def decode(self, point: Array) -> Flat:
        """Return the values of the active dimensions at a point that `snap` or `spread` made."""
        flat: dict[str, Value] = {}
        for column, position in zip(self._columns, point, strict=True):
            if column.dimension.active(flat):
                flat[column.dimension.name] = column.decode(float(position))
        return flat

    def spread(self, shares: Array) -> Array:
        """Return points for uniform numbers from 0 to 1, (points, dimensions): equally likely."""
        points = [column.spread(each) for column, each in zip(self._columns, shares.T, strict=True)]
        return self._only_active(np.stack(points, axis=1))

    def snap(self, points: Array) -> Array:
        """Return the nearest points, (points, dimensions), that values of trials have."""
        snapped = [column.snap(each) for column, each in zip(self._columns, points.T, strict=True)]
        return self._only_active(np.stack(snapped, axis=1))

    def _only_active(self, points: Array) -> Array:
        for place, conditions in enumerate(self._when):
            for parent, allowed in conditions:
                apart = np.abs(points[:, parent, None] - allowed[None, :])
                points[apart.min(axis=1) > 1e-9, place] = _INACTIVE
        return points


class _Column:
    """One dimension of the cube."""

    def __init__(self, dimension: Dimension) -> None:
        self.dimension = dimension
        self._parameter = parameter = dimension.parameter
        self.is_ordered = is_ordered(parameter)
        self._options: list[Value] | None = None
        self.step = 0.0
        if isinstance(parameter, Int | Float) and parameter.step is None:
            self._low, self._high = self._scaled(parameter.min), self._scaled(parameter.max)
            if isinstance(parameter, Int):
                self.step = 1.0 / max(parameter.max - parameter.min, 1)
            return
        self._options = list(parameter.options() or ())
        if self.is_ordered:
            self._options.sort()
        self.step = 1.0 / max(len(self._options) - 1, 1)

    def encode(self, value: Value) -> float:
        """Return the position of a value."""
        if self._options is not None:
            index = self._options.index(value)
            return index * self.step if self.is_ordered else float(index)
        assert isinstance(value, int | float)
        width = self._high - self._low
        return float((self._scaled(value) - self._low) / width) if width else _INACTIVE

    def decode(self, position: float) -> Value:
        """Return the value at a position."""
        if self._options is not None:
            index = position / self.step if self.is_ordered else position
            return self._options[round(index)]
        parameter = self._parameter
        assert isinstance(parameter, Int | Float)
        value = min(max(float(self._value(position)), parameter.min), parameter.max)
        return round(value) if isinstance(parameter, Int) else value

    def spread(self, shares: Array) -> Array:
        """Return positions that are as likely as values drawn at random."""
        parameter = self._parameter
        if self._options is not None:
            count = len(self._options)
            index: Array = np.minimum(np.floor(shares * count), count - 1)
            return index * self.step if self.is_ordered else index
        if isinstance(parameter, Int):
            low, high = self._scaled(parameter.min - 0.5), self._scaled(parameter.max + 0.5)
            width = self._high - self._low
            inside = (low + shares * (high - low) - self._low) / width if width else shares
            return self.snap(inside)
        return shares

    def snap(self, positions: Array) -> Array:
        """Return the nearest positions that values have."""
        if self._options is not None:
            if not self.is_ordered:
                return np.clip(np.round(positions), 0, len(self._options) - 1)
            return np.clip(np.round(positions / self.step), 0, len(self._options) - 1) * self.step
        inside = np.clip(positions, 0.0, 1.0)
        width = self._high - self._low
        if not isinstance(self._parameter, Int) or not width:
            return inside
        snapped: Array = (self._scaled(np.round(self._value(inside))) - self._low) / width
        return snapped

    def _scaled(self, value: Any) -> Any:
        assert isinstance(self._parameter, Int | Float)
        return np.log(value) if self._parameter.sampling == "log" else value

    def _value(self, position: Any) -> Any:
        scaled = self._low + position * (self._high - self._low)
        assert isinstance(self._parameter, Int | Float)
        return np.exp(scaled) if self._parameter.sampling == "log" else scaled


def sobol_points(dimensions: int, seed: int, count: int) -> Array:
    """Return the first points, (count, dimensions), of a scrambled Sobol sequence."""
    sequence = qmc.Sobol(dimensions, scramble=True, rng=np.random.default_rng(seed))
    points: Array = sequence.random(1 << max(count - 1, 0).bit_length())
    return points[:count]
