"""Tuning jobs and trials: commands and answers.

The request that starts a job is `models.jobs.schema.JobSpecSchema`.
"""

from collections.abc import Mapping
from typing import Any

import marshmallow as ma
from marshmallow.validate import Length, OneOf, Range

from api.schemas.fields import DataWarningSchema
from models.fields import (
    LARGEST_NUMBER,
    CountOrShare,
    StrictFloat,
    StrictInteger,
    described,
    description_field,
    tags_field,
)
from models.jobs.model import JobState, TrialState
from models.jobs.schema_parts import MAX_EPOCHS, MAX_TRIALS, with_target_score

# Commands

_VALUES = "By hyperparameter; what is left out is as the search space fixes it, else the default."


class EnqueueTrialsSchema(ma.Schema):
    """Values of the user's own: `values` of one trial, or `trials` of several."""

    values = ma.fields.Dict(
        keys=ma.fields.String(), metadata=described(_VALUES, example={"units": 96})
    )
    trials = ma.fields.List(
        ma.fields.Dict(keys=ma.fields.String()),
        validate=Length(1, 1000),
        metadata=described("Several such."),
    )

    @ma.validates_schema
    def _one_form(self, data: Mapping[str, Any], **_: Any) -> None:
        if len(data) != 1:
            raise ma.ValidationError("Give either values, or trials.", "values")


class ChangedLimitsSchema(ma.Schema):
    """New limits, higher or lower; those left out stay. None can be below what is spent."""

    max_trials = StrictInteger(
        allow_none=True,
        validate=Range(1, MAX_TRIALS),
        metadata=described(
            "Of the strategy's own trials, those begun included; `null`: all that it has."
        ),
    )
    max_seconds = StrictFloat(
        allow_none=True,
        validate=Range(min=0, min_inclusive=False),
        metadata=described("Of searching, those already spent included; `null`: no limit."),
    )
    max_failed_trials = CountOrShare(
        metadata=described("Those that have failed already included; below 1, a share.")
    )
    target_score = StrictFloat(
        allow_none=True,
        metadata=described("The search ends when the objective is this good; `null`: none."),
    )
    target = StrictFloat(
        allow_none=True, metadata=described("Old name of `target_score`.", deprecated=True)
    )
    epochs = StrictInteger(
        validate=Range(1, MAX_EPOCHS),
        metadata=described("Of the trials from now on; those that were trained stay as they are."),
    )

    @ma.post_load
    def _rename(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        return with_target_score(data)


class ChangeBudgetSchema(ma.Schema):
    """Another budget for a job, or other labels. At least one field is required."""

    budget = ma.fields.Nested(
        ChangedLimitsSchema,
        validate=Length(1, error="Name at least one limit."),
        metadata={"example": {"max_trials": 40}},
    )
    tags = tags_field(metadata=described("These replace all that it has."))
    description = description_field(metadata=described("`null` takes it away."))

    @ma.validates_schema
    def _check_any(self, data: Mapping[str, Any], **_: Any) -> None:
        if not data:
            raise ma.ValidationError("Give at least one of: budget, tags, description.", "budget")


class FinishSchema(ma.Schema):
    """Which version to build."""

    trial = StrictInteger(
        validate=Range(1, LARGEST_NUMBER),
        metadata=described("Of this trial of an ended job, in place of the best one.", example=3),
    )


# Trials


class FailureSchema(ma.Schema):
    """Why a trial has no score."""

    kind = ma.fields.String(
        metadata=described("`diverged`, `out_of_memory`, `timeout`, `lost` or `error`.")
    )
    message = ma.fields.String()


class TrialRefSchema(ma.Schema):
    """A trial of any job."""

    job = ma.fields.String()
    trial = ma.fields.Integer()


def _result(field: type[ma.fields.Field[Any]], name: str, text: str | None = None) -> Any:
    """Make a field for a figure of the stored result; null while there is none."""
    metadata = None if text is None else described(text)
    return field(attribute=f"result.{name}", dump_default=None, allow_none=True, metadata=metadata)


class TrialSchema(ma.Schema):
    """One set of values, trained and scored."""

    number = ma.fields.Integer(metadata=described("From 1, in the order of proposal."))
    state = ma.fields.String(validate=OneOf(list(TrialState)))
    values = ma.fields.Dict(metadata=described("Every hyperparameter that was in effect."))
    score = ma.fields.Float(
        allow_none=True, metadata=described("The objective, or the first of several.")
    )
    scores = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.Float(),
        allow_none=True,
        metadata=described("By metric, of several objectives; null where there is one."),
    )
    fits = ma.fields.Boolean(
        allow_none=True,
        metadata=described("Whether it keeps every constraint; null while it has no score."),
    )
    violations = _result(
        ma.fields.Dict,
        "violations",
        "By how much it breaks each constraint that it breaks, as a share of the bound.",
    )
    spread = _result(
        ma.fields.Float, "spread", "Standard deviation of the score over folds and executions."
    )
    metrics = _result(
        ma.fields.Dict,
        "metrics",
        "On the validation rows, in the target's own units; and of the network.",
    )
    folds = ma.fields.List(
        ma.fields.Dict(),
        attribute="result.folds",
        dump_default=None,
        allow_none=True,
        metadata=described("One entry for each fold and execution."),
    )
    history = _result(
        ma.fields.Dict, "history", "Figures per epoch; those so far while the trial runs."
    )
    best_epoch = _result(ma.fields.Integer, "best_epoch")
    epochs = ma.fields.Integer(metadata=described("Epochs asked for."))
    initial_epoch = ma.fields.Integer(metadata=described("Epochs that its parent had trained."))
    epochs_trained = _result(ma.fields.Integer, "epochs")
    parent = ma.fields.Integer(
        allow_none=True, metadata=described("Trial whose weights it continues (hyperband).")
    )
    reused_from = ma.fields.Nested(
        TrialRefSchema,
        allow_none=True,
        metadata=described("The equal trial, of this job or another, whose result it has."),
    )
    trainer = _result(ma.fields.String, "trainer", "What trained it: `numpy` or `keras`.")
    overfit_gap = _result(ma.fields.Float, "overfit_gap", "Validation loss minus training loss.")
    overfit = _result(
        ma.fields.Boolean,
        "overfit",
        "Whether the validation loss is above 1.5 times the training loss and the gap above 5%"
        " of the loss of always predicting the mean or the class shares.",
    )
    parameters = _result(ma.fields.Integer, "parameters")
    seconds = ma.fields.Float(allow_none=True, metadata=described("Seconds of training."))
    memory_bytes = _result(
        ma.fields.Integer, "memory_bytes", "Most resident memory of its process meanwhile."
    )
    retries = ma.fields.Integer(metadata=described("Times it was lost and tried again."))
    failure = ma.fields.Nested(FailureSchema, allow_none=True)
    created = ma.fields.DateTime()
    started = ma.fields.DateTime(allow_none=True)
    finished = ma.fields.DateTime(allow_none=True)


