"""The dimensions of a search space, and their active combinations by index."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from models.space.hyperparameters import Condition, Value
from models.space.parameters import Tunable


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
