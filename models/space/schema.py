"""Search spaces out of JSON: every rule is checked, every message lies at its field's path."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import (
    Schema,
    ValidationError,
    fields,
    post_load,
    validate,
    validates,
    validates_schema,
)

from models.fields import Reference, StrictBoolean, StrictFloat, StrictInteger, described
from models.space.defaults import DEFAULT_SPACES, FIRST_TRIALS
from models.space.hyperparameters import (
    HYPERPARAMETERS,
    NETWORKS,
    Condition,
    Hyperparameter,
    Kind,
    TrialValues,
    gather,
    hyperparameters_of,
    parsed,
    parsed_list,
    unknown,
    unknown_hyperparameter,
)
from models.space.parameters import Boolean, Choice, Fixed, Float, Int, Parameter
from models.space.space import SearchSpace, SpaceEntry, link

# A grid of more steps than this is a continuous range in all but name.
MAX_STEPS = 100_000

_STEP = described("Distance between values; with log sampling their factor.")


class ConditionsField(fields.Field[tuple[Condition, ...]]):
    """An object of lists: the values that each parent must have."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> tuple[Condition, ...]:
        if not isinstance(value, Mapping):
            raise ValidationError("Must be an object of hyperparameters and lists of values.")
        errors = {
            parent: ["Must be a list of at least one value."]
            for parent, values in value.items()
            if not isinstance(values, list) or not values
        }
        if errors:
            raise ValidationError(errors)
        return tuple(Condition(parent, tuple(values)) for parent, values in value.items())

    def openapi(self, _: Reference) -> dict[str, Any]:
        """Return the JSON Schema of the field."""
        listed = {"type": "array", "items": {}, "minItems": 1}
        return {"type": "object", "additionalProperties": listed}


def _type(name: str) -> fields.String:
    return fields.String(required=True, validate=validate.OneOf([name]))


class EntrySchema(Schema):
    """The part that entries of all types share, for the hyperparameter `row`."""

    per_layer = StrictBoolean(
        load_default=False, metadata=described("Whether every layer has a value of its own.")
    )
    when = ConditionsField(
        load_default=tuple,
        metadata=described("Parent hyperparameter → values for which this one is tried."),
    )

    def __init__(self, row: Hyperparameter) -> None:
        super().__init__()
        self.row = row

    @validates("per_layer")
    def _check_per_layer(self, value: bool, data_key: str) -> None:
        if value and self.row.layers is None:
            raise ValidationError(f"{self.row.name} is not a property of a layer.")


class _RangeSchema(EntrySchema):
    sampling = fields.String(validate=validate.OneOf(["linear", "log"]), load_default="linear")

    @validates("min", "max")
    def _check_legal(self, value: float, data_key: str) -> None:
        parsed(self.row, value)

    @validates_schema
    def _check_range(self, data: Mapping[str, Any], **kwargs: Any) -> None:
        low, high = data["min"], data["max"]
        if low > high:
            raise ValidationError(f"Must not be above max ({high:g}).", "min")
        if data["sampling"] == "log" and low <= 0:
            raise ValidationError("Must be above 0 where sampling is log.", "min")
        if data["sampling"] == "log" and math.isinf(high / low):
            raise ValidationError("Is too small beside max.", "min")
        if data["step"] is not None:
            _check_step(low, high, data["step"], data["sampling"])


class IntRangeSchema(_RangeSchema):
    """A range of whole numbers, both ends included."""

    type = _type("int")
    min = StrictInteger(required=True)
    max = StrictInteger(required=True)
    step = StrictInteger(load_default=None, allow_none=False, metadata=_STEP)

    @post_load
    def _make(self, data: dict[str, Any], **kwargs: Any) -> SpaceEntry:
        return _entry(Int(data["min"], data["max"], data["step"], data["sampling"]), data)


class FloatRangeSchema(_RangeSchema):
    """A range of numbers, both ends included."""

    type = _type("float")
    min = StrictFloat(required=True)
    max = StrictFloat(required=True)
    step = StrictFloat(load_default=None, allow_none=False, metadata=_STEP)

    @post_load
    def _make(self, data: dict[str, Any], **kwargs: Any) -> SpaceEntry:
        return _entry(Float(data["min"], data["max"], data["step"], data["sampling"]), data)


class ChoiceSchema(EntrySchema):
    """A list of values."""

    type = _type("choice")
    values = fields.List(fields.Raw(), required=True, validate=validate.Length(min=1))

    @validates("values")
    def _check_values(self, values: list[object], data_key: str) -> None:
        legal = parsed_list(self.row, values)
        repeated = sorted({str(value) for value in legal if legal.count(value) > 1})
        if repeated:
            raise ValidationError(f"Has values more than once: {', '.join(repeated)}.")

    @post_load
    def _make(self, data: dict[str, Any], **kwargs: Any) -> SpaceEntry:
        return _entry(Choice(tuple(parsed_list(self.row, data["values"]))), data)


class BooleanChoiceSchema(EntrySchema):
    """False or true."""

    type = _type("boolean")

    @post_load
    def _make(self, data: dict[str, Any], **kwargs: Any) -> SpaceEntry:
        return _entry(Boolean(), data)


