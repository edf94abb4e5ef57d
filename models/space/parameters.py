"""What a hyperparameter may take in a search: a range, a choice, or one fixed value.

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

    Without a step every whole number between may be taken. With sampling "log" the step is the
    factor between two neighbours.
    """

    min: int
    max: int
    step: int | None = None
    sampling: Sampling = "linear"

    def options(self) -> tuple[int, ...]:
        """Every value, smallest first."""
        if self.sampling == "linear" or self.step is None:
            return tuple(range(self.min, self.max + 1, self.step or 1))
        values = [self.min]
        while values[-1] * self.step <= self.max:
            values.append(values[-1] * self.step)
        return tuple(values)

    def points(self, count: int) -> tuple[int, ...]:
        """The values that a grid takes: all where there is a step, else at most `count`."""
        if self.step is not None or self.max - self.min < count:
            return self.options()
        spread = _spread(self.min, self.max, count, self.sampling)
        return tuple(sorted({round(value) for value in spread}))

    def canonical(self, value: Value) -> int | None:
        """The value as this parameter takes it, None where it cannot."""
        if isinstance(value, bool) or not isinstance(value, int):
            return None
        if self.step is None:
            return value if self.min <= value <= self.max else None
        return value if value in self.options() else None

    def document(self) -> dict[str, object]:
        """The JSON form."""
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

    def count(self) -> int | None:
        """How many values there are, None where the range is continuous."""
        if self.min == self.max:
            return 1
        if self.step is None:
            return None
        if self.sampling == "log":
            steps = (math.log(self.max) - math.log(self.min)) / math.log(self.step)
        else:
            steps = (self.max - self.min) / self.step
        return math.floor(steps + _STEP_TOLERANCE) + 1

    def options(self) -> tuple[float, ...] | None:
        """Every value, smallest first, None where the range is continuous."""
        count = self.count()
        return None if count is None else tuple(self._at(index) for index in range(count))

    def _at(self, index: int) -> float:
        if index == 0 or self.step is None:
            return self.min
        if self.sampling == "log":
            value = self.min * self.step**index
        else:
            value = self.min + index * self.step
        # 15 significant digits are what a double keeps of a decimal: 3 * 0.1 is 0.3 again.
        return min(float(f"{value:.15g}"), self.max)

    def points(self, count: int) -> tuple[float, ...]:
        """The values that a grid takes: all where there is a step, else `count` of them."""
        options = self.options()
        if options is not None:
            return options
        return tuple(_spread(self.min, self.max, count, self.sampling))

    def canonical(self, value: Value) -> float | None:
        """The value as this parameter takes it, None where it cannot."""
        if isinstance(value, bool | str):
            return None
        count = self.count()
        if count is None:
            return float(value) if self.min <= value <= self.max else None
        index = min(max(round(self._steps_to(value)), 0), count - 1)
        nearest = self._at(index)
        slack = _STEP_TOLERANCE * self.step if self.step and self.sampling == "linear" else 0.0
        return nearest if math.isclose(value, nearest, rel_tol=1e-9, abs_tol=slack) else None

    def _steps_to(self, value: float) -> float:
        if self.step is None:
            return 0
        if self.sampling == "linear":
            return (value - self.min) / self.step
        return math.log(value / self.min) / math.log(self.step) if value > 0 else 0

    def document(self) -> dict[str, object]:
        """The JSON form."""
        return {"type": "float", **_range_document(self)}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the listed values, all of one type."""

    values: tuple[Value, ...]

    def options(self) -> tuple[Value, ...]:
        """Every value, in the order given."""
        return self.values

    def points(self, count: int) -> tuple[Value, ...]:
        """The values that a grid takes: all of them."""
        return self.values

    def canonical(self, value: Value) -> Value | None:
        """The value as this parameter takes it, None where it cannot."""
        return next((own for own in self.values if _same(own, value)), None)

    def document(self) -> dict[str, object]:
        """The JSON form."""
        return {"type": "choice", "values": list(self.values)}


@dataclass(frozen=True, slots=True)
class Boolean:
    """False or true."""

    def options(self) -> tuple[bool, ...]:
        """Every value."""
        return (False, True)

    def points(self, count: int) -> tuple[bool, ...]:
        """The values that a grid takes: both."""
        return self.options()

    def canonical(self, value: Value) -> bool | None:
        """The value as this parameter takes it, None where it cannot."""
        return value if isinstance(value, bool) else None

    def document(self) -> dict[str, object]:
        """The JSON form."""
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Fixed:
    """One value that is not searched."""

    value: Value

    def options(self) -> tuple[Value, ...]:
        """The one value."""
        return (self.value,)

    def points(self, count: int) -> tuple[Value, ...]:
        """The one value."""
        return (self.value,)

    def canonical(self, value: Value) -> Value | None:
        """The value as this parameter takes it, None where it cannot."""
        return self.value if _same(self.value, value) else None

    def document(self) -> Value:
        """The JSON form: the plain value."""
        return self.value


Tunable = Int | Float | Choice | Boolean
Parameter = Tunable | Fixed


def _same(own: Value, given: Value) -> bool:
    return own == given and isinstance(own, bool) == isinstance(given, bool)


def _spread(low: float, high: float, count: int, sampling: Sampling) -> list[float]:
    """`count` values evenly spread from `low` to `high`; one alone is the middle."""
    shares = [index / (count - 1) for index in range(count)] if count > 1 else [0.5]
    if sampling == "log":
        inner = [low * (high / low) ** share for share in shares]
    else:
        inner = [low + (high - low) * share for share in shares]
    return [min(max(float(f"{value:.12g}"), low), high) for value in inner]


def _range_document(parameter: Int | Float) -> dict[str, object]:
    document: dict[str, object] = {"min": parameter.min, "max": parameter.max}
    if parameter.step is not None:
        document["step"] = parameter.step
    if parameter.sampling != "linear":
        document["sampling"] = parameter.sampling
    return document
