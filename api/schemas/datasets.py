"""Datasets."""

import json
from collections.abc import Mapping
from typing import Any

import marshmallow as ma
from flask_smorest.fields import Upload
from marshmallow.validate import Length, OneOf, Range
from werkzeug.datastructures import FileStorage

from api.parsing import check_printable
from models.data.columns import ColumnType
from models.fields import described


class TypesField(ma.fields.Dict):
    """Column types by name; in a form, the same as JSON text."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            keys=ma.fields.String(), values=ma.fields.String(validate=OneOf(_TYPES)), **kwargs
        )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                raise ma.ValidationError("Not JSON.") from None
        return super()._deserialize(value, attr, data, **kwargs)  # type: ignore[no-untyped-call]


_TYPES = [str(kind) for kind in ColumnType if kind is not ColumnType.IMAGE]
_TYPES_HELP = described(
    f"Types by column, for those that are not to be inferred: {', '.join(_TYPES)}.",
    example={"zip_code": "category"},
)


class FileField(Upload):  # type: ignore[misc]
    """A file whose name can name a dataset."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> FileStorage:
        if not isinstance(value, FileStorage):
            raise ma.ValidationError("Send a file with its name.")
        check_printable(Length(max=200, error="The name is longer than 200.")(value.filename or ""))
        return value


class UploadSchema(ma.Schema):
    """A file, and how to read it."""

    file = FileField(
        required=True,
        metadata=described("CSV, TSV, JSON records, JSON Lines, Parquet or NPZ."),
    )
    name = ma.fields.String(
        load_default=None, allow_none=False, validate=[Length(1, 200), check_printable]
    )
    types = TypesField(load_default=dict, metadata=_TYPES_HELP)


class InlineDatasetSchema(ma.Schema):
    """Rows in the body: `records`, or arrays `x` and `y`; or the address of a file, `url`."""

    records = ma.fields.List(
        ma.fields.Raw(metadata={"type": "object"}),
        metadata=described("One object a row.", example=[{"rooms": 3, "price": 210.5}]),
    )
    x = ma.fields.List(
        ma.fields.Raw(),
        metadata=described("Rows of numbers, or images (rows × height × width [× channels])."),
    )
    y = ma.fields.List(ma.fields.Raw(), metadata=described("One target a row."))
    url = ma.fields.String(
        validate=[Length(1, 2000), check_printable],
        metadata=described("An https address of one of the hosts that the service fetches from."),
    )
    name = ma.fields.String(load_default=None, validate=[Length(1, 200), check_printable])
    types = TypesField(load_default=dict, metadata=_TYPES_HELP)

    @ma.validates_schema
    def _one_form(self, data: Mapping[str, Any], **_: Any) -> None:
        if set(data) - {"name", "types"} not in ({"records"}, {"x", "y"}, {"url"}):
            raise ma.ValidationError("Give either records, or both x and y, or url.", "records")


class FrequentValueSchema(ma.Schema):
    """A frequent value of a column."""

    value = ma.fields.Raw(metadata=described("Text, or true or false."))
    count = ma.fields.Integer(metadata=described("Cells that hold it."))


class ColumnProfileSchema(ma.Schema):
    """A column; figures that its type does not have are null."""

    name = ma.fields.String()
    type = ma.fields.Enum(ColumnType, by_value=True)
    missing = ma.fields.Integer(metadata=described("Cells without a value."))
    distinct = ma.fields.Integer(metadata=described("Different values; 0 for images."))
    shape = ma.fields.List(
        ma.fields.Integer(),
        metadata=described("Of one image: height, width and, if there are any, channels."),
    )
    reason = ma.fields.String(metadata=described("Why an inferred type is `ignored`."))
    frequent = ma.fields.List(
        ma.fields.Nested(FrequentValueSchema),
        allow_none=True,
        metadata=described("The most frequent values of a category or boolean."),
    )
    min = ma.fields.Raw(
        allow_none=True,
        metadata=described("The smallest number, or the first datetime as RFC 3339 text."),
    )
    max = ma.fields.Raw(allow_none=True, metadata=described("Like `min`."))
    mean = ma.fields.Float(allow_none=True, metadata=described("Of numbers."))


class DatasetSchema(ma.Schema):
    """A stored dataset."""

    id = ma.fields.String(metadata=described("Digest of the content: the same rows, the same id."))
    name = ma.fields.String(allow_none=True)
    builtin = ma.fields.String(allow_none=True)
    rows = ma.fields.Integer()
    columns = ma.fields.List(
        ma.fields.Nested(ColumnProfileSchema),
        metadata=described("Every column with its counts and figures; empty if `error` is given."),
    )
    created = ma.fields.DateTime(format="iso")
    error = ma.fields.String(
        allow_none=True,
        metadata=described("Why this version cannot read the columns; null if it can."),
    )


class DatasetPageSchema(ma.Schema):
    """A part of the datasets, newest first."""

    items = ma.fields.List(ma.fields.Nested(DatasetSchema))
    next = ma.fields.String(allow_none=True)


class PreviewQuery(ma.Schema):
    """The size of a preview."""

    rows = ma.fields.Integer(
        load_default=10, validate=Range(1, 1000), metadata=described("Rows from the top.")
    )


class PreviewSchema(ma.Schema):
    """The first rows of a dataset."""

    items = ma.fields.List(ma.fields.Dict())
