"""Commands about tuning jobs; `models.jobs.schema.spec.JobSpecSchema` is that which starts one."""

from collections.abc import Mapping
from typing import Any

import marshmallow as ma
from marshmallow.validate import Length, Range

from models.fields import (
    LARGEST_NUMBER,
    CountOrShare,
    StrictFloat,
    StrictInteger,
    described,
    description_field,
    tags_field,
)
from models.jobs.schema.parts import MAX_EPOCHS, MAX_TRIALS, with_target_score

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