_SCHEMAS: Mapping[str, type[EntrySchema]] = {
    "int": IntRangeSchema,
    "float": FloatRangeSchema,
    "choice": ChoiceSchema,
    "boolean": BooleanChoiceSchema,
}
# The types that can describe each kind of hyperparameter.
_FITTING: Mapping[Kind, tuple[str, ...]] = {
    Kind.INT: ("int", "choice"),
    Kind.FLOAT: ("float", "choice"),
    Kind.CHOICE: ("choice",),
    Kind.BOOLEAN: ("boolean", "choice"),
}


def load_space(document: Mapping[str, object] | None, network: str) -> SearchSpace:
    """Read the search space of `network` out of JSON.

    None or an empty document gives the default space. Raises marshmallow's ValidationError with
    the messages nested by path: `{"units": {"min": ["…"]}}`.
    """
    if network not in NETWORKS:
        raise ValidationError(unknown("network", network, NETWORKS), "network")
    if document is not None and not isinstance(document, Mapping):
        raise ValidationError("Must be an object.")
    known = hyperparameters_of(network)

    def load_entry(name: str, value: object) -> SpaceEntry:
        if name not in known:
            raise ValidationError(unknown_hyperparameter(name, network))
        return _load_entry(known[name], value)

    entries = gather((document or DEFAULT_SPACES[network]).items(), load_entry)
    return link(network, entries, known)


def first_trials(space: SearchSpace) -> Sequence[TrialValues]:
    """Return the trials that a search of the default space, or of a part of it, begins with."""
    default = load_space(None, space.network).parameters
    is_part = all(default.get(name) == entry for name, entry in space.parameters.items())
    return FIRST_TRIALS.get(space.network, ()) if is_part else ()


class SearchSpaceField(fields.Field[SearchSpace]):
    """The `search_space` of a request; reads the `network` beside it in the same object."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> SearchSpace:
        network = (data or {}).get("network", NETWORKS[0])
        # An unknown network is reported at its own field; the rest is still worth checking.
        return load_space(value, network if network in NETWORKS else NETWORKS[0])

    def _serialize(
        self, value: SearchSpace | None, attr: str | None, obj: Any, **kwargs: Any
    ) -> dict[str, object] | None:
        return None if value is None else value.document()

    def openapi(self, reference: Reference) -> dict[str, Any]:
        """Return the JSON Schema of the field, with the limits of every hyperparameter."""
        return {
            "type": "object",
            "description": (
                "What may be tried, by hyperparameter: a range, a choice, or a plain value to fix"
                " it. Those not named keep their defaults; where none is named a general space is"
                " searched."
            ),
            "properties": {
                row.name: {
                    "anyOf": [
                        _value_schema(row),
                        *(reference(_SCHEMAS[name](row)) for name in _FITTING[row.kind]),
                    ]
                }
                for row in HYPERPARAMETERS.values()
            },
            "additionalProperties": False,
            "example": {
                "num_layers": {"type": "int", "min": 2, "max": 5},
                "units": {"type": "int", "min": 64, "max": 512, "step": 32, "per_layer": True},
                "optimizer": {"type": "choice", "values": ["adam", "sgd"]},
                "momentum": {
                    "type": "float",
                    "min": 0.0,
                    "max": 0.99,
                    "when": {"optimizer": ["sgd"]},
                },
                "batch_size": 32,
            },
        }


def _load_entry(row: Hyperparameter, value: object) -> SpaceEntry:
    if not isinstance(value, Mapping):
        return SpaceEntry(Fixed(parsed(row, value)))
    given = value.get("type")
    if given is None:
        raise ValidationError({"type": [f"Missing. Known: {', '.join(_SCHEMAS)}."]})
    if not isinstance(given, str) or given not in _SCHEMAS:
        raise ValidationError({"type": [unknown("type", given, _SCHEMAS)]})
    if given not in _FITTING[row.kind]:
        fitting = " or ".join(_FITTING[row.kind])
        raise ValidationError({"type": [f"{row.name} takes {fitting}, not {given}."]})
    entry = _SCHEMAS[given](row).load(dict(value))
    assert isinstance(entry, SpaceEntry)
    return entry


def _entry(parameter: Parameter, data: Mapping[str, Any]) -> SpaceEntry:
    return SpaceEntry(parameter, data["per_layer"], data["when"])


def _check_step(low: float, high: float, step: float, sampling: str) -> None:
    least = 1 if sampling == "log" else 0
    if step <= least:
        factor = ": with log sampling it is a factor" if sampling == "log" else ""
        raise ValidationError(f"Must be above {least}{factor}.", "step")
    if low == high:
        return
    span = high / low if sampling == "log" else high - low
    # 0.3 - 0.1 is a little below 0.2.
    if step > span * (1 + 1e-9):
        raise ValidationError("Is larger than the range: no second value fits.", "step")
    steps = math.log(span) / math.log(step) if sampling == "log" else span / step
    if steps > MAX_STEPS:
        raise ValidationError(
            f"Is too small: more than {MAX_STEPS:,} values. Leave it out to search all.", "step"
        )


def _value_schema(row: Hyperparameter) -> dict[str, Any]:
    """Return the JSON Schema of a value of `row`."""
    if row.kind is Kind.BOOLEAN:
        return {"type": "boolean"}
    if row.kind is Kind.CHOICE:
        return {"type": "string", "enum": list(row.choices)}
    limits: dict[str, Any] = {"minimum": row.minimum, "maximum": row.maximum}
    limits |= {"exclusiveMinimum": True} if row.open_below else {}
    limits |= {"exclusiveMaximum": True} if row.open_above else {}
    return {"type": "integer" if row.kind is Kind.INT else "number"} | limits
