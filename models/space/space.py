"""Search spaces: their conversion to dimensions and back, and the rules between hyperparameters."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from graphlib import CycleError, TopologicalSorter

from marshmallow import ValidationError

from models.space.hyperparameters import (
    Condition,
    Hyperparameter,
    TrialValues,
    Value,
    gather,
    hyperparameters_of,
    in_words,
    layer_value,
    parsed,
    parsed_list,
    unknown,
    unknown_hyperparameter,
)
from models.space.parameters import Combinations, Dimension, Fixed, Parameter, Tunable, nearest


@dataclass(frozen=True, slots=True)
class SpaceEntry:
    """The entry of one hyperparameter in a search space."""

    parameter: Parameter
    per_layer: bool = False  # every layer has a value of its own
    when: tuple[Condition, ...] = ()  # all must hold, else the hyperparameter is left out


@dataclass(frozen=True)
class SearchSpace:
    """The searched or fixed hyperparameters of a network; the others keep their defaults.

    `load_space` checks a document and builds one.
    """

    network: str
    parameters: Mapping[str, SpaceEntry]  # in the order of the network's table

    @cached_property
    def known(self) -> dict[str, Hyperparameter]:
        """Every hyperparameter of the network."""
        return hyperparameters_of(self.network)

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The names of all hyperparameters, parents first."""
        edges = {name: list(self.conditions(name)) for name in self.known}
        return tuple(TopologicalSorter(edges).static_order())

    @cached_property
    def dimensions(self) -> tuple[Dimension, ...]:
        """The dimensions that an oracle decides, parents first."""
        return tuple(self._flattened())

    def parameter(self, name: str) -> Parameter:
        """Return the values of a hyperparameter: those of the space, or its default."""
        entry = self.parameters.get(name)
        return Fixed(self.known[name].default) if entry is None else entry.parameter

    def conditions(self, name: str) -> dict[str, tuple[Value, ...]]:
        """Return the values that each parent must have for `name` to have an effect."""
        entry = self.parameters.get(name)
        merged: dict[str, tuple[Value, ...]] = {}
        for condition in self.known[name].when + (() if entry is None else entry.when):
            merged = _both(merged, {condition.parent: condition.values})
        return merged

    def applies(self, name: str, values: TrialValues) -> bool:
        """Whether `name` has an effect, given the `values` of its parents."""
        needs = self.conditions(name).items()
        return all(self._in_effect(parent, values) in allowed for parent, allowed in needs)

    def _in_effect(self, name: str, values: TrialValues) -> Value | list[Value] | None:
        """Return the value of a parent: its default if it is optional and nobody names it."""
        is_left_out = self.known[name].optional and name not in self.parameters
        return values.get(name, self.known[name].default if is_left_out else None)

    def foreign(
        self, names: Iterable[str], task: str, has_image: bool = False
    ) -> dict[str, list[str]]:
        """Return a message for each of the known `names` that has no effect on such data."""
        found = {}
        for row in (self.known[name] for name in names if name in self.known):
            if row.tasks and task not in row.tasks:
                found[row.name] = [f"Only for {' or '.join(row.tasks)}; the task is {task}."]
            if has_image and not row.has_effect_on({"image"}):
                found[row.name] = ["Encodes columns; the feature is an image."]
        return found

    def resolve(self, flat: Mapping[str, Value]) -> dict[str, Value | list[Value]]:
        """Return the full values of a trial from those of its active dimensions.

        They have every hyperparameter in effect, fixed ones and defaults included, but optional
        ones only if the space names them. A per-layer one is a list with a value for each layer.
        Raises ValueError if an active dimension has no value.
        """
        values: dict[str, Value | list[Value]] = {}
        for name in self.order:
            if self._is_part(name) and self.applies(name, values):
                values[name] = self._value(name, flat, values)
        return {name: values[name] for name in self.known if name in values}

    def flatten(self, values: TrialValues) -> dict[str, Value]:
        """Return the values of the active dimensions: the inverse of `resolve`."""
        flat: dict[str, Value] = {}
        for dimension in self.dimensions:
            value = values.get(dimension.hyperparameter)
            if isinstance(value, list):
                if dimension.layer is not None and dimension.layer <= len(value):
                    flat[dimension.name] = value[dimension.layer - 1]
            elif value is not None and dimension.active(flat):
                flat[dimension.name] = value
        return flat

    def covers(self, values: TrialValues) -> bool:
        """Whether an oracle of this space can propose exactly these full values."""
        flat = self.flatten(values)
        if any(
            dimension.parameter.canonical(flat[dimension.name]) != flat[dimension.name]
            for dimension in self.dimensions
            if dimension.name in flat
        ):
            return False
        return all(
            dimension.name in flat for dimension in self.dimensions if dimension.active(flat)
        ) and self.resolve(flat) == dict(values)

    def nearest(self, values: TrialValues) -> dict[str, Value]:
        """Return the nearest values of the active dimensions to `values`, which may lack some."""
        flat: dict[str, Value] = {}
        for dimension in self.dimensions:
            if dimension.active(flat):
                wanted = layer_value(values, dimension.hyperparameter, (dimension.layer or 1) - 1)
                flat[dimension.name] = nearest(dimension.parameter, wanted)
        return flat

    def size(self) -> int | None:
        """Count the distinct active combinations; None if a range is continuous."""
        options = {dimension.name: dimension.parameter.options() for dimension in self.dimensions}
        if None in options.values():
            return None
        return Combinations(self.dimensions, lambda dimension: options[dimension.name] or ()).count

    def check(
        self, values: Mapping[str, object], task: str | None = None, has_image: bool = False
    ) -> dict[str, Value | list[Value]]:
        """Complete the values of a trial that a user wrote.

        They must be legal, but need not lie in the searched ranges; a missing value is the one
        that the space fixes, else the default. Raises ValidationError with the messages by name
        (and by layer) for an unknown name, an illegal value, a list of another length than the
        number of layers, or a value without effect, or with a `task` for what is `foreign`.
        """
        full: dict[str, Value | list[Value]] = {}
        errors: dict[str, object] = {
            name: [unknown_hyperparameter(name, self.network)]
            for name in values
            if name not in self.known
        }
        if task is not None:
            errors |= self.foreign(values, task, has_image)
        for name in self.order:
            if name in errors or any(parent in errors for parent in self.conditions(name)):
                continue
            try:
                if name in values:
                    full[name] = self._given(name, values[name], full)
                elif self._is_part(name) and self.applies(name, full):
                    full[name] = self._spread(name, self._default(name), full)
            except ValidationError as error:
                errors[name] = error.messages
        if errors:
            raise ValidationError(errors)
        return {name: full[name] for name in self.known if name in full}

    def check_all(
        self,
        listed: Sequence[Mapping[str, object]],
        task: str | None = None,
        has_image: bool = False,
    ) -> list[dict[str, Value | list[Value]]]:
        """Complete several trials as `check` does; the messages are by index, then by name."""
        checked = gather(enumerate(listed), lambda _, each: self.check(each, task, has_image))
        return list(checked.values())

    def document(self) -> dict[str, object]:
        """Return the JSON form, which `load_space` reads back to an equal space."""
        return {name: _entry_document(entry) for name, entry in self.parameters.items()}

    def _value(
        self, name: str, flat: Mapping[str, Value], values: TrialValues
    ) -> Value | list[Value]:
        parameter = self.parameter(name)
        if isinstance(parameter, Fixed):
            return parameter.value
        counter = self.known[name].layers
        if counter is None or not self.parameters[name].per_layer:
            return _required(flat, name)
        layers = values[counter]
        assert isinstance(layers, int)
        return [_required(flat, f"{name}_{layer}") for layer in range(1, layers + 1)]

    def _given(self, name: str, value: object, full: TrialValues) -> Value | list[Value]:
        row = self.known[name]
        for condition in row.when:
            if self._in_effect(condition.parent, full) not in condition.values:
                raise ValidationError(f"Has no effect unless {in_words(condition)}.")
        if not isinstance(value, list):
            return self._spread(name, parsed(row, value), full)
        if row.layers is None:
            raise ValidationError("Takes one value, not one for each layer.")
        if len(value) != full[row.layers]:
            raise ValidationError(
                f"Must have one value for each of the {full[row.layers]} layers, has {len(value)}."
            )
        return parsed_list(row, value)

    def _is_part(self, name: str) -> bool:
        """Whether the values of a trial have `name` if the trial itself does not name it."""
        return name in self.parameters or not self.known[name].optional

    def _default(self, name: str) -> Value:
        parameter = self.parameter(name)
        return parameter.value if isinstance(parameter, Fixed) else self.known[name].default

    def _spread(self, name: str, value: Value, full: TrialValues) -> Value | list[Value]:
        entry, counter = self.parameters.get(name), self.known[name].layers
        if entry is None or not entry.per_layer or counter is None:
            return value
        layers = full[counter]
        assert isinstance(layers, int)
        return [value] * layers

    def _flattened(self) -> list[Dimension]:
        dimensions: list[Dimension] = []
        for name in self.order:
            parameter = self.parameter(name)
            needs = self._needs(name)
            if isinstance(parameter, Fixed) or needs is None:
                continue
            counter = self.known[name].layers
            if counter is None or not self.parameters[name].per_layer:
                dimensions.append(Dimension(name, parameter, name, when=_conditions(needs)))
                continue
            dimensions.extend(self._layers(name, parameter, counter, needs))
        return dimensions

    def _layers(
        self, name: str, parameter: Tunable, counter: str, needs: dict[str, tuple[Value, ...]]
    ) -> list[Dimension]:
        counts = [v for v in self.parameter(counter).options() or () if isinstance(v, int)]
        dimensions = []
        for layer in range(1, max(counts) + 1):
            enough = tuple(v for v in needs.get(counter, counts) if int(v) >= layer)
            when = needs if len(enough) == len(counts) else {**needs, counter: enough}
            own = Dimension(f"{name}_{layer}", parameter, name, layer, _conditions(when))
            dimensions += [own] if enough else []
        return dimensions

    def _needs(self, name: str) -> dict[str, tuple[Value, ...]] | None:
        """Return the conditions on tunable parents; None if they can never hold."""
        needs: dict[str, tuple[Value, ...]] = {}
        for parent, allowed in self.conditions(name).items():
            parameter = self.parameter(parent)
            options = parameter.options() or ()
            possible = tuple(v for v in options if v in allowed)
            above = self._needs(parent)
            if not possible or above is None:
                return None
            if isinstance(parameter, Fixed):
                # A fixed parent is no dimension: its own conditions replace it.
                needs = _both(needs, above)
            elif above or len(possible) < len(options):
                needs = _both(needs, {parent: possible})
        return needs


def _both(
    one: Mapping[str, tuple[Value, ...]], other: Mapping[str, tuple[Value, ...]]
) -> dict[str, tuple[Value, ...]]:
    """Return the conditions of both, merged by parent."""
    merged = dict(one)
    for parent, values in other.items():
        merged[parent] = tuple(v for v in merged.get(parent, values) if v in values)
    return merged


def _conditions(needs: Mapping[str, tuple[Value, ...]]) -> tuple[Condition, ...]:
    return tuple(Condition(parent, values) for parent, values in needs.items())


def _required(flat: Mapping[str, Value], name: str) -> Value:
    if name not in flat:
        raise ValueError(f"There is no value for {name!r}.")
    return flat[name]


def _entry_document(entry: SpaceEntry) -> object:
    if isinstance(entry.parameter, Fixed):
        return entry.parameter.document()
    document = entry.parameter.document()
    if entry.per_layer:
        document["per_layer"] = True
    if entry.when:
        document["when"] = {item.parent: list(item.values) for item in entry.when}
    return document


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
