"""Points of a search space drawn without an oracle, for estimates."""

import random
from collections.abc import Callable

from models.space.hyperparameters import Value
from models.space.parameters import Combinations, Dimension, Float, Int, Tunable, interpolate
from models.space.space import SearchSpace

Values = dict[str, Value | list[Value]]


def corner(space: SearchSpace, share: float) -> Values:
    """Return the full values with every number at `share` of its range: 0 is min, 1 is max."""
    return space.resolve(_walk(space, lambda dimension: value_at(dimension.parameter, share)))


def draw(space: SearchSpace, generator: random.Random) -> Values:
    """Return the full values of one point; each hyperparameter is drawn independently."""
    return space.resolve(draw_flat(space, generator))


def draw_flat(space: SearchSpace, generator: random.Random) -> dict[str, Value]:
    """Return the values of the active dimensions of one point that is drawn as `draw` does."""
    return _walk(space, lambda dimension: value_at(dimension.parameter, generator.random()))


def draw_from_grid(
    space: SearchSpace, points: int, count: int, generator: random.Random
) -> list[Values]:
    """Draw `count` points of a grid with `points` values a range, each equally likely."""
    grid = Combinations(space.dimensions, lambda dimension: dimension.parameter.points(points))
    return [space.resolve(grid.at(generator.randrange(grid.count))) for _ in range(count)]


def _walk(space: SearchSpace, pick: Callable[[Dimension], Value]) -> dict[str, Value]:
    flat: dict[str, Value] = {}
    for dimension in space.dimensions:
        if dimension.active(flat):
            flat[dimension.name] = pick(dimension)
    return flat


def value_at(parameter: Tunable, share: float) -> Value:
    """Return the value at `share`, 0 to 1, of the way through the values of `parameter`."""
    if isinstance(parameter, Float) and parameter.step is None:
        return float(interpolate(parameter.min, parameter.max, share, parameter.sampling))
    if isinstance(parameter, Int) and parameter.step is None:
        # Half a number more at each end, so that the ends are as likely as their neighbours.
        value = interpolate(parameter.min - 0.5, parameter.max + 0.5, share, parameter.sampling)
        return min(max(round(value), parameter.min), parameter.max)
    options = list(parameter.options() or ())
    if all(isinstance(option, int | float) for option in options):
        options.sort()
    return options[min(int(share * len(options)), len(options) - 1)]
