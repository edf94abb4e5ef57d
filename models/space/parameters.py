"""The values of one hyperparameter in a search: a range, a choice, or one fixed value.

Values with a step are counted and addressed by index, so that 0 to 0.5 in steps of 0.1 has six
values and the fourth is 0.3, not 0.30000000000000004.
"""

import math
from dataclasses import dataclass
from typing import Literal

from models.space.hyperparameters import Value

Sampling = Literal["linear", "log"]

# Absorbs the rounding of (max - min) / step, far below any step that a user means.
_STEP_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Int:
    """Whole numbers from `min` to `max`, both included.

    Without a step every whole number in between is a value. With sampling "log" the step is the
    factor between two neighbours.
    """

    min: int
    max: int
    step: int | None = None
    sampling: Sampling = "linear"

    def options(self) -> tuple[int, ...]:
        """Return every value, smallest first."""
        if self.sampling == "linear" or self.step is None:
            return tuple(range(self.min, self.max + 1, self.step or 1))
        values = [self.min]
        while values[-1] * self.step <= self.max:
            values.append(values[-1] * self.step)
        return tuple(values)

    def points(self, count: int) -> tuple[int, ...]:
        """Return the values of a grid: all if there is a step, else at most `count`."""
        if self.step is not None or self.max - self.min < count:
            return self.options()
        spread = _spread(self.min, self.max, count, self.sampling)
        return tuple(sorted({round(value) for value in spread}))

    def canonical(self, value: Value) -> int | None:
        """Return the value as this parameter has it; None if it is not one of its values."""
        if isinstance(value, bool) or not isinstance(value, int):
            return None
        if self.step is None:
            return value if self.min <= value <= self.max else None
        return value if value in self.options() else None

    def document(self) -> dict[str, object]:
        """Return the JSON form."""
        return {"type": "int", **_range_document(self)}


@dataclass(frozen=True, slots=True)
class Float:
    """Numbers from `min` to `max`, both included; continuous unless there is a step.

    With sampling "log" the step is the factor between two neighbours.
    """

    min: float
    max: float
    step: float | None = None
    sampling: Sampling = "linear"

    def options(self) -> tuple[float, ...] | None:
        """Return every value, smallest first; None for a continuous range."""
        count = self._count()
        return None if count is None else tuple(self._at(index) for index in range(count))

    def points(self, count: int) -> tuple[float, ...]:
        """Return the values of a grid: all if there is a step, else `count`."""
        options = self.options()
        if options is not None:
            return options
        return tuple(_spread(self.min, self.max, count, self.sampling))

    def canonical(self, value: Value) -> float | None:
        """Return the value as this parameter has it; None if it is not one of its values."""
        if isinstance(value, bool | str):
            return None
        count = self._count()
        if count is None:
            return float(value) if self.min <= value <= self.max else None
        index = min(max(round(self._steps_to(value)), 0), count - 1)
        nearest = self._at(index)
        slack = _STEP_TOLERANCE * self.step if self.step and self.sampling == "linear" else 0.0
        return nearest if math.isclose(value, nearest, rel_tol=1e-9, abs_tol=slack) else None

    def document(self) -> dict[str, object]:
        """Return the JSON form."""
        return {"type": "float", **_range_document(self)}

    def _count(self) -> int | None:
        if self.min == self.max:
            return 1
        if self.step is None:
            return None
        return math.floor(self._steps_to(self.max) + _STEP_TOLERANCE) + 1

    def _steps_to(self, value: float) -> float:
        if self.step is None or self.min == self.max:
            return 0
        if self.sampling == "linear":
            return (value - self.min) / self.step
        return (math.log(value) - math.log(self.min)) / math.log(self.step) if value > 0 else 0

    def _at(self, index: int) -> float:
        if index == 0 or self.step is None:
            return self.min
        if self.sampling == "log":
            value = self.min * self.step**index
        else:
            value = self.min + index * self.step
        # 15 significant digits are what a double keeps of a decimal: 3 * 0.1 is 0.3 again.
        return min(float(f"{value:.15g}"), self.max)


class _Listed:
    """A parameter whose values are listed."""

    __slots__ = ()

    def options(self) -> tuple[Value, ...]:
        """Return every value, in their order."""
        raise NotImplementedError

    def points(self, count: int) -> tuple[Value, ...]:
        """Return the values of a grid: all of them."""
        return self.options()

    def canonical(self, value: Value) -> Value | None:
        """Return the value as this parameter has it; None if it is not one of its values."""
        for own in self.options():
            if own == value and isinstance(own, bool) == isinstance(value, bool):
                return own
        return None


@dataclass(frozen=True, slots=True)
class Choice(_Listed):
    """One of the listed values, all of one type."""

    values: tuple[Value, ...]

    def options(self) -> tuple[Value, ...]:
        """Return every value, in the given order."""
        return self.values

    def document(self) -> dict[str, object]:
        """Return the JSON form."""
        return {"type": "choice", "values": list(self.values)}


@dataclass(frozen=True, slots=True)
class Boolean(_Listed):
    """False or true."""

    def options(self) -> tuple[Value, ...]:
        """Return both values."""
        return (False, True)

    def document(self) -> dict[str, object]:
        """Return the JSON form."""
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Fixed(_Listed):
    """One value that is not searched."""

    value: Value

    def options(self) -> tuple[Value, ...]:
        """Return the one value."""
        return (self.value,)

    def document(self) -> Value:
        """Return the JSON form: the plain value."""
        return self.value


Tunable = Int | Float | Choice | Boolean
Parameter = Tunable | Fixed


def interpolate(low: float, high: float, share: float, sampling: Sampling) -> float:
    """Return the number at `share`, 0 to 1, of the way from `low` to `high`."""
    if sampling == "log":
        return float(low * (high / low) ** share)
    return low + (high - low) * share


def _spread(low: float, high: float, count: int, sampling: Sampling) -> list[float]:
    """Return `count` values evenly spread from `low` to `high`; one alone is the middle."""
    shares = [index / (count - 1) for index in range(count)] if count > 1 else [0.5]
    inner = [interpolate(low, high, share, sampling) for share in shares]
    return [min(max(float(f"{value:.12g}"), low), high) for value in inner]


def _range_document(parameter: Int | Float) -> dict[str, object]:
    document: dict[str, object] = {"min": parameter.min, "max": parameter.max}
    if parameter.step is not None:
        document["step"] = parameter.step
    if parameter.sampling != "linear":
        document["sampling"] = parameter.sampling
    return document
