"""Importance of hyperparameters, and the report of a job."""

import marshmallow as ma
from marshmallow.validate import OneOf

from models.fields import described


class HyperparameterImportanceSchema(ma.Schema):
    """The importance of one hyperparameter."""

    hyperparameter = ma.fields.String(
        metadata=described("`epochs` stands for those asked for, where the strategy varies them.")
    )
    importance = ma.fields.Float(
        metadata=described("Out-of-bag R² lost when its values are shuffled; about 0 if idle.")
    )
    spread = ma.fields.Float(metadata=described("Standard deviation over the shuffles."))
    share = ma.fields.Float(metadata=described("Of the sum of all importances above 0."))


class ImportanceSchema(ma.Schema):
    """The hyperparameters that differed between a job's trials, the most important first."""

    job = ma.fields.String()
    method = ma.fields.String()
    trials = ma.fields.Integer(metadata=described("Trials that the forest learned from."))
    oob_r2 = ma.fields.Float(
        allow_none=True,
        metadata=described(
            "Share of the ranks' variance that the forest foresees in trials that it did not"
            " learn from; near 0 or below, the ranking means nothing."
        ),
    )
    warning = ma.fields.String(
        allow_none=True, metadata=described("Why the ranking may mean little.")
    )
    items = ma.fields.List(ma.fields.Nested(HyperparameterImportanceSchema))


class ReportQuery(ma.Schema):
    """The wanted form of a report."""

    format = ma.fields.String(
        load_default=None,
        validate=OneOf(["html", "png"]),
        metadata=described(
            "Goes before the `Accept` header. Default: `html`, the page in the dashboard."
        ),
    )
