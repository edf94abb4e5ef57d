"""Predictions."""

import json
import re
from collections.abc import Sequence
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

ID_HEADER = "X-Prediction-ID"
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


class ColumnsQuery(ma.Schema):
    """The treatment of columns that a body and the model do not share."""

    unknown_columns = _unknown_columns()
    missing_columns = missing_columns_field()


class PredictParameters(ColumnsQuery):
    """What a request of another protocol may want beside its rows."""

    key = ma.fields.String(validate=Length(1, 256), metadata=_KEY)
    interval = StrictFloat(validate=INSIDE, metadata=INTERVAL)
    threshold = StrictFloat(validate=INSIDE, metadata=THRESHOLD)


class VersionQuery(ma.Schema):
    """A version of a model; the champion unless it is named."""

    version = ma.fields.Integer(
        validate=Range(1, LARGEST_NUMBER), metadata=described("A version by number.")
    )
    alias = ma.fields.String(
        validate=Length(1, 64), metadata=described("A version by alias. Default: `champion`.")
    )

    @ma.validates_schema
    def _check_one(self, data: dict[str, Any], **_: Any) -> None:
        if "version" in data and "alias" in data:
            raise ma.ValidationError(NOT_BOTH, "alias")


class InvocationsQuery(VersionQuery, ColumnsQuery):
    """What a request in MLflow's form cannot say in its body."""

    model = ma.fields.String(
        validate=MODEL_NAME,
        metadata=described("Default: that of `LUTHIER_INVOCATIONS_MODEL`, or the only model."),
    )
    key = ma.fields.String(validate=Length(1, 256), metadata=_KEY)
    threshold = ma.fields.Float(validate=INSIDE, metadata=THRESHOLD)


class PredictQuery(VersionQuery, ColumnsQuery):
    """What a body that is a table cannot say. With JSON, `model` and the like are in the body."""

    model = ma.fields.String(
        validate=MODEL_NAME, metadata=described("Required, unless the body is JSON.")
    )
    key = ma.fields.String(validate=Length(1, 256), metadata=_KEY)
    interval = ma.fields.Float(validate=INSIDE, metadata=INTERVAL)
    threshold = ma.fields.Float(validate=INSIDE, metadata=THRESHOLD)


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

    def load(self, data: Any, **options: Any) -> Any:
        """Load a body. A plain one, as nearly all are, takes a short way to the same result."""
        if is_plain(data):
            return {"version": None, "alias": None, **data}
        return super().load(data, **options)

    @ma.validates("instances")
    def _check_instances(self, value: Any, **_: Any) -> None:
        if not isinstance(value, list) or not value:
            raise ma.ValidationError("Must be a list of at least one row.")

    @ma.validates_schema
    def _check_one(self, data: dict[str, Any], **_: Any) -> None:
        if data["version"] is not None and data["alias"] is not None:
            raise ma.ValidationError(NOT_BOTH, "alias")


_PLAIN = frozenset({"model", "instances", "version"})


def is_plain(data: Any) -> bool:
    """Return whether a body breaks no rule of the schema and has no fields but the usual ones."""
    if type(data) is not dict or not _PLAIN.issuperset(data):
        return False
    model, rows, version = data.get("model"), data.get("instances"), data.get("version", 1)
    return (
        type(model) is str
        and re.fullmatch(MODEL_NAME.pattern, model) is not None
        and type(rows) is list
        and rows != []
        and type(version) is int
        and 1 <= version <= LARGEST_NUMBER
    )


def prediction_body(prediction: Prediction, identity: str) -> dict[str, Any]:
    """Return the answer in JSON values, as PredictionSchema describes it.

    The schema would visit every number of thousands of rows.
    """
    body: dict[str, Any] = {
        "model": prediction.model,
        "version": prediction.version,
        "prediction_id": identity,
        "predictions": prediction.predictions,
    }
    if prediction.classes is not None:
        body |= {"classes": prediction.classes, "probabilities": prediction.probabilities}
    for name in ("threshold", "interval", "lower", "upper", "labels"):
        if (found := getattr(prediction, name)) is not None:
            body[name] = found
    return body


def prediction_csv(prediction: Prediction) -> str:
    """Return predictions as a table, one line a row: the prediction, and a column a probability.

    With an interval, the columns `lower` and `upper` follow, or `labels`: the set as a JSON list.
    Booleans are written as in JSON, and what is no number is an empty cell. Labels are those of the
    training file, letter by letter, also where a spreadsheet would take one for a formula.
    """
    columns = prediction_columns(prediction)
    if prediction.labels is not None:
        sets = prediction.labels
        columns["labels"] = [json.dumps(found, ensure_ascii=False) for found in sets]
    rows = zip(*columns.values(), strict=True)
    return "".join(csv_lines(chain([list(columns)], rows)))


def prediction_columns(prediction: Prediction) -> dict[str, Sequence[Any]]:
    """Return columns by name: `prediction`, `probability_<class>`, `lower`, `upper`, `labels`.

    A cell of `labels` is a list; what was not asked for is left out.
    """
    classes = prediction.classes or []
    names = [str(label).lower() if isinstance(label, bool) else label for label in classes]
    shares = zip(*(prediction.probabilities or []), strict=True)
    columns: dict[str, Sequence[Any]] = {"prediction": prediction.predictions}
    columns |= {f"probability_{name}": column for name, column in zip(names, shares, strict=True)}
    optional = {name: getattr(prediction, name) for name in ("lower", "upper", "labels")}
    return columns | {name: cells for name, cells in optional.items() if cells is not None}


class PredictionSchema(ma.Schema):
    """Predictions in the order of the instances."""

    model = ma.fields.String()
    version = ma.fields.Integer()
    prediction_id = ma.fields.String(
        metadata=described("Names the answer, for `POST /models/{model}/feedback`.")
    )
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
