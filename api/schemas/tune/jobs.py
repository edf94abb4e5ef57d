"""Tuning jobs."""

import marshmallow as ma
from marshmallow.validate import OneOf

from api.schemas.fields import (
    DataWarningSchema,
    conclusion_field,
    promotion_field,
    trees_field,
)
from api.schemas.tune.trials import TrialSchema
from models.fields import (
    described,
)
from models.jobs.model import JobState


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


ABOUT_WARNINGS = described("What to know about the data before the scores are believed.")
ABOUT_COLUMNS = described("Which columns are used; null in jobs of versions before 0.2.0.")


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
    front = ma.fields.List(
        ma.fields.Integer(),
        allow_none=True,
        metadata=described(
            "Numbers of the trials that no other beats by several objectives, the best of the first"
            " objective first; null with one objective. `GET /tune/{id}/front` has their scores."
        ),
    )
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
    better_than_trees = trees_field()
    conclusion = conclusion_field()
    promotion = promotion_field()
    refit = ma.fields.Boolean(
        allow_none=True,
        metadata=described(
            "Whether the version's members are trained again on training and validation rows; null"
            " if that is decided when the version is made, whose evidence then says so."
        ),
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
    last_event = ma.fields.Integer(
        metadata=described("Id of its latest event; `Last-Event-ID` of a stream of later ones.")
    )
    warnings = ma.fields.List(ma.fields.Nested(DataWarningSchema), metadata=ABOUT_WARNINGS)
    columns = ma.fields.Nested(ColumnUseSchema, allow_none=True, metadata=ABOUT_COLUMNS)
    request = ma.fields.Dict(metadata=described("What was asked for, with every default."))


class JobPageSchema(ma.Schema):
    """A part of the jobs, newest first."""

    items = ma.fields.List(ma.fields.Nested(JobSchema))
    next = ma.fields.String(allow_none=True)
