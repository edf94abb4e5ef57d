"""Search spaces out of JSON: every rule is checked, every message lies at its field's path."""

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields

from models.space.fields import BooleanSchema, ChoiceSchema, EntrySchema, FloatSchema, IntSchema
from models.space.hyperparameters import (
    DEFAULT_SPACES,
    NETWORKS,
    Hyperparameter,
    Kind,
    hyperparameters_of,
    unknown,
    unknown_hyperparameter,
)
from models.space.linking import link
from models.space.parameters import Fixed
from models.space.parsing import parsed
from models.space.space import SearchSpace, SpaceEntry

_SCHEMAS: Mapping[str, type[EntrySchema]] = {
    "int": IntSchema,
    "float": FloatSchema,
    "choice": ChoiceSchema,
    "boolean": BooleanSchema,
}
# The types that can describe each kind of hyperparameter.
_FITTING: Mapping[Kind, tuple[str, ...]] = {
    Kind.INT: ("int", "choice"),
    Kind.FLOAT: ("float", "choice"),
    Kind.CHOICE: ("choice",),
    Kind.BOOLEAN: ("boolean", "choice"),
}

_OPENAPI = {
    "type": "object",
    "description": (
        "What may be tried, by hyperparameter: a range, a choice, or a plain value to fix it. "
        "Those not named keep their defaults; where none is named a general space is searched."
    ),
    "additionalProperties": {
        "oneOf": [
            {"type": "number"},
            {"type": "string"},
            {"type": "boolean"},
            {
                "type": "object",
                "required": ["type"],
                "properties": {
                    "type": {"type": "string", "enum": list(_SCHEMAS)},
                    "min": {"type": "number", "description": "Smallest value, included."},
                    "max": {"type": "number", "description": "Largest value, included."},
                    "step": {
                        "type": "number",
                        "description": "Distance between values; with log sampling their factor.",
                    },
                    "sampling": {
                        "type": "string",
                        "enum": ["linear", "log"],
                        "default": "linear",
                    },
                    "values": {"type": "array", "items": {}, "description": "Of a choice."},
                    "per_layer": {"type": "boolean", "default": False},
                    "when": {
                        "type": "object",
                        "description": "Parent hyperparameter → values for which this is tried.",
                        "additionalProperties": {"type": "array", "items": {}},
                    },
                },
                "additionalProperties": False,
            },
        ]
    },
    "example": {
        "num_layers": {"type": "int", "min": 2, "max": 5},
        "units": {"type": "int", "min": 64, "max": 512, "step": 32, "per_layer": True},
        "learning_rate": {"type": "float", "min": 1e-4, "max": 1e-2, "sampling": "log"},
        "optimizer": {"type": "choice", "values": ["adam", "sgd"]},
        "momentum": {"type": "float", "min": 0.0, "max": 0.99, "when": {"optimizer": ["sgd"]}},
        "batch_size": 32,
    },
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
    entries: dict[str, SpaceEntry] = {}
    errors: dict[str, object] = {}
    for name, value in (document or DEFAULT_SPACES[network]).items():
        try:
            if name not in known:
                raise ValidationError(unknown_hyperparameter(name, network))
            entries[name] = _load_entry(known[name], value)
        except ValidationError as error:
            errors[name] = error.messages
    if errors:
        raise ValidationError(errors)
    return link(network, entries, known)


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


class SearchSpaceField(fields.Field[SearchSpace]):
    """The `search_space` of a request; reads the `network` beside it in the same object."""

    def __init__(self, **kwargs: Any) -> None:
        metadata = {**_OPENAPI, **(kwargs.pop("metadata", None) or {})}
        super().__init__(metadata=metadata, **kwargs)

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
