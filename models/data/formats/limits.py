"""Limits on the size of a dataset, checked before unpacking wherever a file states its size."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.data.cells.conversion import is_text
from models.errors import Invalid, TooLarge
from models.settings import Settings

_CELL_BYTES = 8  # the least memory of a cell, however small its file is


@dataclass(frozen=True, slots=True)
class TableLimits:
    """The largest table that is read."""

    inflated_bytes: int
    rows: int
    columns: int
    cell_length: int  # characters
    workbooks: bool = True  # whether they are read; a damaged one can end the process

    @classmethod
    def of(cls, settings: Settings) -> "TableLimits":
        """Return the limits of the settings."""
        return cls(
            settings.max_inflated_bytes,
            settings.max_rows,
            settings.max_columns,
            settings.max_cell_length,
        )

    def check_bytes(self, size: int, what: str) -> None:
        """Raise TooLarge for more bytes than may be unpacked."""
        if size > self.inflated_bytes:
            raise TooLarge(
                f"{what} takes {size:,} bytes unpacked, more than the {self.inflated_bytes:,} of"
                " LUTHIER_MAX_INFLATED_BYTES."
            )

    def check_columns(self, path: str, columns: int) -> None:
        """Raise Invalid at `path` for too many columns."""
        if columns > self.columns:
            raise Invalid.at(
                path,
                f"There are {columns:,} columns, more than the {self.columns:,} of"
                " LUTHIER_MAX_COLUMNS.",
            )

    def check_shape(self, path: str, rows: int, columns: int) -> None:
        """Raise Invalid at `path` for too many rows or columns, TooLarge for too many cells."""
        if rows > self.rows:
            raise Invalid.at(
                path, f"There are {rows:,} rows, more than the {self.rows:,} of LUTHIER_MAX_ROWS."
            )
        self.check_columns(path, columns)
        table = f"A table of {rows:,} rows and {columns:,} columns"
        self.check_bytes(rows * columns * _CELL_BYTES, table)

    def check_cells(self, path: str, cells: Mapping[str, Any]) -> None:
        """Check columns by name: Arrow arrays, or NumPy arrays of images.

        Text in a dictionary counts with the length that it has once it is decoded.
        """
        self.check_shape(path, max(map(len, cells.values()), default=0), len(cells))
        size = 0
        for name, column in cells.items():
            if isinstance(column, np.ndarray):
                continue
            for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
                if lengths := _text_lengths(chunk, self.cell_length):
                    self._check_longest(path, name, lengths[0])
                    size += lengths[1]
            self.check_bytes(size, "The text")

    def _check_longest(self, path: str, name: str, longest: int) -> None:
        if longest > self.cell_length:
            raise Invalid.at(
                path,
                f"Column {name!r} has a cell of {longest:,} characters, more than the"
                f" {self.cell_length:,} of LUTHIER_MAX_CELL_LENGTH.",
            )


DEFAULT_LIMITS = TableLimits.of(Settings())


def _text_lengths(chunk: Any, limit: int) -> tuple[int, int] | None:
    """Return the characters of the longest cell and the bytes of all; None for other types.

    Bytes stand for characters, of which there are fewer, where no cell has more of them than
    `limit`.
    """
    texts, kind = chunk, chunk.type
    if pa.types.is_dictionary(kind):
        texts, kind = chunk.dictionary, kind.value_type
    if not is_text(kind) or len(chunk) == 0:
        return None
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        texts = texts.cast(pa.large_string())
    sizes = pc.binary_length(texts)
    longest = pc.max(sizes).as_py() or 0
    if longest > limit:
        longest = pc.max(pc.utf8_length(texts)).as_py() or 0
    if pa.types.is_dictionary(chunk.type):
        sizes = sizes.take(chunk.indices)
    return longest, pc.sum(sizes).as_py() or 0
