"""Dry runs: the plan of a job that was not started, and its forecast."""

import marshmallow as ma

from api.schemas.fields import DataWarningSchema
from api.schemas.tune.jobs import ABOUT_COLUMNS, ABOUT_WARNINGS, ColumnUseSchema
from models.fields import (
    described,
)


class SpreadSchema(ma.Schema):
    """A figure over the search space."""

    smallest = ma.fields.Float(metadata=described("The least of any network."))
    largest = ma.fields.Float(metadata=described("The most of any network."))
    expected = ma.fields.Float(
        metadata=described("Mean over networks drawn as the strategy draws them.")
    )


class CountSpreadSchema(ma.Schema):
    """A count over the search space."""

    smallest = ma.fields.Integer()
    largest = ma.fields.Integer()
    expected = ma.fields.Integer()


class AssumptionsSchema(ma.Schema):
    """The assumptions of a forecast."""

    trials = ma.fields.Integer(metadata=described("Trials that are trained."))
    runs_per_trial = ma.fields.Integer(metadata=described("Folds times executions."))
    parallelism = ma.fields.Integer(metadata=described("Trials at once."))
    epochs = ma.fields.Integer(
        metadata=described(
            "Epochs of all trials together, each trained to its end: no early stopping, no pruning."
        )
    )
    networks_trained = ma.fields.Integer(
        metadata=described("Networks that were trained for a few epochs to measure.")
    )


class ForecastSchema(ma.Schema):
    """The needs of a job, measured on networks of its search space."""

    seconds = ma.fields.Float(metadata=described("Seconds of searching, at most."))
    saving_seconds = ma.fields.Float(
        metadata=described(
            "Seconds of the refit, if there is one, and of making the version, but its baselines."
        )
    )
    seconds_per_trial = ma.fields.Nested(SpreadSchema)
    memory_bytes = ma.fields.Integer(
        metadata=described("Most resident memory of one trial's process.")
    )
    disk_bytes = ma.fields.Nested(
        CountSpreadSchema,
        metadata=described("Bytes that stay: the version's two large files and the weights kept."),
    )
    parameters = ma.fields.Nested(CountSpreadSchema)
    assumes = ma.fields.Nested(AssumptionsSchema)


class RoundSchema(ma.Schema):
    """Trials of one Hyperband bracket that are trained equally long."""

    iteration = ma.fields.Integer(metadata=described("From 0."))
    bracket = ma.fields.Integer(metadata=described("The highest one comes first."))
    round = ma.fields.Integer(metadata=described("From 0; the later ones go on with the best."))
    trials = ma.fields.Integer()
    initial_epoch = ma.fields.Integer()
    epochs = ma.fields.Integer(metadata=described("Where training ends, counted from the start."))


class PlanSchema(ma.Schema):
    """The plan of a tuning job that was not started."""

    trials = ma.fields.Integer(metadata=described("Trials that there would be."))
    reused = ma.fields.Integer(
        metadata=described("How many of them have their results from `narrow_from`.")
    )
    initial_points = ma.fields.Integer(
        allow_none=True,
        metadata=described(
            "Trials before the strategy learns from results; null where it never does, and for"
            " Hyperband."
        ),
    )
    space_size = ma.fields.Integer(
        allow_none=True, metadata=described("Distinct trials; null where values are continuous.")
    )
    schedule = ma.fields.List(
        ma.fields.Nested(RoundSchema),
        metadata=described("Hyperband's rounds; empty for other strategies."),
    )
    forecast = ma.fields.Nested(ForecastSchema, allow_none=True)
    forecast_missing = ma.fields.String(
        allow_none=True, metadata=described("Why there is no forecast.")
    )
    warnings = ma.fields.List(ma.fields.Nested(DataWarningSchema), metadata=ABOUT_WARNINGS)
    columns = ma.fields.Nested(ColumnUseSchema, metadata=ABOUT_COLUMNS)
    request = ma.fields.Dict(metadata=described("What was asked for, with every default."))