class TrialPageSchema(ma.Schema):
    """A part of a job's trials."""

    items = ma.fields.List(ma.fields.Nested(TrialSchema))
    next = ma.fields.String(allow_none=True)


# Jobs


class ProgressSchema(ma.Schema):
    """How many trials are in which state."""

    completed = ma.fields.Integer()
    running = ma.fields.Integer()
    failed = ma.fields.Integer()
    stopped = ma.fields.Integer(
        metadata=described("Ended early, by the pruning rule or with the search; they have scores.")
    )
    total = ma.fields.Integer(metadata=described("Trials planned."))
    eta_seconds = ma.fields.Float(
        allow_none=True, metadata=described("Seconds until all planned trials have ended.")
    )


class ColumnUseSchema(ma.Schema):
    """Which columns a job learns from; the target is in neither part."""

    used = ma.fields.List(ma.fields.String(), metadata=described("The features."))
    ignored = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.String(),
        metadata=described("Why each of the others is not used."),
    )


_WARNINGS = described("What to know about the data before the scores are believed.")
_COLUMNS = described("Which columns are used; null in jobs of versions before 0.2.0.")


class JobSchema(ma.Schema):
    """One tuning run."""

    id = ma.fields.String()
    model = ma.fields.String()
    tags = ma.fields.List(ma.fields.String(), metadata=described("As its user gave them."))
    description = ma.fields.String(allow_none=True)
    state = ma.fields.String(validate=OneOf(list(JobState)))
    dataset = ma.fields.String(
        allow_none=True, metadata=described("Null until a builtin dataset was loaded.")
    )
    progress = ma.fields.Nested(ProgressSchema)
    best_trial = ma.fields.Nested(TrialSchema, allow_none=True)
    stop_reason = ma.fields.String(
        allow_none=True,
        metadata=described(
            "Why the search ended: `max_trials`, `max_seconds`, `max_failed_trials`, `target`,"
            " `exhausted` (nothing is left to try), or `finish` (it was asked to)."
        ),
    )
    waiting_for = ma.fields.String(
        allow_none=True,
        metadata=described("What keeps it from going on now, such as storage that is away."),
    )
    error = ma.fields.String(allow_none=True)
    chosen_trial = ma.fields.Integer(
        allow_none=True, metadata=described("The trial that was chosen in place of the best one.")
    )
    version = ma.fields.Integer(
        allow_none=True, metadata=described("Registered version of the winner.")
    )
    refit = ma.fields.Boolean(
        metadata=described(
            "Whether the winner is trained again on training and validation rows together."
        )
    )
    seconds = ma.fields.Float(metadata=described("Seconds of searching so far."))
    bytes = ma.fields.Integer(
        allow_none=True,
        metadata=described("Of the weights that it keeps; null until a sweep after its end."),
    )
    created = ma.fields.DateTime()
    created_by = ma.fields.String(
        allow_none=True,
        metadata=described("Name of the API key; `anonymous` without keys, null if unknown."),
    )
    started = ma.fields.DateTime(allow_none=True)
    finished = ma.fields.DateTime(allow_none=True)
    held_by = ma.fields.String(
        attribute="owner",
        allow_none=True,
        metadata=described("The worker that holds the job; null if none does."),
    )
    lease_until = ma.fields.DateTime(
        allow_none=True,
        metadata=described("When that ends, unless the worker renews it, as it does until then."),
    )
    warnings = ma.fields.List(ma.fields.Nested(DataWarningSchema), metadata=_WARNINGS)
    columns = ma.fields.Nested(ColumnUseSchema, allow_none=True, metadata=_COLUMNS)
    request = ma.fields.Dict(metadata=described("What was asked for, with every default."))


class JobPageSchema(ma.Schema):
    """A part of the jobs, newest first."""

    items = ma.fields.List(ma.fields.Nested(JobSchema))
    next = ma.fields.String(allow_none=True)


# Dry runs


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
        metadata=described("Seconds of the refit, if there is one, and of making the version.")
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
    warnings = ma.fields.List(ma.fields.Nested(DataWarningSchema), metadata=_WARNINGS)
    columns = ma.fields.Nested(ColumnUseSchema, metadata=_COLUMNS)
    request = ma.fields.Dict(metadata=described("What was asked for, with every default."))
