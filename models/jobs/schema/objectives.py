"""Objectives and constraints of a job's spec in JSON."""

from collections.abc import Mapping
from typing import Any

import marshmallow as ma
from marshmallow.validate import Length, OneOf

from models.data.preparation.weighting import label_name
from models.fields import KeyedField, Reference, StrictFloat, described
from models.trials.spec import (
    METRICS,
    NETWORK_METRICS,
    THRESHOLD_METRICS,
    Constraint,
    Objective,
)

MAX_OBJECTIVES = 3

_METRIC_NAMES = sorted({*NETWORK_METRICS, *(name for names in METRICS.values() for name in names)})


class LabelField(ma.fields.Field[Any]):
    """The label of a class as text, `true`, `false` or a whole number."""

    default_error_messages = {"form": "Give the label of a class."}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str | bool | int):
            raise self.make_error("form")
        return label_name(value)

    def openapi(self, _: Reference) -> dict[str, Any]:
        """Return the JSON Schema of the field."""
        return {"oneOf": [{"type": name} for name in ("string", "boolean", "integer")]}


class ObjectiveSchema(ma.Schema):
    """A metric that ranks trials."""

    metric = ma.fields.String(
        load_default="val_loss",
        metadata=described(f"One of {', '.join(_METRIC_NAMES)}; `val_` may stand before it."),
    )
    direction = ma.fields.String(
        load_default=None,
        allow_none=True,
        validate=OneOf(["min", "max"]),
        metadata=described("Follows from the metric; one that disagrees is refused."),
    )
    positive_class = LabelField(
        load_default=None,
        allow_none=True,
        metadata=described(
            "Label of the class that `precision`, `recall` and `f1` count. Default: of two classes"
            " the one with fewer rows; of more, the mean over all of them.",
            example="ill",
        ),
    )

    @ma.post_load
    def _make(self, data: dict[str, Any], **_: Any) -> Objective:
        return Objective(**data)


class ObjectiveField(ma.fields.Field[Any]):
    """A metric by its name or with options, or a list of several; loads to a tuple.

    A weighted sum is refused with advice.
    """

    ADVICE = (
        "A weighted sum of metrics would be ranked by whichever has the largest numbers. Tune one"
        " of them, with bounds on others in `constraints`; or give a list of up to three, and"
        " choose from their front (GET /tune/{id}/front). Every trial reports all metrics"
        " (GET /tune/{id}/trials?sort=score), and a further job with another objective reuses the"
        " results of equal trials without training them again."
    )

    def _deserialize(
        self, value: Any, attr: str | None, data: Any, **kwargs: Any
    ) -> tuple[Objective, ...]:
        if not isinstance(value, list):
            return (self._load(value),)
        if not 1 <= len(value) <= MAX_OBJECTIVES:
            raise ma.ValidationError(f"Give 1 to {MAX_OBJECTIVES} metrics, not {len(value)}.")
        if any(_is_weighted(item) for item in value):
            raise ma.ValidationError(self.ADVICE)
        errors: dict[str, Any] = {}
        found = []
        for place, item in enumerate(value):
            try:
                found.append(self._load(item))
            except ma.ValidationError as error:
                errors[str(place)] = error.messages
        if errors:
            raise ma.ValidationError(errors)
        return tuple(found)

    def _load(self, value: Any) -> Objective:
        if _is_weighted(value):
            raise ma.ValidationError(self.ADVICE)
        if isinstance(value, str):
            value = {"metric": value}
        if not isinstance(value, Mapping):
            raise ma.ValidationError("Give the name of a metric, an object or a list of them.")
        objective: Objective = _OBJECTIVE.load(value)
        return objective

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        several = [_OBJECTIVE.dump(objective) for objective in value]
        return several if len(several) > 1 else several[0]

    def openapi(self, reference: Reference) -> dict[str, Any]:
        """Return the JSON Schema of the field."""
        name = {"type": "string", "minLength": 1, "example": "val_loss"}
        one = [name, reference(ObjectiveSchema)]
        several = {
            "type": "array",
            "minItems": 1,
            "maxItems": MAX_OBJECTIVES,
            "items": {"oneOf": one},
        }
        return {"oneOf": [*one, several]}


_OBJECTIVE = ObjectiveSchema()


def _is_weighted(value: Any) -> bool:
    if isinstance(value, Mapping):
        if any(name in value for name in ("metrics", "weights", "weight")):
            return True
        value = value.get("metric")
        if isinstance(value, Mapping) or (isinstance(value, list) and len(value) > 1):
            return True
    return isinstance(value, str) and ("+" in value or "*" in value)


class BoundsSchema(ma.Schema):
    """Bounds of a metric, which may lie on them."""

    min = StrictFloat(load_default=None, allow_none=True)
    max = StrictFloat(load_default=None, allow_none=True)

    @ma.validates_schema
    def _check(self, data: Mapping[str, Any], **_: Any) -> None:
        low, high = data["min"], data["max"]
        if low is None and high is None:
            raise ma.ValidationError("Give min or max.")
        if low is not None and high is not None and low > high:
            raise ma.ValidationError(f"No number lies between {low:g} and {high:g}.")


class ConstraintsField(ma.fields.Field[Any]):
    """Bounds by metric; loads to a tuple of constraints."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Any, **kwargs: Any
    ) -> tuple[Constraint, ...]:
        bounds = _BOUNDS.deserialize(value)
        return tuple(Constraint(name, **own) for name, own in bounds.items())

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        bounds = {each.metric: {"min": each.min, "max": each.max} for each in value or ()}
        return bounds or None

    def openapi(self, reference: Reference) -> dict[str, Any]:
        """Return the JSON Schema of the field."""
        bounds = reference(BoundsSchema)
        return {"type": "object", "minProperties": 1, "additionalProperties": bounds}


_BOUNDS = KeyedField(
    keys=ma.fields.String(),
    values=ma.fields.Nested(BoundsSchema),
    validate=Length(min=1, error="Name at least one metric."),
)


class ThresholdMetricSchema(ma.Schema):
    """The metric that a threshold is chosen for."""

    metric = ma.fields.String(required=True, validate=OneOf(THRESHOLD_METRICS))


_THRESHOLD_METRIC = ThresholdMetricSchema()


class ThresholdField(ma.fields.Field[Any]):
    """`auto`, read as None; a number above 0 and below 1; or an object that names a metric."""

    default_error_messages = {
        "form": 'Must be "auto", a number above 0 and below 1, or an object with a `metric`.'
    }

    def _deserialize(
        self, value: Any, attr: str | None, data: Any, **kwargs: Any
    ) -> float | str | None:
        if value == "auto":
            return None
        if isinstance(value, Mapping):
            metric: str = _THRESHOLD_METRIC.load(value)["metric"]
            return metric
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
            raise self.make_error("form")
        return float(value)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        if value is None:
            return "auto"
        return {"metric": value} if isinstance(value, str) else value

    def openapi(self, reference: Reference) -> dict[str, Any]:
        """Return the JSON Schema of the field."""
        share = {"minimum": 0, "exclusiveMinimum": True, "maximum": 1, "exclusiveMaximum": True}
        word = {"type": "string", "enum": ["auto"]}
        return {"oneOf": [word, {"type": "number", **share}, reference(ThresholdMetricSchema)]}
