"""Points of a search space, drawn as the strategies draw them, for those who only want to look."""

import random
from collections.abc import Callable, Mapping

from models.space.combinations import Block, blocks
from models.space.dimension import Dimension
from models.space.hyperparameters import Value
from models.space.parameters import Float, Int, Tunable
from models.space.space import SearchSpace

Values = dict[str, Value | list[Value]]


def corner(space: SearchSpace, share: float) -> Values:
    """The full values where every number lies at `share` of its range: 0 its least, 1 its most."""
    return _walk(space, lambda dimension: _at(dimension.parameter, share))


def draw(space: SearchSpace, generator: random.Random) -> Values:
    """The full values of one point, each hyperparameter drawn on its own."""
    return _walk(space, lambda dimension: _at(dimension.parameter, generator.random()))


def draw_from_grid(
    space: SearchSpace, points: int, count: int, generator: random.Random
) -> list[Values]:
    """`count` points of a grid with `points` values a range, each combination equally likely."""
    parts = list(blocks(space.dimensions, lambda dimension: dimension.parameter.points(points)))
    weights = [_combinations(part) for part in parts]
    chosen = generator.choices(parts, weights, k=count)
    return [
        space.resolve({name: generator.choice(values) for name, values in part.items()})
        for part in chosen
    ]


def _walk(space: SearchSpace, pick: Callable[[Dimension], Value]) -> Values:
    flat: dict[str, Value] = {}
    for dimension in space.dimensions:
        if dimension.active(flat):
            flat[dimension.name] = pick(dimension)
    return space.resolve(flat)


def _at(parameter: Tunable, share: float) -> Value:
    if isinstance(parameter, Int | Float) and parameter.step is None:
        low, high = parameter.min, parameter.max
        if parameter.sampling == "log":
            inside = low * (high / low) ** share
        else:
            inside = low + (high - low) * share
        return round(inside) if isinstance(parameter, Int) else float(inside)
    options = list(parameter.options() or ())
    if all(isinstance(option, int | float) for option in options):
        options.sort()
    return options[min(int(share * len(options)), len(options) - 1)]


def _combinations(part: Mapping[str, tuple[Value, ...]] | Block) -> float:
    product = 1.0
    for values in part.values():
        product *= len(values)
    return product
