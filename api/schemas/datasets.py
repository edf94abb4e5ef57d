"""Datasets."""

from collections.abc import Mapping
from typing import Any

import marshmallow as ma
from marshmallow.validate import Length, Range

from api.parsing import check_printable
from api.schemas.fields import DataWarningSchema, moment
from api.schemas.reading import FileField, OptionsField, TypesField
from models.data.columns import ColumnType
from models.data.table import ReadOptions
from models.fields import MODEL_NAME, described


class UploadSchema(ma.Schema):
    """A file, and how to read it."""

    file = FileField(
        required=True,
        metadata=described("CSV, TSV, JSON records, JSON Lines, Parquet or NPZ."),
    )
    name = ma.fields.String(
        load_default=None, allow_none=False, validate=[Length(1, 200), check_printable]
    )
    types = TypesField(load_default=dict)
    options = OptionsField()


class InlineDatasetSchema(ma.Schema):
    """Rows in the body: `records`, or arrays `x` and `y`.

    Or a file that is elsewhere: `url` is its address; `from` is a dataset that was read from it. Or
    `from_log`: what a model has predicted.
    """

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
    dataset = ma.fields.String(
        data_key="from",
        validate=Length(1, 64),
        metadata=described("Id of a dataset whose file is to be read anew."),
    )
    from_log = ma.fields.String(
        validate=MODEL_NAME,
        metadata=described(
            "A model: the rows of its prediction log whose true values came as feedback."
        ),
    )
    since = moment("With `from_log`: when they were predicted, at the earliest.")
    until = moment("With `from_log`: before when they were predicted.")
    name = ma.fields.String(load_default=None, validate=[Length(1, 200), check_printable])
    types = TypesField(load_default=dict)
    options = OptionsField()

    @ma.validates_schema
    def _one_form(self, data: Mapping[str, Any], **_: Any) -> None:
        given = set(data) - {"name", "types", "options", "since", "until"}
        if given not in ({"records"}, {"x", "y"}, {"url"}, {"dataset"}, {"from_log"}):
            text = "Give either records, or both x and y, or url, or from, or from_log."
            raise ma.ValidationError(text, "records")
        is_log = "from_log" in given
        for name in ("types", "options") if is_log else ("since", "until"):
            if data.get(name) not in (None, {}, ReadOptions()):
                where = "without" if is_log else "only with"
                raise ma.ValidationError(f"Give it {where} from_log.", name)
        since, until = data.get("since"), data.get("until")
        if since is not None and until is not None and until <= since:
            raise ma.ValidationError("Must be later than since.", "until")


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
    quartiles = ma.fields.List(
        ma.fields.Float(),
        allow_none=True,
        metadata=described("Of numbers: 25 %, 50 % and 75 %."),
    )
    histogram = ma.fields.List(
        ma.fields.Integer(),
        allow_none=True,
        metadata=described(
            "Cells of a number or datetime in 20 bins of equal width from `min` to `max`; one bin"
            " if all are equal. Null in datasets of older versions."
        ),
    )


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
    reading = ma.fields.Dict(
        allow_none=True,
        metadata=described(
            "How the file was read: its format, dialect, header, encoding and the like; null for"
            " rows that came in a request."
        ),
    )
    warnings = ma.fields.List(ma.fields.Nested(DataWarningSchema))
    created = ma.fields.DateTime(format="iso")
    bytes = ma.fields.Integer(
        allow_none=True, metadata=described("Of its files; null until a sweep has counted them.")
    )
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
