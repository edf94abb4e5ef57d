"""Which values stand for those that a job will try."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from models.jobs.spec import JobSpec
from models.networks.size import Size
from models.oracles.strategy import Grid, Manual
from models.space.drawing import Values, corner, draw, draw_from_grid

DRAWS = 200


@dataclass(frozen=True, slots=True)
class Points:
    """Full values of trials."""

    drawn: Sequence[Values]  # as the strategy will; at least one
    enqueued: Sequence[Values]  # by the user, tried before the strategy's own
    smallest: Values  # network, in the largest batches
    largest: Values  # network, in the smallest batches
    to_measure: Sequence[Values]  # all different, the most telling first


def choose_points(spec: JobSpec, size: Callable[[Values], Size]) -> Points:
    """The points of a job; the same for the same job."""
    space, strategy = spec.space, spec.strategy
    generator = random.Random(spec.seed)
    enqueued = space.check_all(strategy.initial_trials)

    def products(values: Values) -> int:
        return size(values).multiply_adds

    if isinstance(strategy, Manual):
        drawn = space.check_all(strategy.trials)[: spec.budget.max_trials]
        smallest, largest = min(drawn, key=products), max(drawn, key=products)
        return Points(drawn, enqueued, smallest, largest, _distinct([largest, smallest, *drawn]))
    if isinstance(strategy, Grid):
        drawn = draw_from_grid(space, strategy.points, DRAWS, generator)
    else:
        drawn = [draw(space, generator) for _ in range(DRAWS)]
    least, most = corner(space, 0), corner(space, 1)
    smallest = min(least, *drawn, key=products)
    largest = max(most, *drawn, key=products)
    smallest, widest = _in_batches_of(most, smallest), _in_batches_of(most, largest)
    largest = _in_batches_of(least, largest)
    telling = [largest, smallest, widest, *drawn]
    return Points(drawn, enqueued, smallest, largest, _distinct(telling))


def _in_batches_of(other: Values, values: Values) -> Values:
    """`values` with the other's batch size, where the space lets both have one."""
    if "batch_size" not in values or "batch_size" not in other:
        return values
    return {**values, "batch_size": other["batch_size"]}


def _distinct(listed: Sequence[Values]) -> list[Values]:
    found: list[Values] = []
    for values in listed:
        if values not in found:
            found.append(values)
    return found
