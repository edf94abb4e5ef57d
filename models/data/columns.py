"""Columns of a dataset: their name, their type and the counts of their cells."""

import reprlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, ClassVar, TypeVar

import numpy as np

from models.data.spelling import PLAIN, Spelling
from models.errors import Unreadable

# PostgreSQL cannot store this character, and C libraries end a text at it.
NUL = "\0"
NUL_RULE = "Holds the character U+0000, which no text may hold."
MAX_CHARACTERS = 10_000
"""Characters of a text that a network reads; the rest is cut off."""


class ColumnType(StrEnum):
    """The type of a column, and with it the form of its values in memory.

    number: float64, NaN is missing. boolean: float64 of 0 and 1, NaN is missing.
    datetime: float64 seconds since 1970-01-01 UTC, NaN is missing.
    category, text, ignored: object array of str, None is missing. A category is one of some values;
    a text is prose, of which words matter.
    image: uint8 or float32, (rows, height, width) or (rows, height, width, channels).
    """

    NUMBER = "number"
    CATEGORY = "category"
    BOOLEAN = "boolean"
    DATETIME = "datetime"
    TEXT = "text"
    IMAGE = "image"
    IGNORED = "ignored"

    @property
    def is_text(self) -> bool:
        """Whether values are held as text."""
        return self in (ColumnType.CATEGORY, ColumnType.TEXT, ColumnType.IGNORED)


def of_type(*kinds: type) -> Callable[[Any], Any]:
    """Make a reader that returns a value of exactly these types and raises TypeError for others."""

    def read(value: Any) -> Any:
        if type(value) not in kinds:
            names = " or ".join(kind.__name__ for kind in kinds)
            raise TypeError(f"Must be {names}, but is {reprlib.repr(value)}.")
        return value

    return read


_whole = of_type(int)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a dataset."""

    name: str
    type: ColumnType
    missing: int  # cells without a value
    distinct: int  # different values among the others; 0 for images, which are not counted
    shape: tuple[int, ...] = ()  # of one image; empty for every other type
    reason: str = ""  # why an inferred type is `ignored`; empty otherwise
    spelling: Spelling = PLAIN  # of its cells, where they were read from text

    readers: ClassVar[Mapping[str, Callable[[Any], Any]]] = {
        "name": of_type(str),
        "type": ColumnType,
        "missing": _whole,
        "distinct": _whole,
        "shape": lambda value: tuple(map(_whole, of_type(list)(value))),
        "reason": lambda value: of_type(str)("" if value is None else value),
        "spelling": lambda value: Spelling.from_json(value) if value else PLAIN,
    }
    """How `load_columns` reads each field out of JSON."""


AnyColumn = TypeVar("AnyColumn", bound=Column)


def load_columns(kind: type[AnyColumn], document: Any, what: str) -> tuple[AnyColumn, ...]:
    """Read columns from the JSON of `dump_columns`; fields of a newer version are skipped.

    Raises Unreadable, naming `what` and the field. Ten times faster than a schema, which matters
    to lists of datasets with thousands of columns.
    """
    if not isinstance(document, list):
        raise Unreadable(what, "columns: Must be a list.")
    columns = []
    for number, item in enumerate(document):
        values, path = {}, f"columns.{number}"
        try:
            fields = of_type(dict)(item)
            for name in kind.readers.keys() & fields.keys():
                path = f"columns.{number}.{name}"
                values[name] = kind.readers[name](fields[name])
            path = f"columns.{number}"
            columns.append(kind(**values))
        except (TypeError, ValueError, KeyError) as error:
            raise Unreadable(what, f"{path}: {error}") from None
    return tuple(columns)


def dump_columns(columns: Iterable[Column]) -> list[dict[str, Any]]:
    """Return the JSON of columns, which `load_columns` reads back."""
    return [asdict(column) | {"spelling": column.spelling.to_json()} for column in columns]


def measure(
    name: str,
    column_type: ColumnType,
    values: np.ndarray[Any, Any],
    reason: str = "",
    spelling: Spelling = PLAIN,
) -> Column:
    """Count missing and distinct cells of `values`, (rows, …) in the form of `column_type`."""
    if column_type is ColumnType.IMAGE:
        return Column(name, column_type, 0, 0, tuple(values.shape[1:]))
    if values.dtype == object:
        present = set(values.tolist())
        missing = sum(value is None for value in values) if None in present else 0
        return Column(name, column_type, missing, len(present - {None}), (), reason, spelling)
    absent = np.isnan(values)
    distinct = int(np.unique(values[~absent]).size)
    return Column(name, column_type, int(absent.sum()), distinct, (), reason, spelling)
