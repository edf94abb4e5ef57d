"""Aliases, their routes and their moves."""

import math
from typing import Any

import marshmallow as ma
from marshmallow.validate import Length, Range, Regexp

from api.schemas.fields import (
    PromotionSchema,
)
from models.fields import (
    LARGEST_NUMBER,
    KeyedField,
    StrictFloat,
    StrictInteger,
    described,
    description_field,
)
from models.registry.catalog.routes import MAX_VERSIONS, SUM_TOLERANCE, RouteChange

_VERSION_RULE = "Must be the number of a version."


class RouteSchema(ma.Schema):
    """The versions that an alias names."""

    version = ma.fields.Integer(
        metadata=described("Answers all requests, or more than any other version.")
    )
    weights = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.Float(),
        metadata=described("Share of the requests by version."),
    )
    shadow = ma.fields.Integer(
        allow_none=True,
        metadata=described("Computes the same rows after the answer was sent, for metrics only."),
    )


def _reason() -> ma.fields.String:
    return description_field(
        load_default=None,
        metadata=described("Why, for the history of the alias.", example="It answers faster."),
    )


class AliasSchema(ma.Schema):
    """The new version of an alias, or weights of several, and its shadow."""

    version = StrictInteger(
        validate=Range(1, LARGEST_NUMBER),
        metadata=described("Answers all requests.", example=2),
    )
    weights = KeyedField(
        keys=ma.fields.String(validate=Regexp(r"[1-9][0-9]{0,8}\Z", error=_VERSION_RULE)),
        values=StrictFloat(validate=Range(0, 1, min_inclusive=False)),
        validate=Length(1, MAX_VERSIONS),
        metadata=described(
            "Share of the requests by version, in place of `version`. The sum is 1."
        ),
    )
    shadow = StrictInteger(
        allow_none=True,
        validate=Range(1, LARGEST_NUMBER),
        metadata=described(
            "A version that computes the same rows after the answer was sent, for metrics only;"
            " null ends it. It stays as it is if it is left out."
        ),
    )
    reason = _reason()

    @ma.validates_schema
    def _check(self, data: dict[str, Any], **_: Any) -> None:
        if "version" in data and "weights" in data:
            raise ma.ValidationError("Give a version or weights, not both.", "weights")
        if not data.keys() & {"version", "weights", "shadow"}:
            raise ma.ValidationError("Give a version, weights or a shadow.", "version")
        shares = data.get("weights", {}).values()
        if shares and abs(math.fsum(shares) - 1) > SUM_TOLERANCE:
            raise ma.ValidationError(
                f"Must sum to 1; they sum to {math.fsum(shares):g}.", "weights"
            )

    @ma.post_load
    def _to_change(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        weights = {int(version): share for version, share in data.get("weights", {}).items()}
        if "version" in data:
            weights = {data["version"]: 1.0}
        elif len(weights) == 1:
            weights = dict.fromkeys(weights, 1.0)
        change = RouteChange(
            dict(sorted(weights.items())) or None, data.get("shadow"), "shadow" not in data
        )
        return {"change": change, "reason": data["reason"]}


class RollbackSchema(ma.Schema):
    """The condition of a rollback, which makes it safe to send twice."""

    from_ = StrictInteger(
        data_key="from",
        load_default=None,
        validate=Range(1, LARGEST_NUMBER),
        metadata=described(
            "The version to leave; 409 unless it answers requests to the champion.", example=4
        ),
    )
    reason = _reason()


class AliasMoveSchema(ma.Schema):
    """One move of an alias."""

    id = ma.fields.Integer(metadata=described("Later moves have higher numbers."))
    time = ma.fields.DateTime(attribute="created", format="iso")
    from_ = ma.fields.Integer(
        data_key="from",
        attribute="previous",
        allow_none=True,
        metadata=described("The version before; null if there was none."),
    )
    to = ma.fields.Integer(
        attribute="version",
        allow_none=True,
        metadata=described("The version since; null: the alias was deleted."),
    )
    weights = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.Float(),
        allow_none=True,
        metadata=described("Share of the requests by version since; null: `to` answers all."),
    )
    shadow = ma.fields.Integer(allow_none=True, metadata=described("The shadow since."))
    by = ma.fields.String(
        attribute="actor",
        allow_none=True,
        metadata=described("Name of the API key; `anonymous` without keys, null if unknown."),
    )
    job = ma.fields.String(
        allow_none=True, metadata=described("The job whose version was promoted at its end.")
    )
    reason = ma.fields.String()
    promotion = ma.fields.Nested(PromotionSchema, attribute="verdict", allow_none=True)


class AliasMovePageSchema(ma.Schema):
    """A part of the moves of an alias, newest first."""

    items = ma.fields.List(ma.fields.Nested(AliasMoveSchema))
    next = ma.fields.String(allow_none=True)
