"""The rules between hyperparameters of one search space: conditions must name what can be."""

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter

from marshmallow import ValidationError

from models.space.hyperparameters import (
    Condition,
    Hyperparameter,
    Value,
    in_words,
    parsed,
    unknown,
)
from models.space.parameters import Fixed
from models.space.space import SearchSpace, SpaceEntry

Entries = Mapping[str, SpaceEntry]
Known = Mapping[str, Hyperparameter]


def link(network: str, entries: Entries, known: Known) -> SearchSpace:
    """Build the space, its conditions checked against each other.

    Raises ValidationError with the messages by path.
    """
    errors: dict[str, object] = {}
    linked: dict[str, SpaceEntry] = {}
    for name, entry in entries.items():
        try:
            when = _conditions(name, entry, entries, known)
            linked[name] = SpaceEntry(entry.parameter, entry.per_layer, when)
        except ValidationError as error:
            errors[name] = {"when": error.messages}
    if errors:
        raise ValidationError(errors)
    _refuse_cycles(linked, known)
    space = SearchSpace(network, linked)
    _refuse_idle(space)
    return space


def _conditions(
    name: str, entry: SpaceEntry, entries: Entries, known: Known
) -> tuple[Condition, ...]:
    if entry.when and any(row.layers == name for row in known.values()):
        raise ValidationError(f"{name} is always in effect: others depend on it.")
    conditions = []
    errors: dict[str, object] = {}
    for condition in entry.when:
        try:
            _check_parent(name, condition.parent, entries, known)
            row, parent = known[condition.parent], entries[condition.parent]
            conditions.append(_taken(condition, row, parent))
        except ValidationError as error:
            errors[condition.parent] = error.messages
    if errors:
        raise ValidationError(errors)
    return tuple(conditions)


def _check_parent(name: str, parent: str, entries: Entries, known: Known) -> None:
    if parent == name:
        raise ValidationError("Cannot depend on itself.")
    if parent not in known:
        raise ValidationError(unknown("hyperparameter", parent, known))
    if parent not in entries:
        raise ValidationError(f"{parent} is not in this search space: name it there too.")
    if entries[parent].per_layer:
        raise ValidationError(f"{parent} has a value for each layer; a condition needs one value.")
    if entries[parent].parameter.options() is None:
        raise ValidationError(f"{parent} is a continuous range; give it a step or choices.")


def _taken(condition: Condition, row: Hyperparameter, parent: SpaceEntry) -> Condition:
    values: list[Value] = []
    errors: dict[int, object] = {}
    for index, value in enumerate(condition.values):
        try:
            own = parent.parameter.canonical(parsed(row, value))
            if own is None:
                raise ValidationError(f"{row.name} never takes {value!r} in this search space.")
            values.append(own)
        except ValidationError as error:
            errors[index] = error.messages
    if errors:
        raise ValidationError(errors)
    return Condition(condition.parent, tuple(dict.fromkeys(values)))


def _refuse_cycles(entries: Entries, known: Known) -> None:
    edges = {name: [item.parent for item in known[name].when] for name in known}
    for name, entry in entries.items():
        edges[name] += [item.parent for item in entry.when]
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        # The sorter lists each name before the one that depends on it.
        cycle = list(reversed(error.args[1]))
        first = next(name for name in cycle if name in entries and entries[name].when)
        raise ValidationError(
            {first: {"when": [f"Depends on itself: {' → '.join(cycle)}."]}}
        ) from error


def _refuse_idle(space: SearchSpace) -> None:
    """Refuse what is named but could never have an effect."""
    errors: dict[str, object] = {}
    for name in space.parameters:
        for condition in space.known[name].when:
            parameter = space.parameter(condition.parent)
            allowed = space.conditions(name)[condition.parent]
            if any(value in allowed for value in parameter.options() or ()):
                continue
            here = f", here it is {parameter.value}" if isinstance(parameter, Fixed) else ""
            errors[name] = [f"Has no effect unless {in_words(condition)}{here}."]
    if errors:
        raise ValidationError(errors)
