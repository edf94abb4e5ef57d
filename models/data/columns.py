"""Columns of a dataset: their name, their type and the counts of their cells."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import marshmallow as ma
import numpy as np
from marshmallow.validate import Range

from models.fields import StrictInteger

# PostgreSQL cannot store this character, and C libraries end a text at it.
NUL = "\0"
NUL_RULE = "Holds the character U+0000, which no text may hold."
MISSING_TEXTS = ("", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None")
"""Text cells that mean "no value", in every format and in predictions."""


class ColumnType(StrEnum):
    """The type of a column, and with it the form of its values in memory.

    number: float64, NaN is missing. boolean: float64 of 0 and 1, NaN is missing.
    datetime: float64 seconds since 1970-01-01 UTC, NaN is missing.
    category, ignored: object array of str, None is missing.
    image: uint8 or float32, (rows, height, width) or (rows, height, width, channels).
    """

    NUMBER = "number"
    CATEGORY = "category"
    BOOLEAN = "boolean"
    DATETIME = "datetime"
    IMAGE = "image"
    IGNORED = "ignored"

    @property
    def is_text(self) -> bool:
        """Whether values are held as text."""
        return self in (ColumnType.CATEGORY, ColumnType.IGNORED)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a dataset."""

    name: str
    type: ColumnType
    missing: int  # cells without a value
    distinct: int  # different values among the others; 0 for images, which are not counted
    shape: tuple[int, ...] = ()  # of one image; empty for every other type
    reason: str = ""  # why an inferred type is `ignored`; empty otherwise


class ColumnSchema(ma.Schema):
    """JSON form of a `Column`."""

    name = ma.fields.String(required=True)
    type = ma.fields.Enum(ColumnType, by_value=True, required=True)
    missing = StrictInteger(
        required=True, validate=Range(0), metadata={"description": "Cells without a value."}
    )
    distinct = StrictInteger(
        required=True, validate=Range(0), metadata={"description": "Different values; 0 for images"}
    )
    shape = ma.fields.List(
        StrictInteger(validate=Range(1)),
        load_default=(),
        metadata={"description": "Of one image: height, width and, if there are any, channels."},
    )
    reason = ma.fields.String(
        load_default="",
        metadata={"description": "Why the column is ignored, if its type was inferred."},
    )

    @ma.post_load
    def _make(self, data: dict[str, Any], **_: Any) -> Column:
        return Column(**data | {"shape": tuple(data["shape"])})


def measure(
    name: str, column_type: ColumnType, values: np.ndarray[Any, Any], reason: str = ""
) -> Column:
    """Count missing and distinct cells of `values`, (rows, …) in the form of `column_type`."""
    if column_type is ColumnType.IMAGE:
        return Column(name, column_type, 0, 0, tuple(values.shape[1:]))
    if values.dtype == object:
        present = set(values.tolist())
        missing = sum(value is None for value in values) if None in present else 0
        return Column(name, column_type, missing, len(present - {None}), (), reason)
    absent = np.isnan(values)
    distinct = int(np.unique(values[~absent]).size)
    return Column(name, column_type, int(absent.sum()), distinct, (), reason)
