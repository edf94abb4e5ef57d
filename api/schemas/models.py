"""Models, versions and aliases."""

import math
from typing import Any

import marshmallow as ma
from marshmallow.validate import Length, Range, Regexp

from api.schemas.fields import (
    PageQuery,
    PromotionSchema,
    conclusion_field,
    interval_field,
    intervals_field,
    promotion_field,
    trees_field,
)
from models.fields import (
    LARGEST_NUMBER,
    KeyedField,
    StrictBoolean,
    StrictFloat,
    StrictInteger,
    described,
    description_field,
)
from models.monitoring.log import DEFAULT_KEEP_DAYS
from models.registry.routes import MAX_VERSIONS, SUM_TOLERANCE, RouteChange

_VERSION_RULE = "Must be the number of a version."


class ModelsQuery(PageQuery):
    """The models to return."""


class VersionSummarySchema(ma.Schema):
    """A version in a list."""

    version = ma.fields.Integer()
    task = ma.fields.String()
    source = ma.fields.String(
        allow_none=True,
        metadata=described(
            "`trained` by a job, or `imported` without evidence; null if unreadable."
        ),
    )
    job = ma.fields.String(allow_none=True)
    trial = ma.fields.Integer(allow_none=True)
    metrics = ma.fields.Dict(
        allow_none=True,
        metadata=described("On the held-out test rows; null when none were held out."),
    )
    baseline = ma.fields.Dict(
        allow_none=True,
        metadata=described("The same of always answering mean or majority."),
    )
    intervals = intervals_field("95 %, of `metrics`; null in versions before 0.3.")
    baseline_intervals = intervals_field("The same of `baseline`.")
    better_than_trees = trees_field()
    conclusion = conclusion_field()
    promotion = promotion_field()
    unreadable = ma.fields.String(
        allow_none=True,
        metadata=described("Why its files or metrics cannot be read; null if they can."),
    )
    created = ma.fields.DateTime(format="iso")
    created_by = ma.fields.String(
        allow_none=True, metadata=described("As in its job: the name of an API key.")
    )
    bytes = ma.fields.Integer(metadata=described("Of its files."))


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


class VersionFileSchema(ma.Schema):
    """A file of a version."""

    sha256 = ma.fields.String()
    bytes = ma.fields.Integer()


class SimplerModelSchema(ma.Schema):
    """A simpler model of scikit-learn, trained on the version's rows and scored on its test."""

    model = ma.fields.String(metadata=described("Its name, with what was chosen for it."))
    metrics = ma.fields.Dict(allow_none=True, metadata=described("Null if it has no answers."))
    intervals = intervals_field("Of `metrics`.")
    rows = ma.fields.Integer(metadata=described("Rows that it learned from."))
    note = ma.fields.String(allow_none=True, metadata=described("Why it has no answers."))


class VersionOptimismSchema(ma.Schema):
    """The score that won the search, which is too good on average, beside the test score."""

    metric = ma.fields.String()
    search = ma.fields.Float()
    test = ma.fields.Float()
    interval = interval_field("95 %, of the test score.")
    gap = ma.fields.Float(metadata=described("Above 0 where the test score is the worse one."))


class ImportantColumnSchema(ma.Schema):
    """The importance of one raw column."""

    column = ma.fields.String()
    importance = ma.fields.Float(
        metadata=described("What `metric` loses when the cells are shuffled between rows.")
    )
    interval = interval_field("95 %, over resamples of the rows.")


class ColumnImportanceSchema(ma.Schema):
    """What matters to a version's answers on held-out rows, the most important column first.

    `GET /tune/{id}/importance` is about hyperparameters.
    """

    metric = ma.fields.String()
    rows = ma.fields.Integer(metadata=described("Held-out rows that were looked at."))
    repeats = ma.fields.Integer(metadata=described("Shuffles of each column."))
    columns = ma.fields.Integer(metadata=described("Columns of the version; some may be left out."))
    note = ma.fields.String(allow_none=True, metadata=described("Why it may mean little."))
    items = ma.fields.List(ma.fields.Nested(ImportantColumnSchema))


class UnseenSchema(ma.Schema):
    """A figure on rows that a choice was not made on, without and with it."""

    before = ma.fields.Float()
    after = ma.fields.Float()


