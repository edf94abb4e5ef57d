"""Narrowing of a search space to the region of good trials."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from models.space.hyperparameters import Condition, TrialValues, Value
from models.space.parameters import Boolean, Choice, Fixed, Float, Int, Parameter
from models.space.space import SearchSpace, SpaceEntry

MARGIN = 0.1  # share of a continuous range kept on either side; a stepped range keeps one step


def narrow(space: SearchSpace, best: Sequence[TrialValues]) -> SearchSpace:
    """Narrow `space` to its trials `best`, which it must cover.

    Ranges keep the smallest to the largest value and a margin; choices keep the values that occur;
    the number of layers is a range like any other. A hyperparameter that none of the trials has
    stays as it is, or is left out if it can no longer have an effect. The result lies inside
    `space` and covers `best`.
    """
    cut = {name: _cut_entry(entry, _seen(name, best)) for name, entry in space.parameters.items()}
    while True:
        narrowed, parent = _without_idle(SearchSpace(space.network, cut))
        if parent is None:
            break
        cut[parent] = space.parameters[parent]
    reachable = {name: _reachable(narrowed, entry) for name, entry in narrowed.parameters.items()}
    return SearchSpace(space.network, reachable)


def _seen(name: str, best: Sequence[TrialValues]) -> list[Value]:
    """Return the values of a hyperparameter in all trials and layers."""
    seen: list[Value] = []
    for values in best:
        value = values.get(name, [])
        seen.extend(value if isinstance(value, list) else [value])
    return seen


def _cut_entry(entry: SpaceEntry, seen: Sequence[Value]) -> SpaceEntry:
    return replace(entry, parameter=_cut(entry.parameter, seen)) if seen else entry


def _cut(parameter: Parameter, seen: Sequence[Value]) -> Parameter:
    match parameter:
        case Fixed():
            return parameter
        case Choice() | Boolean():
            left = tuple(value for value in parameter.options() if value in seen)
            return parameter if len(left) == len(parameter.options()) else Choice(left)
        case Int(step=None):
            low, high = _widened(parameter, _numbers(seen))
            return replace(
                parameter,
                min=max(parameter.min, math.floor(low)),
                max=min(parameter.max, math.ceil(high)),
            )
        case Int():
            inner = _neighbours(parameter.options(), seen)
            return replace(parameter, min=int(inner[0]), max=int(inner[-1]))
        case Float():
            return _cut_float(parameter, seen)


def _cut_float(parameter: Float, seen: Sequence[Value]) -> Float:
    options = parameter.options()
    if options is None:
        numbers = _numbers(seen)
        low, high = (float(f"{end:.3g}") for end in _widened(parameter, numbers))
        # Rounded ends are easier to read, but must not cut off a value.
        low, high = min(low, *numbers), max(high, *numbers)
        return replace(parameter, min=max(parameter.min, low), max=min(parameter.max, high))
    inner = _neighbours(options, seen)
    cut = replace(parameter, min=float(inner[0]), max=float(inner[-1]))
    # From another start, the same steps may give other last digits.
    return cut if cut.options() == inner else replace(parameter, max=float(inner[-1]))


def _numbers(seen: Iterable[Value]) -> list[float]:
    return [float(value) for value in seen]


def _widened(parameter: Int | Float, seen: Sequence[float]) -> tuple[float, float]:
    """Return the ends of `seen`, moved outwards by a share of the old range."""
    if parameter.sampling == "log":
        factor = (parameter.max / parameter.min) ** MARGIN
        return min(seen) / factor, max(seen) * factor
    margin = (parameter.max - parameter.min) * MARGIN
    return min(seen) - margin, max(seen) + margin


def _neighbours(options: tuple[int | float, ...], seen: Sequence[Value]) -> tuple[int | float, ...]:
    """Return the options from one below the smallest value to one above the largest."""
    places = [options.index(float(value)) for value in seen]
    return options[max(0, min(places) - 1) : max(places) + 2]


def _without_idle(space: SearchSpace) -> tuple[SearchSpace, str | None]:
    """Return the space without entries that can never have an effect.

    Returns also a parent that must stay wide, if there is one: without its entry, a hyperparameter
    that only its `when` disables would have an effect.
    """
    while (blocked := _blocked(space)) is not None:
        name, parent = blocked
        if not _is_idle(space, name) or _has_children(space, name):
            return space, parent
        left = {other: entry for other, entry in space.parameters.items() if other != name}
        space = SearchSpace(space.network, left)
    return space, None


def _blocked(space: SearchSpace) -> tuple[str, str] | None:
    """Return a hyperparameter that a parent disables, and that parent."""
    for name in space.parameters:
        for parent, allowed in space.conditions(name).items():
            if not set(space.parameter(parent).options() or ()) & set(allowed):
                return name, parent
    return None


def _is_idle(space: SearchSpace, name: str) -> bool:
    """Whether `name` has no effect, whatever its entry is."""
    return any(
        not set(space.parameter(condition.parent).options() or ()) & set(condition.values)
        for condition in space.known[name].when
    )


def _has_children(space: SearchSpace, name: str) -> bool:
    return any(item.parent == name for entry in space.parameters.values() for item in entry.when)


def _reachable(space: SearchSpace, entry: SpaceEntry) -> SpaceEntry:
    """Return the entry with conditions on values that their parents still take."""
    when = tuple(
        Condition(parent, tuple(value for value in values if value in options))
        for parent, values, options in (
            (item.parent, item.values, space.parameter(item.parent).options() or ())
            for item in entry.when
        )
    )
    return replace(entry, when=when)
