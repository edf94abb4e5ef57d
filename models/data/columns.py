"""What a column is: its name, its type and what was counted in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

# PostgreSQL keeps every character but this one, and C libraries end a text there.
NUL = "\0"
NUL_RULE = "Holds the character U+0000, which no text may hold."
MISSING_TEXTS = ("", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None")
"""Text cells that mean "no value", in every format and in predictions."""


class ColumnType(StrEnum):
    """How a column is held in memory and what a network makes of it.

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


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a dataset."""

    name: str
    type: ColumnType
    missing: int  # cells without a value
    distinct: int  # different values among the others; 0 for images, which are not counted
    shape: tuple[int, ...] = ()  # of one image; empty for every other type
    reason: str = ""  # why an inferred type is `ignored`; empty otherwise

    def to_json(self) -> dict[str, Any]:
        """Plain JSON form; `from_json` reads it back."""
        return {
            "name": self.name,
            "type": self.type.value,
            "missing": self.missing,
            "distinct": self.distinct,
            "shape": list(self.shape),
            "reason": self.reason,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Column":
        """The column that `to_json` wrote."""
        return cls(
            name=document["name"],
            type=ColumnType(document["type"]),
            missing=document["missing"],
            distinct=document["distinct"],
            shape=tuple(document["shape"]),
            reason=document["reason"],
        )


def measure(
    name: str, column_type: ColumnType, values: np.ndarray[Any, Any], reason: str = ""
) -> Column:
    """Count missing and distinct cells of `values`, held as `ColumnType` says."""
    if column_type is ColumnType.IMAGE:
        return Column(name, column_type, 0, 0, tuple(values.shape[1:]))
    if values.dtype == object:
        present = set(values.tolist())
        missing = sum(value is None for value in values) if None in present else 0
        return Column(name, column_type, missing, len(present - {None}), (), reason)
    absent = np.isnan(values)
    distinct = int(np.unique(values[~absent]).size)
    return Column(name, column_type, int(absent.sum()), distinct, (), reason)
