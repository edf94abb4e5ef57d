"""Tuning jobs and trials as they are answered."""

from dataclasses import asdict
from typing import Any

import marshmallow as ma
from marshmallow.validate import OneOf, Range

from api.schemas.fields import PageQuery
from api.schemas.forecast import ActualSchema, ForecastSchema
from models.fields import LARGEST_NUMBER, described
from models.jobs.lifecycle import JobState, TrialState
from models.jobs.records import Job, Progress, Trial


class TuneQuery(ma.Schema):
    """What to do with the request."""

    dry_run = ma.fields.Boolean(
        load_default=False,
        metadata=described("Answer the plan and start nothing."),
    )


class TuneHeaders(ma.Schema):
    """Headers of a tuning request."""

    idempotency_key = ma.fields.String(
        data_key="Idempotency-Key",
        load_default=None,
        validate=ma.validate.Length(1, 255),
        metadata=described("A request sent again with the same key answers the same job."),
    )

    class Meta:
        """Every request has headers that are not ours."""

        unknown = ma.EXCLUDE


class JobsQuery(PageQuery):
    """Which jobs to answer."""

    state = ma.fields.String(
        load_default=None, validate=OneOf(list(JobState)), metadata=described("Only these.")
    )


class TrialsQuery(ma.Schema):
    """Which trials to answer."""

    limit = ma.fields.Integer(
        load_default=100, validate=Range(1, 1000), metadata=described("Most items to answer.")
    )
    after = ma.fields.Integer(
        load_default=None,
        validate=Range(0, LARGEST_NUMBER),
        metadata=described("Number of the last trial already seen, in either order."),
    )
    state = ma.fields.String(
        load_default=None, validate=OneOf(list(TrialState)), metadata=described("Only these.")
    )
    sort = ma.fields.String(
        load_default="number",
        validate=OneOf(["number", "score"]),
        metadata=described("By `number`, or by `score` with the best first."),
    )


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


class TrialSchema(ma.Schema):
    """One set of values, trained and scored."""

    number = ma.fields.Integer(metadata=described("From 1, in the order of proposal."))
    state = ma.fields.String(validate=OneOf(list(TrialState)))
    values = ma.fields.Dict(metadata=described("Every hyperparameter that was in effect."))
    score = ma.fields.Float(allow_none=True, metadata=described("The objective."))
    spread = ma.fields.Float(
        allow_none=True,
        metadata=described("Standard deviation of the score over folds and executions."),
    )
    metrics = ma.fields.Dict(
        allow_none=True, metadata=described("On the validation rows, in the target's own units.")
    )
    folds = ma.fields.List(
        ma.fields.Dict(), allow_none=True, metadata=described("One entry a fold and execution.")
    )
    history = ma.fields.Dict(
        allow_none=True,
        metadata=described("Figures per epoch; those so far where one trial is asked for."),
    )
    best_epoch = ma.fields.Integer(allow_none=True)
    epochs = ma.fields.Integer(metadata=described("Epochs asked for."))
    initial_epoch = ma.fields.Integer(metadata=described("Epochs that its parent had trained."))
    epochs_trained = ma.fields.Integer(allow_none=True)
    parent = ma.fields.Integer(
        allow_none=True, metadata=described("Trial whose weights it continues (hyperband).")
    )
    reused_from = ma.fields.Nested(
        TrialRefSchema,
        allow_none=True,
        metadata=described("The equal trial, of this job or another, that answered it."),
    )
    trainer = ma.fields.String(
        allow_none=True, metadata=described("What trained it: `numpy`, `pack` or `keras`.")
    )
    overfit_gap = ma.fields.Float(
        allow_none=True, metadata=described("Validation loss minus training loss.")
    )
    overfit = ma.fields.Boolean(
        allow_none=True,
        metadata=described(
            "Whether the validation loss is above 1.5 times the training loss and the gap above 5%"
            " of the loss of always predicting the mean or the class shares."
        ),
    )
    parameters = ma.fields.Integer(allow_none=True)
    seconds = ma.fields.Float(allow_none=True, metadata=described("Seconds of training."))
    memory_bytes = ma.fields.Integer(
        allow_none=True, metadata=described("Most resident memory of its process meanwhile.")
    )
    retries = ma.fields.Integer(metadata=described("Times it was lost and tried again."))
    failure = ma.fields.Nested(FailureSchema, allow_none=True)
    created = ma.fields.String()
    started = ma.fields.String(allow_none=True)
    finished = ma.fields.String(allow_none=True)


class TrialPageSchema(ma.Schema):
    """A part of a job's trials."""

    items = ma.fields.List(ma.fields.Nested(TrialSchema))
    next = ma.fields.String(allow_none=True)


class ProgressSchema(ma.Schema):
    """How far a job has come."""

    completed = ma.fields.Integer()
    running = ma.fields.Integer()
    failed = ma.fields.Integer()
    stopped = ma.fields.Integer(metadata=described("Ended early by the pruning rule."))
    total = ma.fields.Integer(metadata=described("Trials planned."))
    eta_seconds = ma.fields.Float(allow_none=True)


