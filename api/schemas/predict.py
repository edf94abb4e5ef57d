"""Predictions."""

import json
from collections.abc import Iterable
from itertools import chain
from typing import Any

import marshmallow as ma
from marshmallow.validate import Length, OneOf, Range

from api.schemas.tables import csv_lines
from models.fields import (
    LARGEST_NUMBER,
    MODEL_NAME,
    StrictFloat,
    StrictInteger,
    described,
    model_name,
)
from models.serving.engine import Prediction

NOT_BOTH = "Give a version or an alias, not both."


def _unknown_columns() -> ma.fields.String:
    return ma.fields.String(
        validate=OneOf(["error", "ignore"]),
        metadata=described(
            "Whether columns that the model does not take are refused or ignored. Default: `error`."
        ),
    )


def missing_columns_field() -> ma.fields.String:
    """Make the field that says what a missing column means."""
    return ma.fields.String(
        validate=OneOf(["error", "null"]),
        metadata=described(
            "Whether columns that are missing are refused or have missing cells. Default: `error`."
        ),
    )


INSIDE = Range(0, 1, min_inclusive=False, max_inclusive=False)
INTERVAL = described(
    "A level above 0 and below 1, such as 0.9: `lower` and `upper` of a regression, or `labels` of"
    " a classification, hold the truth of that share of new rows; see docs/certainty.md."
)


THRESHOLD = described(
    "Of two classes, in place of the version's own: the positive class is answered where its"
    " probability is at least this number."
)


_KEY = described(
    "Such as the id of a customer. Where several versions share the requests of an alias, equal"
    " keys get the same one as long as the weights stay."
)


class PredictQuery(ma.Schema):
    """What a body that is a table cannot say. With JSON, `model` and the like are in the body."""

    model = ma.fields.String(
        validate=MODEL_NAME, metadata=described("Required, unless the body is JSON.")
    )
    version = ma.fields.Integer(
        validate=Range(1, LARGEST_NUMBER), metadata=described("A version by number.")
    )
    alias = ma.fields.String(
        validate=Length(1, 64), metadata=described("A version by alias. Default: `champion`.")
    )
    key = ma.fields.String(validate=Length(1, 256), metadata=_KEY)
    unknown_columns = _unknown_columns()
    missing_columns = missing_columns_field()
    interval = ma.fields.Float(validate=INSIDE, metadata=INTERVAL)
    threshold = ma.fields.Float(validate=INSIDE, metadata=THRESHOLD)

    @ma.validates_schema
    def _check_one(self, data: dict[str, Any], **_: Any) -> None:
        if "version" in data and "alias" in data:
            raise ma.ValidationError(NOT_BOTH, "alias")


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
    key = ma.fields.String(load_default=None, validate=Length(1, 256), metadata=_KEY)
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

    unknown_columns = _unknown_columns()
    missing_columns = missing_columns_field()
    interval = StrictFloat(validate=INSIDE, metadata=INTERVAL)
    threshold = StrictFloat(validate=INSIDE, metadata=THRESHOLD)

    @ma.validates("instances")
    def _check_instances(self, value: Any, **_: Any) -> None:
        if not isinstance(value, list) or not value:
            raise ma.ValidationError("Must be a list of at least one row.")

    @ma.validates_schema
    def _check_one(self, data: dict[str, Any], **_: Any) -> None:
        if data["version"] is not None and data["alias"] is not None:
            raise ma.ValidationError(NOT_BOTH, "alias")


def prediction_csv(prediction: Prediction) -> str:
    """Return predictions as a table, one line a row: the prediction, and a column a probability.

    With an interval, the columns `lower` and `upper` follow, or `labels`: the set as a JSON list.
    Booleans are written as in JSON, and what is no number is an empty cell. Labels are those of the
    training file, letter by letter, also where a spreadsheet would take one for a formula.
    """
    classes = prediction.classes or []
    names = (str(label).lower() if isinstance(label, bool) else label for label in classes)
    headers = ["prediction", *(f"probability_{name}" for name in names)]
    columns: list[Iterable[Any]] = [prediction.predictions]
    columns += zip(*(prediction.probabilities or []), strict=True)
    for name, cells in (("lower", prediction.lower), ("upper", prediction.upper)):
        if cells is not None:
            headers.append(name)
            columns.append(cells)
    if prediction.labels is not None:
        headers.append("labels")
        columns.append(json.dumps(found, ensure_ascii=False) for found in prediction.labels)
    rows = zip(*columns, strict=True)
    return "".join(csv_lines(chain([headers], rows)))


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
    threshold = ma.fields.Float(
        metadata=described("That of the predictions; without it the most probable class is given.")
    )
    interval = ma.fields.Float(metadata=described("The level asked for, with what follows."))
    lower = ma.fields.List(
        ma.fields.Float(), metadata=described("Lower bounds of the interval; regression only.")
    )
    upper = ma.fields.List(
        ma.fields.Float(), metadata=described("Upper bounds of the interval; regression only.")
    )
    labels = ma.fields.List(
        ma.fields.List(ma.fields.Raw()),
        metadata=described("The set of classes for each row; classification only."),
    )
