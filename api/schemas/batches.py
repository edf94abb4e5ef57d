"""Predictions of whole datasets and files."""

from typing import Any

import marshmallow as ma
from marshmallow.validate import Length, OneOf, Range

from api.schemas.fields import PageQuery
from api.schemas.predict import (
    INSIDE,
    INTERVAL,
    NOT_BOTH,
    THRESHOLD,
    missing_columns_field,
)
from api.schemas.reading import FileField, OptionsField
from models.batches.model import BatchState
from models.fields import LARGEST_NUMBER, StrictFloat, StrictInteger, described

FORMATS = {"csv": "text/csv", "parquet": "application/vnd.apache.parquet"}


ALL = "all"


class KeepField(ma.fields.List[Any]):
    """Names of columns, or `all`."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        return value if value == ALL else super()._deserialize(value, attr, data, **kwargs)

    def openapi(self, _: Any) -> dict[str, Any]:
        """Return the JSON Schema of the field."""
        names = {"type": "array", "items": {"type": "string", "maxLength": 1000}}
        return {"oneOf": [names | {"maxItems": 10_000}, {"type": "string", "enum": [ALL]}]}


class BatchFields(ma.Schema):
    """What the two forms of a request share."""

    version = StrictInteger(
        validate=Range(1, LARGEST_NUMBER), metadata=described("A version by number.")
    )
    alias = ma.fields.String(
        validate=Length(1, 64), metadata=described("A version by alias. Default: `champion`.")
    )
    format = ma.fields.String(
        load_default="csv", validate=OneOf(FORMATS), metadata=described("Of the result.")
    )
    keep = KeepField(
        ma.fields.String(validate=Length(max=1000)),
        validate=Length(max=10_000),
        metadata=described(
            "Columns of the rows that the result has too, such as ids, or `all`. Default: those"
            " that the model does not take. Images are never among them.",
            example=["id"],
        ),
    )
    missing_columns = missing_columns_field()
    interval = StrictFloat(validate=INSIDE, metadata=INTERVAL)
    threshold = StrictFloat(validate=INSIDE, metadata=THRESHOLD)

    @ma.validates_schema
    def _check_one(self, data: dict[str, Any], **_: Any) -> None:
        if "version" in data and "alias" in data:
            raise ma.ValidationError(NOT_BOTH, "alias")


class BatchRequestSchema(BatchFields):
    """The stored dataset to predict, and how."""

    dataset = ma.fields.String(
        required=True,
        validate=Length(1, 64),
        metadata=described(
            "Id of a stored dataset, or `builtin:<name>` of one that a job has loaded."
        ),
    )


class BatchFormSchema(BatchFields):
    """The file to predict, and how. Fields that are no text are JSON."""

    file = FileField(
        required=True, metadata=described("The rows, in any format of `POST /datasets`.")
    )
    options = OptionsField()


class BatchSchema(ma.Schema):
    """A batch: its state and, at its end, its result."""

    id = ma.fields.String()
    state = ma.fields.Enum(BatchState, by_value=True)
    model = ma.fields.String()
    version = ma.fields.Integer()
    dataset = ma.fields.String(
        allow_none=True, metadata=described("Null: the rows came as a file.")
    )
    format = ma.fields.String(attribute="spec.format", validate=OneOf(FORMATS))
    keep = ma.fields.List(
        ma.fields.String(),
        attribute="spec.keep",
        metadata=described("Columns of the rows that the result has too."),
    )
    missing_columns = ma.fields.String(attribute="spec.missing_columns")
    interval = ma.fields.Float(attribute="spec.interval", allow_none=True)
    threshold = ma.fields.Float(attribute="spec.threshold", allow_none=True)
    rows = ma.fields.Integer()
    rows_done = ma.fields.Integer(metadata=described("Rows that are predicted and stored."))
    rows_failed = ma.fields.Integer(
        metadata=described("Of `rows_done`, those without an answer: the result says why.")
    )
    created = ma.fields.DateTime(format="iso")
    started = ma.fields.DateTime(format="iso", allow_none=True)
    finished = ma.fields.DateTime(format="iso", allow_none=True)
    error = ma.fields.String(allow_none=True, metadata=described("Why the batch failed."))
    created_by = ma.fields.String(allow_none=True, metadata=described("Name of an API key."))
    bytes = ma.fields.Integer(allow_none=True, metadata=described("Of the result."))


class BatchPageSchema(ma.Schema):
    """A part of the batches, newest first."""

    items = ma.fields.List(ma.fields.Nested(BatchSchema))
    next = ma.fields.String(allow_none=True)


class BatchesQuery(PageQuery):
    """The part of the batches to return."""

    state = ma.fields.String(
        load_default=None,
        validate=OneOf(list(BatchState)),
        metadata=described("Only those in this state."),
    )