class JobSchema(ma.Schema):
    """One tuning run."""

    id = ma.fields.String()
    model = ma.fields.String()
    state = ma.fields.String(validate=OneOf(list(JobState)))
    dataset = ma.fields.String(
        allow_none=True, metadata=described("Null until a builtin dataset was loaded.")
    )
    progress = ma.fields.Nested(ProgressSchema)
    best_trial = ma.fields.Nested(TrialSchema, allow_none=True)
    stop_reason = ma.fields.String(
        allow_none=True,
        metadata=described(
            "Why the search ended: `max_trials`, `max_seconds`, `max_failed_trials`, `target`"
            " or `exhausted` (nothing is left to try)."
        ),
    )
    error = ma.fields.String(allow_none=True)
    version = ma.fields.Integer(
        allow_none=True, metadata=described("Registered version of the winner.")
    )
    weights = ma.fields.String(
        validate=OneOf(["kept", "refitted"]),
        metadata=described("Whether the winner keeps its weights or is trained anew."),
    )
    seconds = ma.fields.Float(metadata=described("Seconds of searching so far."))
    forecast = ma.fields.Nested(
        ForecastSchema,
        allow_none=True,
        metadata=described(
            "Made by the worker beside the first trials; null until then, and for good where quick"
            " trials were over before it."
        ),
    )
    actual = ma.fields.Nested(
        ActualSchema,
        allow_none=True,
        metadata=described("What the forecast came to; null until the job has succeeded."),
    )
    created = ma.fields.String()
    started = ma.fields.String(allow_none=True)
    finished = ma.fields.String(allow_none=True)
    request = ma.fields.Dict(metadata=described("What was asked for, with every default."))


class JobPageSchema(ma.Schema):
    """A part of the jobs, newest first."""

    items = ma.fields.List(ma.fields.Nested(JobSchema))
    next = ma.fields.String(allow_none=True)


class RoundSchema(ma.Schema):
    """Trials of one Hyperband bracket that are trained equally long."""

    iteration = ma.fields.Integer(metadata=described("From 0."))
    bracket = ma.fields.Integer(metadata=described("The highest one comes first."))
    round = ma.fields.Integer(metadata=described("From 0; the later ones go on with the best."))
    trials = ma.fields.Integer()
    initial_epoch = ma.fields.Integer()
    epochs = ma.fields.Integer(metadata=described("Where training ends, counted from the start."))


class PlanSchema(ma.Schema):
    """What a tuning job would do."""

    trials = ma.fields.Integer(metadata=described("Trials that there would be."))
    taken_over = ma.fields.Integer(
        metadata=described("How many of them have their results from `narrow_from`.")
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
    request = ma.fields.Dict(metadata=described("What was asked for, with every default."))


def job_body(job: Job, progress: Progress, best: Trial | None, slots: int) -> dict[str, Any]:
    """A job as `JobSchema` describes it; `slots` is how many trials run at once by default."""
    live = not job.state.is_final
    return {
        "id": job.id,
        "model": job.model,
        "state": str(job.state),
        "dataset": job.dataset,
        "progress": {
            "completed": progress.completed,
            "running": progress.running,
            "failed": progress.failed,
            "stopped": progress.stopped,
            "total": progress.total,
            "eta_seconds": progress.eta_seconds(job.spec.parallelism or slots) if live else 0.0,
        },
        "best_trial": trial_body(best) if best else None,
        "stop_reason": job.stop_reason,
        "error": job.error,
        "version": job.version,
        "weights": "refitted" if job.spec.refit else "kept",
        "seconds": job.seconds,
        "forecast": job.forecast,
        "actual": job.actual,
        "created": job.created.isoformat(),
        "started": job.started.isoformat() if job.started else None,
        "finished": job.finished.isoformat() if job.finished else None,
        "request": job.spec.to_document(),
    }


def trial_body(trial: Trial) -> dict[str, Any]:
    """A trial as `TrialSchema` describes it."""
    result = trial.result or {}
    kind = trial.failure_kind
    return {
        "number": trial.number,
        "state": str(trial.state),
        "values": trial.values,
        "score": trial.score,
        "spread": result.get("spread"),
        "metrics": result.get("metrics"),
        "folds": result.get("folds"),
        "history": result.get("history"),
        "best_epoch": result.get("best_epoch"),
        "epochs": trial.epochs,
        "initial_epoch": trial.initial_epoch,
        "epochs_trained": result.get("epochs"),
        "parent": trial.parent,
        "reused_from": asdict(trial.reused_from) if trial.reused_from else None,
        "trainer": result.get("trainer"),
        "overfit_gap": result.get("overfit_gap"),
        "overfit": result.get("overfit"),
        "parameters": result.get("parameters"),
        "seconds": trial.seconds,
        "memory_bytes": result.get("memory_bytes"),
        "retries": trial.retries,
        "failure": {"kind": kind, "message": trial.failure_message} if kind else None,
        "created": trial.created.isoformat(),
        "started": trial.started.isoformat() if trial.started else None,
        "finished": trial.finished.isoformat() if trial.finished else None,
    }
