"""Trials of a job."""

from typing import Any

import marshmallow as ma
from marshmallow.validate import OneOf

from models.fields import (
    described,
)
from models.jobs.model import TrialState


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