class VersionThresholdSchema(ma.Schema):
    """From which probability on a version of two classes answers the positive class."""

    value = ma.fields.Float(
        allow_none=True, metadata=described("Null: the more probable class is answered.")
    )
    metric = ma.fields.String(allow_none=True, metadata=described("That it was chosen for."))
    note = ma.fields.String(
        allow_none=True, metadata=described("Why there is none although one was to be chosen.")
    )
    unseen = ma.fields.Nested(
        UnseenSchema,
        allow_none=True,
        metadata=described("`metric` on rows that it was not chosen on, at 0.5 and with it."),
    )
    test = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.Dict(),
        allow_none=True,
        metadata=described("Metrics of labels on the test rows, `before` and `after`."),
    )


class CoverageSchema(ma.Schema):
    """What intervals, or label sets, of one level hold of the test rows."""

    level = ma.fields.Float()
    coverage = ma.fields.Float(metadata=described("Share of rows whose truth lies inside."))
    rows = ma.fields.Integer(metadata=described("Test rows."))
    size = ma.fields.Float(
        metadata=described("Mean width in the target's unit, or mean number of labels.")
    )


class ReliabilityBinSchema(ma.Schema):
    """Test rows of similar probability: that of one of two classes, or of the answered class."""

    probability = ma.fields.Float(metadata=described("Their mean."))
    share = ma.fields.Float(metadata=described("Share of them that are of the class, or right."))
    rows = ma.fields.Integer()


class ReliabilitySchema(ma.Schema):
    """How well probabilities agree with the test rows."""

    rows = ma.fields.Integer()
    log_loss = ma.fields.Float()
    brier = ma.fields.Float()
    ece = ma.fields.Float(metadata=described("The mean distance of the bins from agreement."))
    bins = ma.fields.List(ma.fields.Nested(ReliabilityBinSchema))


class CalibrationSchema(ma.Schema):
    """The rows that a version is calibrated on, and how sure its probabilities are."""

    rows = ma.fields.Integer(metadata=described("Rows that its networks did not learn from."))
    note = ma.fields.String(allow_none=True, metadata=described("Why there are none."))
    temperature = ma.fields.Float(
        allow_none=True, metadata=described("Divides the logarithms of its probabilities.")
    )
    temperature_note = ma.fields.String(allow_none=True, metadata=described("Why there is none."))
    unseen = ma.fields.Nested(
        UnseenSchema,
        allow_none=True,
        metadata=described("The log loss on rows that the temperature was not fitted on."),
    )
    test = ma.fields.Nested(ReliabilitySchema, allow_none=True)
    untempered = ma.fields.Nested(
        ReliabilitySchema,
        allow_none=True,
        metadata=described("As `test`, without the temperature."),
    )


class VersionSchema(VersionSummarySchema):
    """A version with its evidence, signature, lineage and layers."""

    model = ma.fields.String()
    baselines = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.Nested(SimplerModelSchema),
        allow_none=True,
        metadata=described("`linear` and `trees`; null without test rows."),
    )
    optimism = ma.fields.Nested(VersionOptimismSchema, allow_none=True)
    column_importance = ma.fields.Nested(ColumnImportanceSchema, allow_none=True)
    calibration = ma.fields.Nested(CalibrationSchema, allow_none=True)
    threshold = ma.fields.Nested(
        VersionThresholdSchema,
        allow_none=True,
        metadata=described("Null unless the version has two classes."),
    )
    coverage = ma.fields.List(
        ma.fields.Nested(CoverageSchema),
        allow_none=True,
        metadata=described("Of intervals by level; null without test or calibration rows."),
    )
    aliases = ma.fields.List(ma.fields.String())
    signature = ma.fields.Dict(metadata=described("Columns, classes and a sample row."))
    evidence = ma.fields.Dict(
        metadata=described("Scores, held-out test, baselines, lineage; see docs/evidence.md."),
    )
    layers = ma.fields.List(
        ma.fields.Dict(),
    )
    summary = ma.fields.String(metadata=described("The layers as text."))
    parameters = ma.fields.Integer()
    files = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.Nested(VersionFileSchema),
        metadata=described("SHA-256 and bytes by name."),
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
