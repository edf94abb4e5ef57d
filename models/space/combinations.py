"""The combinations of values that conditions leave, counted without writing them all out."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from models.space.dimension import Dimension
from models.space.hyperparameters import Condition, Value

Block = dict[str, tuple[Value, ...]]
"""Dimensions that are active together: every combination of their values is one to try."""


def blocks(
    dimensions: Sequence[Dimension], options: Callable[[Dimension], tuple[Value, ...]]
) -> Iterator[Block]:
    """Split the space into blocks that cover every active combination exactly once.

    `dimensions` come parents first; `options` answers the values that a dimension takes. Values of
    a parent that switch the same children on share a block, so there are few of them.
    """
    by_parent: dict[str, list[Condition]] = {}
    for dimension in dimensions:
        for condition in dimension.when:
            by_parent.setdefault(condition.parent, []).append(condition)
    groups = {
        dimension.name: _groups(options(dimension), by_parent.get(dimension.name, []))
        for dimension in dimensions
    }

    def walk(index: int, block: Block) -> Iterator[Block]:
        while index < len(dimensions) and not _active(dimensions[index], block):
            index += 1
        if index == len(dimensions):
            yield block
            return
        name = dimensions[index].name
        for group in groups[name]:
            yield from walk(index + 1, {**block, name: group})

    return walk(0, {})


def count(blocks: Iterator[Block]) -> int:
    """Count the combinations in `blocks`."""
    return sum(math.prod(len(values) for values in block.values()) for block in blocks)


def _groups(values: tuple[Value, ...], conditions: Sequence[Condition]) -> list[tuple[Value, ...]]:
    groups: dict[tuple[bool, ...], list[Value]] = {}
    for value in values:
        meets = tuple(value in condition.values for condition in conditions)
        groups.setdefault(meets, []).append(value)
    return [tuple(group) for group in groups.values()]


def _active(dimension: Dimension, block: Mapping[str, tuple[Value, ...]]) -> bool:
    # All values of a group meet the same conditions, so the first speaks for the group.
    return all(
        condition.parent in block and block[condition.parent][0] in condition.values
        for condition in dimension.when
    )
