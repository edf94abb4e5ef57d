"""Rules between the hyperparameters of a search space: conditions, cycles, idle entries."""

from collections.abc import Mapping
from dataclasses import replace
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
from models.space.space import SearchSpace, SpaceEntry, gather

Entries = Mapping[str, SpaceEntry]
Known = Mapping[str, Hyperparameter]


def link(network: str, entries: Entries, known: Known) -> SearchSpace:
    """Build a space and check its conditions against each other.

    Raises ValidationError with the messages by path.
    """
    linked = gather(entries.items(), lambda name, entry: _linked(name, entry, entries, known))
    _refuse_cycles(linked, known)
    # The order of the table, not of the document: JSON stores may reorder keys, and the same seed
    # must give the same trials.
    space = SearchSpace(network, {name: linked[name] for name in known if name in linked})
    _refuse_idle(space)
    return space


def _linked(name: str, entry: SpaceEntry, entries: Entries, known: Known) -> SpaceEntry:
    def convert(parent: str, condition: Condition) -> Condition:
        _check_parent(name, parent, entries, known)
        return _taken(condition, known[parent], entries[parent])

    if entry.when and any(row.layers == name for row in known.values()):
        raise ValidationError({"when": [f"{name} is always in effect: others depend on it."]})
    try:
        conditions = gather(((item.parent, item) for item in entry.when), convert)
    except ValidationError as error:
        raise ValidationError({"when": error.messages}) from error
    return replace(entry, when=tuple(conditions.values()))


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
    def convert(_: int, value: Value) -> Value:
        own = parent.parameter.canonical(parsed(row, value))
        if own is None:
            raise ValidationError(f"{row.name} never takes {value!r} in this search space.")
        return own

    values = gather(enumerate(condition.values), convert).values()
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
    """Raise ValidationError for entries that can never have an effect."""
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
