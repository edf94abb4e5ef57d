"""Changes to a job that is there."""

from collections.abc import Mapping
from typing import Any

import marshmallow as ma
from marshmallow.validate import Length, Range

from models.fields import StrictFloat, StrictInteger, described

_VALUES = "By hyperparameter; what is left out is as the search space fixes it, else the default."


class GivenTrialsSchema(ma.Schema):
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


class RaisedLimitsSchema(ma.Schema):
    """Limits to be raised; those left out stay."""

    max_trials = StrictInteger(
        allow_none=True,
        validate=Range(1, 100_000),
        metadata=described("Of the strategy's own trials; `null`: all that it has."),
    )
    max_seconds = StrictFloat(
        allow_none=True,
        validate=Range(min=0, min_inclusive=False),
        metadata=described("Of searching, those already spent included; `null`: no limit."),
    )
    max_failed_trials = StrictInteger(
        validate=Range(min=1), metadata=described("Those that have failed already included.")
    )
    target = StrictFloat(
        allow_none=True,
        metadata=described("A better score than the present target; `null`: none."),
    )
    epochs = StrictInteger(
        validate=Range(1, 100_000),
        metadata=described("Of the trials from now on; those that were trained stay as they are."),
    )


class RaiseBudgetSchema(ma.Schema):
    """A larger budget for a job."""

    budget = ma.fields.Nested(
        RaisedLimitsSchema,
        required=True,
        validate=Length(1, error="Name at least one limit."),
        metadata={"example": {"max_trials": 40}},
    )
