"""Models and their settings."""

from typing import Any

import marshmallow as ma
from marshmallow.validate import Length, Range

from api.schemas.fields import (
    PageQuery,
)
from api.schemas.models.aliases import RouteSchema
from api.schemas.models.versions import VersionSummarySchema
from models.fields import (
    LARGEST_NUMBER,
    KeyedField,
    StrictBoolean,
    StrictFloat,
    StrictInteger,
    described,
)
from models.monitoring.log import DEFAULT_KEEP_DAYS


class ModelsQuery(PageQuery):
    """The models to return."""


class ModelSchema(ma.Schema):
    """A model and where its aliases point."""

    name = ma.fields.String()
    latest_version = ma.fields.Integer()
    aliases = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.Integer(),
        metadata=described(
            "Version by alias, the one of the largest weight; `champion` answers predictions by"
            " default."
        ),
    )
    rollouts = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.Nested(RouteSchema),
        metadata=described("Of the aliases that name several versions, or a shadow."),
    )
    created = ma.fields.DateTime(format="iso", metadata=described("Of its newest version."))
    bytes = ma.fields.Integer(metadata=described("Of the files of all versions."))
    auto_promote = ma.fields.Boolean(
        metadata=described(
            "Whether a better version moves `champion` also where its job's key lacks the scope"
            " `promote`."
        )
    )
    prediction_log = ma.fields.Dict(
        allow_none=True,
        metadata=described("`sample` and `keep_days` of the prediction log; null: there is none."),
    )
    rollback_when = ma.fields.Dict(
        allow_none=True, metadata=described("Limits of the guard; null: there is none.")
    )


class ModelDetailSchema(ModelSchema):
    """A model with its versions, newest first."""

    versions = ma.fields.List(ma.fields.Nested(VersionSummarySchema))


class ModelPageSchema(ma.Schema):
    """A part of the models, by name."""

    items = ma.fields.List(ma.fields.Nested(ModelSchema))
    next = ma.fields.String(allow_none=True)


class ScoreBoundSchema(ma.Schema):
    """The worst that a metric may be: `max` where less is better, else `min`."""

    min = StrictFloat()
    max = StrictFloat()


class PredictionLogSchema(ma.Schema):
    """Which requests are logged, and for how long; see docs/monitoring.md."""

    sample = StrictFloat(
        load_default=1.0,
        validate=Range(0, 1),
        metadata=described("Share of requests, drawn at random."),
    )
    keep_days = StrictFloat(
        load_default=DEFAULT_KEEP_DAYS,
        validate=Range(0, 36_600, min_inclusive=False),
        metadata=described("Days until a sweep deletes them."),
    )


class RollbackWhenSchema(ma.Schema):
    """Limits of the champion's figures since its promotion; at least one."""

    error_rate = StrictFloat(
        validate=Range(0, 1),
        metadata=described("Largest share of requests without an answer.", example=0.05),
    )
    latency_ms = StrictFloat(
        validate=Range(0, min_inclusive=False),
        metadata=described("Largest 99th percentile of the latency.", example=50),
    )
    live_score = KeyedField(
        keys=ma.fields.String(),
        values=ma.fields.Nested(ScoreBoundSchema),
        validate=Length(min=1),
        metadata=described("Bounds of metrics by feedback.", example={"rmse": {"max": 12}}),
    )
    min_requests = StrictInteger(
        load_default=100,
        validate=Range(1, LARGEST_NUMBER),
        metadata=described("Requests, or rows with a true value, before anything is judged."),
    )
    minutes = StrictFloat(
        load_default=60.0,
        validate=Range(1, 60 * 24 * 31),
        metadata=described("Of the past that count, at most since the promotion."),
    )

    @ma.validates_schema
    def _check_some(self, data: dict[str, Any], **_: Any) -> None:
        limits = ("error_rate", "latency_ms", "live_score")
        if not any(name in data for name in limits):
            raise ma.ValidationError(f"Give at least one of: {', '.join(limits)}.")


class ModelChangeSchema(ma.Schema):
    """The settings of a model to change."""

    auto_promote = StrictBoolean(
        metadata=described(
            "Let jobs with `promote: if_better` move `champion` also where their key lacks the"
            " scope `promote`."
        ),
    )
    prediction_log = ma.fields.Nested(
        PredictionLogSchema,
        allow_none=True,
        metadata=described("Keep rows and answers as Parquet files; null ends the log."),
    )
    rollback_when = ma.fields.Nested(
        RollbackWhenSchema,
        allow_none=True,
        metadata=described(
            "Move `champion` back to the version before when its figures break one of these limits"
            " after a promotion; null: never."
        ),
    )

    @ma.validates_schema
    def _check_some(self, data: dict[str, Any], **_: Any) -> None:
        if not data:
            raise ma.ValidationError(f"Give some of: {', '.join(self.fields)}.")
