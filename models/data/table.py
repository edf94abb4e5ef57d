"""A table as it was read from a file, before its columns are typed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from models.data.warnings import DataWarning


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How to read a file; None stands for what is detected."""

    header: int | Literal["none"] | None = None  # number of the header's row, from 1
    delimiter: str | None = None
    encoding: str | None = None
    decimal: str | None = None  # "." or ","
    thousands: str | None = None
    na_values: tuple[str, ...] = ()  # texts that mean "no value", beside the usual ones
    skip_rows: int | None = None  # lines to leave out at the top
    date_formats: Mapping[str, str] = field(default_factory=dict)  # by column
    sheet: str | int | None = None  # of a spreadsheet, by name or by number from 1
    # Of a text file: keep rows without any value and rows that look like notes, as predictions
    # need them, and take the first row for the header where none is found.
    every_row: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Columns by name, and how they were read.

    A column is an Arrow array or, of images, a NumPy array. Text is as the file has it: not
    trimmed, null only where a row has no such cell.
    """

    cells: Mapping[str, Any]
    reading: Mapping[str, Any] = field(default_factory=dict)  # JSON: format, dialect, header…
    warnings: tuple[DataWarning, ...] = ()
