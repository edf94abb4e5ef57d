"""Files and how to read them: the fields that uploads and tuning requests share."""

import codecs
from typing import Any

import marshmallow as ma
from flask_smorest.fields import Upload
from marshmallow.validate import Length, OneOf, Range
from werkzeug.datastructures import FileStorage

from api.parsing import check_printable
from models.data.columns import ColumnType
from models.data.table import ReadOptions
from models.fields import LARGEST_NUMBER, KeyedField, Reference, StrictInteger, described

_NO_DELIMITERS = frozenset("\"'\r\n")
_THOUSANDS = (",", ".", " ", "'", "_", "\u2019", "\u00a0", "\u202f", "\u2009")
# They are text encodings by name, but no file has them, and some take quadratic time.
_NO_ENCODINGS = {"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"}
_TYPES = [str(kind) for kind in ColumnType if kind is not ColumnType.IMAGE]


class FileField(Upload):  # type: ignore[misc]
    """A file whose name can name a dataset."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> FileStorage:
        if not isinstance(value, FileStorage):
            raise ma.ValidationError("Send a file with its name.")
        check_printable(Length(max=200, error="The name is longer than 200.")(value.filename or ""))
        return value


class TypesField(KeyedField):
    """Column types by name."""

    def __init__(self, **kwargs: Any) -> None:
        text = f"Types by column, for those that are not to be inferred: {', '.join(_TYPES)}."
        super().__init__(
            keys=ma.fields.String(),
            values=ma.fields.String(validate=OneOf(_TYPES)),
            metadata=described(text, example={"zip_code": "category"}),
            **kwargs,
        )


class NumberOrTextField(ma.fields.Field[Any]):
    """A number from 1, or a text that is not empty: any, or only `word`."""

    def __init__(self, word: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._word = word

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int | str:
        if isinstance(value, str) and 0 < len(value) <= 200 and self._word in (None, value):
            return value
        if type(value) is int and 1 <= value <= LARGEST_NUMBER:
            return value
        text = "a text of 1 to 200 characters" if self._word is None else f'"{self._word}"'
        raise ma.ValidationError(f"Give a number from 1, or {text}.")

    def openapi(self, _: Reference) -> dict[str, Any]:
        """Return the JSON Schema of the field."""
        text: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 200}
        if self._word is not None:
            text = {"type": "string", "enum": [self._word]}
        return {"oneOf": [{"type": "integer", "minimum": 1, "maximum": LARGEST_NUMBER}, text]}


def check_delimiter(text: str) -> None:
    """Raise ValidationError for a text that cannot stand between cells."""
    if _NO_DELIMITERS & set(text):
        raise ma.ValidationError("Must hold no quote and no line break.")


def check_encoding(name: str) -> None:
    """Raise ValidationError for a name that is none of a text encoding."""
    try:
        found = codecs.lookup(name)
    except (LookupError, ValueError):
        raise ma.ValidationError(f"There is no encoding {name!r}.") from None
    # `codecs` has compressions and the like too; `bytes.decode` refuses them by this flag.
    if not getattr(found, "_is_text_encoding", True) or found.name in _NO_ENCODINGS:
        raise ma.ValidationError(f"{name!r} is no encoding of text files.")


class ReadOptionsSchema(ma.Schema):
    """How to read a table; what is left out is detected."""

    header = NumberOrTextField(
        word="none", metadata=described("Number of the header's row, from 1, or `none`.")
    )
    delimiter = ma.fields.String(
        validate=[Length(1, 9), check_delimiter],
        metadata=described(
            "What stands between two cells: up to 4 characters, or a name such as `tab`.",
            example=";",
        ),
    )
    encoding = ma.fields.String(
        validate=[Length(1, 40), check_encoding], metadata=described("Such as `utf-8` or `cp1252`.")
    )
    decimal = ma.fields.String(
        validate=OneOf([".", ","], error='Must be "." or ",".'),
        metadata=described("What stands before decimals."),
    )
    thousands = ma.fields.String(
        validate=OneOf(_THOUSANDS), metadata=described("What stands between groups of digits.")
    )
    na_values = ma.fields.List(
        ma.fields.String(
            validate=Length(max=200),
            error_messages={"invalid": 'Write it as text, as the file has it, such as "-999".'},
        ),
        validate=Length(max=1000),
        metadata=described("Texts that mean no value, beside the usual ones.", example=["-999"]),
    )
    skip_rows = StrictInteger(
        validate=Range(0, LARGEST_NUMBER), metadata=described("Lines to leave out at the top.")
    )
    date_formats = KeyedField(
        keys=ma.fields.String(),
        values=ma.fields.String(validate=Length(1, 100)),
        metadata=described("Formats of dates by column.", example={"sold": "%d.%m.%Y"}),
    )
    sheet = NumberOrTextField(
        metadata=described("The sheet of a spreadsheet, by name or by number from 1.")
    )

    @ma.validates_schema
    def _check_digits(self, data: dict[str, Any], **_: Any) -> None:
        if data.get("thousands") == data.get("decimal", ".") and "thousands" in data:
            raise ma.ValidationError(f"It is the decimal mark, {data['thousands']!r}.", "thousands")

    @ma.post_load
    def _make(self, data: dict[str, Any], **_: Any) -> ReadOptions:
        if "na_values" in data:
            data["na_values"] = tuple(data["na_values"])
        return ReadOptions(**data)


class OptionsField(ma.fields.Nested):
    """How to read the file; by default everything is detected."""

    def __init__(self) -> None:
        super().__init__(ReadOptionsSchema, load_default=ReadOptions)
