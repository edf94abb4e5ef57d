"""Predictions."""

from typing import Any

import marshmallow as ma
from marshmallow.validate import Length, Range

from models.fields import LARGEST_NUMBER, StrictInteger, described, model_name


class PredictSchema(ma.Schema):
    """Rows to predict with a model's champion, or with the named version or alias."""

    model = model_name(example="house-prices")
    version = StrictInteger(
        load_default=None,
        validate=Range(1, LARGEST_NUMBER),
        metadata=described("A version by number."),
    )
    alias = ma.fields.String(
        load_default=None,
        validate=Length(1, 64),
        metadata=described("A version by alias. Default: `champion`."),
    )
    instances = ma.fields.Raw(
        required=True,
        metadata=described(
            "Rows as objects of column -> value, or as lists in the order of the columns."
            " `null` is a missing cell.",
            type="array",
            items={},
            minItems=1,
            example=[{"rooms": 3, "city": "Graz"}],
        ),
    )

    @ma.validates("instances")
    def _check_instances(self, value: Any, **_: Any) -> None:
        if not isinstance(value, list) or not value:
            raise ma.ValidationError("Must be a list of at least one row.")

    @ma.validates_schema
    def _check_one(self, data: dict[str, Any], **_: Any) -> None:
        if data["version"] is not None and data["alias"] is not None:
            raise ma.ValidationError("Give a version or an alias, not both.", "alias")


class PredictionSchema(ma.Schema):
    """Predictions in the order of the instances."""

    model = ma.fields.String()
    version = ma.fields.Integer()
    predictions = ma.fields.List(
        ma.fields.Raw(), metadata=described("A number each, or a class each.")
    )
    classes = ma.fields.List(
        ma.fields.Raw(), metadata=described("Order of `probabilities`; classification only.")
    )
    probabilities = ma.fields.List(
        ma.fields.List(ma.fields.Float()),
        metadata=described("One probability a class; classification only."),
    )
