"""Versions and their evidence."""

import marshmallow as ma

from api.schemas.fields import (
    conclusion_field,
    interval_field,
    intervals_field,
    promotion_field,
    trees_field,
)
from models.fields import (
    described,
)


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
