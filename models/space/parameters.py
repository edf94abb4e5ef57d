"""The values of one hyperparameter in a search, and the dimensions that oracles decide.

A parameter is a range, a choice or one fixed value. Values with a step are counted and addressed by
index, so that 0 to 0.5 in steps of 0.1 has six values and the fourth is 0.3, not
0.30000000000000004.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from models.space.hyperparameters import Condition, Value

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


def is_ordered(parameter: Tunable) -> bool:
    """Whether values close to each other are alike: numbers are, other choices need not be."""
    if isinstance(parameter, Int | Float):
        return True
    return all(type(value) in (int, float) for value in parameter.options())


def nearest(parameter: Tunable, value: Value) -> Value:
    """Return the value of `parameter` that is closest to `value`; the first of other choices."""
    own = parameter.canonical(value)
    if own is not None:
        return own
    if not isinstance(value, int | float) or not is_ordered(parameter):
        return (parameter.options() or ())[0]
    if isinstance(parameter, Int | Float) and parameter.step is None:
        return min(max(type(parameter.min)(value), parameter.min), parameter.max)
    return min(parameter.options() or (), key=lambda each: abs(float(each) - value))


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


@dataclass(frozen=True, slots=True)
class Dimension:
    """One number or choice that an oracle decides."""

    name: str  # of the hyperparameter, with _1, _2, … for the layers
    parameter: Tunable
    hyperparameter: str
    layer: int | None = None  # 1 is the first layer
    when: tuple[Condition, ...] = ()  # on dimensions; all must hold for it to be active

    def active(self, flat: Mapping[str, Value]) -> bool:
        """Whether it has an effect, given the values of the dimensions before it."""
        return all(
            condition.parent in flat and flat[condition.parent] in condition.values
            for condition in self.when
        )


Options = Callable[[Dimension], tuple[Value, ...]]
"""Returns the values that a dimension takes."""

_Block = dict[str, tuple[Value, ...]]  # active together: every combination of the values is one


class Combinations:
    """Every active combination of `dimensions` (parents first) once, none of them written out.

    Values of a parent that switch the same children on are grouped, so that there are few blocks
    of combinations to search for an index.
    """

    def __init__(self, dimensions: Sequence[Dimension], options: Options) -> None:
        self._blocks = list(_blocks(dimensions, options))
        self._sizes = [math.prod(map(len, block.values())) for block in self._blocks]
        self.count = sum(self._sizes)

    def at(self, index: int) -> dict[str, Value]:
        """Return the values of the active dimensions of combination `index`, from 0."""
        for block, size in zip(self._blocks, self._sizes, strict=True):
            if index < size:
                return _combination(block, index)
            index -= size
        raise IndexError(f"There is no such combination of {self.count}.")


def _combination(block: _Block, index: int) -> dict[str, Value]:
    values: dict[str, Value] = {}
    # Saved searches continue by index: the last name in the alphabet always varies fastest.
    for name in sorted(block, reverse=True):
        index, place = divmod(index, len(block[name]))
        values[name] = block[name][place]
    return values


def _blocks(dimensions: Sequence[Dimension], options: Options) -> Iterator[_Block]:
    by_parent: dict[str, list[Condition]] = {}
    for dimension in dimensions:
        for condition in dimension.when:
            by_parent.setdefault(condition.parent, []).append(condition)
    groups = {
        dimension.name: _groups(options(dimension), by_parent.get(dimension.name, []))
        for dimension in dimensions
    }

    def walk(index: int, block: _Block) -> Iterator[_Block]:
        # All values of a group meet the same conditions, so the first stands for the group.
        first = {name: values[0] for name, values in block.items()}
        while index < len(dimensions) and not dimensions[index].active(first):
            index += 1
        if index == len(dimensions):
            yield block
            return
        name = dimensions[index].name
        for group in groups[name]:
            yield from walk(index + 1, {**block, name: group})

    return walk(0, {})


def _groups(values: tuple[Value, ...], conditions: Sequence[Condition]) -> list[tuple[Value, ...]]:
    groups: dict[tuple[bool, ...], list[Value]] = {}
    for value in values:
        meets = tuple(value in condition.values for condition in conditions)
        groups.setdefault(meets, []).append(value)
    return [tuple(group) for group in groups.values()]
