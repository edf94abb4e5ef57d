"""Figures of versions in production, and feedback."""

from typing import Any

import marshmallow as ma
from marshmallow.validate import Length, Range

from models.fields import LARGEST_NUMBER, StrictInteger, described

MAX_ITEMS = 1000  # predictions in one request of feedback


class MonitorQuery(ma.Schema):
    """The time to look at."""

    hours = ma.fields.Float(
        load_default=24.0,
        validate=Range(0, 24 * 366, min_inclusive=False),
        metadata=described("From so many hours ago until now; whole minutes are counted."),
    )


class TruthField(ma.fields.Field[Any]):
    """The true values of the rows of a prediction; one value alone stands for a list of it."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        found = value if isinstance(value, list) else [value]
        if not found or isinstance(value, dict):
            raise ma.ValidationError("Give a value for each row; null where it is not known.")
        return found

    def openapi(self, _: Any) -> dict[str, Any]:
        """Return the JSON Schema of the field."""
        one = [{"type": kind} for kind in ("string", "number", "boolean")]
        return {"oneOf": [{"type": "array", "minItems": 1, "items": {}}, *one]}


def _truth(**options: Any) -> TruthField:
    return TruthField(
        metadata=described(
            "A value a row, in the order of the predictions: a number, or a class as in the"
            " training data; null where it is not known.",
            example=[210.5],
        ),
        **options,
    )


def _identity(**options: Any) -> ma.fields.String:
    return ma.fields.String(
        validate=Length(1, 64),
        metadata=described("`prediction_id` of an answer that was logged."),
        **options,
    )


class FeedbackItemSchema(ma.Schema):
    """The truth of one prediction."""

    prediction_id = _identity(required=True)
    truth = _truth(required=True)


class FeedbackSchema(ma.Schema):
    """The truth of one logged prediction, of several (`items`), or of rows that are sent again."""

    prediction_id = _identity()
    truth = _truth()
    items = ma.fields.List(ma.fields.Nested(FeedbackItemSchema), validate=Length(1, MAX_ITEMS))
    instances = ma.fields.List(
        ma.fields.Raw(),
        validate=Length(min=1),
        metadata=described("Rows as for `POST /predict`, which the version answers anew."),
    )
    version = StrictInteger(
        validate=Range(1, LARGEST_NUMBER),
        metadata=described("That answers `instances`. Default: that of `alias`."),
    )
    alias = ma.fields.String(validate=Length(1, 64), metadata=described("Default: `champion`."))

    @ma.validates_schema
    def _one_form(self, data: dict[str, Any], **_: Any) -> None:
        given = set(data)
        chosen = given & {"version", "alias"}
        if given - chosen not in ({"prediction_id", "truth"}, {"items"}, {"instances", "truth"}):
            text = "Give `prediction_id` and `truth`, or `items`, or `instances` and `truth`."
            raise ma.ValidationError(text, "_schema")
        if chosen and "instances" not in given:
            raise ma.ValidationError("The prediction says which version answered.", min(chosen))
        if len(chosen) == 2:
            raise ma.ValidationError("Give a version or an alias, not both.", "alias")


class StoredFeedbackSchema(ma.Schema):
    """What was stored."""

    predictions = ma.fields.Integer()
    rows = ma.fields.Integer(metadata=described("Those with a true value."))


class LatencySchema(ma.Schema):
    """Milliseconds from the choice of the version until its answer; 5 % off at most."""

    p50 = ma.fields.Float(allow_none=True)
    p99 = ma.fields.Float(allow_none=True)


class LiveScoreSchema(ma.Schema):
    """The metrics of a version on rows whose truth is known."""

    rows = ma.fields.Integer()
    metrics = ma.fields.Dict(allow_none=True, metadata=described("Null without such rows."))
    note = ma.fields.String(allow_none=True, metadata=described("Why these are not all."))


class ColumnDriftSchema(ma.Schema):
    """One column of the answered rows beside the training rows."""

    column = ma.fields.String()
    type = ma.fields.String()
    rows = ma.fields.Integer(metadata=described("Rows that were counted."))
    verdict = ma.fields.String(
        metadata=described("`no drift`, `drift`, `too few rows: …` or `not measured`.")
    )
    psi = ma.fields.Float(allow_none=True, metadata=described("Population stability index."))
    limit = ma.fields.Float(
        allow_none=True, metadata=described("The index from which on it is a drift.")
    )
    missing = ma.fields.Float(allow_none=True, metadata=described("Share of rows."))
    missing_in_training = ma.fields.Float(allow_none=True)
    unseen = ma.fields.Float(
        allow_none=True, metadata=described("Share of rows with a category unknown to training.")
    )
    out_of_range = ma.fields.Float(
        allow_none=True,
        metadata=described("Share of rows below the smallest or above the largest in training."),
    )


class DriftSchema(ma.Schema):
    """How the answered rows differ from those of training."""

    rows = ma.fields.Integer(metadata=described("Rows that were counted: a sample of many."))
    verdict = ma.fields.String(
        metadata=described(
            "`no drift`, `drift in price, city`, `too few rows: 12 of 100`, or `no profile` for a"
            " version of an older release."
        )
    )
    columns = ma.fields.List(ma.fields.Nested(ColumnDriftSchema))


class LogCountsSchema(ma.Schema):
    """Requests of the prediction log."""

    logged = ma.fields.Integer()
    dropped = ma.fields.Integer(metadata=described("For which there was no place."))


class VersionMonitorSchema(ma.Schema):
    """One version within the time."""

    version = ma.fields.Integer()
    aliases = ma.fields.List(ma.fields.String())
    first = ma.fields.DateTime(
        format="iso",
        allow_none=True,
        metadata=described("Beginning of the minute of its first request within the time."),
    )
    requests = ma.fields.Integer(attribute="figures.requests")
    rows = ma.fields.Integer(attribute="figures.rows", metadata=described("Answered."))
    rate = ma.fields.Float(metadata=described("Requests a second since `first`."))
    errors = ma.fields.Integer(
        attribute="figures.errors", metadata=described("Requests without an answer.")
    )
    refused = ma.fields.Integer(
        attribute="figures.refused", metadata=described("Of these: 4xx, rows that do not fit.")
    )
    failed = ma.fields.Integer(
        attribute="figures.failed", metadata=described("Of these: 5xx, faults of the service.")
    )
    error_rate = ma.fields.Float(attribute="figures.error_rate", allow_none=True)
    latency_ms = ma.fields.Nested(LatencySchema, attribute="figures.latency_ms")
    live_score = ma.fields.Nested(LiveScoreSchema, allow_none=True)
    test_score = ma.fields.Dict(
        allow_none=True, metadata=described("`metrics` of the version, on its test rows.")
    )
    drift = ma.fields.Nested(DriftSchema)
    log = ma.fields.Nested(LogCountsSchema, attribute="figures")


class MonitorSchema(ma.Schema):
    """The versions of a model that answered or had feedback, the newest first."""

    model = ma.fields.String(attribute="model.name")
    since = ma.fields.DateTime(format="iso")
    until = ma.fields.DateTime(format="iso")
    verdict = ma.fields.String(
        metadata=described("`drift.verdict` of the champion; `no predictions` if it has none.")
    )
    versions = ma.fields.List(ma.fields.Nested(VersionMonitorSchema))
