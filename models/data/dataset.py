"""Datasets in memory: named, typed columns as NumPy arrays."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.data.columns import Column, ColumnType
from models.data.spelling import PLAIN
from models.errors import NotFound


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Columns in order and, by name, their values in the forms that `ColumnType` lists.

    Every array has the same first dimension. The arrays must not be modified.
    """

    columns: tuple[Column, ...]
    values: Mapping[str, np.ndarray[Any, Any]]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.values[self.columns[0].name])

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        """Return the column called `name`; raise NotFound if there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise NotFound("column", name)

    def digest(self) -> str:
        """Return `ds_` and 32 hex digits of a SHA-256 over names, types, spellings and values.

        Equal content has the same digest, whatever the format of its file.
        """
        digest = hashlib.sha256()
        for column in self.columns:
            values = self.values[column.name]
            head = f"{column.name!r} {column.type} {values.shape}"
            if column.spelling != PLAIN:
                head += f" {json.dumps(column.spelling.to_json(), sort_keys=True)}"
            digest.update(head.encode("utf-8", "surrogatepass"))
            for part in _canonical_bytes(column.type, values):
                digest.update(part)
        return f"ds_{digest.hexdigest()[:32]}"


def _canonical_bytes(
    column_type: ColumnType, values: np.ndarray[Any, Any]
) -> tuple[bytes | memoryview, ...]:
    if column_type is ColumnType.IMAGE:
        little = values.astype(values.dtype.newbyteorder("<"), order="C", copy=False)
        return (values.dtype.name.encode(), little.data.cast("B"))
    if values.dtype == object:
        cells = [None if value is None else value.encode() for value in values]
        sizes = np.array([-1 if cell is None else len(cell) for cell in cells], dtype="<i8")
        return (sizes.tobytes(), b"".join(cell for cell in cells if cell is not None))
    # NaN has many bit patterns and zero two; adding 0.0 turns -0.0 into 0.0.
    plain = np.where(np.isnan(values), np.nan, values + 0.0).astype("<f8")
    return (plain.tobytes(),)
