"""Points of a search space drawn without an oracle, for estimates."""

import random
from collections.abc import Callable

from models.space.hyperparameters import Value
from models.space.parameters import Combinations, Dimension, Float, Int, Tunable, interpolate
from models.space.space import SearchSpace

Values = dict[str, Value | list[Value]]


def corner(space: SearchSpace, share: float) -> Values:
    """Return the full values with every number at `share` of its range: 0 is min, 1 is max."""
    return _walk(space, lambda dimension: _at(dimension.parameter, share))


def draw(space: SearchSpace, generator: random.Random) -> Values:
    """Return the full values of one point; each hyperparameter is drawn independently."""
    return _walk(space, lambda dimension: _at(dimension.parameter, generator.random()))


def draw_from_grid(
    space: SearchSpace, points: int, count: int, generator: random.Random
) -> list[Values]:
    """Draw `count` points of a grid with `points` values a range, each equally likely."""
    grid = Combinations(space.dimensions, lambda dimension: dimension.parameter.points(points))
    return [space.resolve(grid.at(generator.randrange(grid.count))) for _ in range(count)]


def _walk(space: SearchSpace, pick: Callable[[Dimension], Value]) -> Values:
    flat: dict[str, Value] = {}
    for dimension in space.dimensions:
        if dimension.active(flat):
            flat[dimension.name] = pick(dimension)
    return space.resolve(flat)


def _at(parameter: Tunable, share: float) -> Value:
    if isinstance(parameter, Int | Float) and parameter.step is None:
        value = interpolate(parameter.min, parameter.max, share, parameter.sampling)
        return round(value) if isinstance(parameter, Int) else float(value)
    options = list(parameter.options() or ())
    if all(isinstance(option, int | float) for option in options):
        options.sort()
    return options[min(int(share * len(options)), len(options) - 1)]
