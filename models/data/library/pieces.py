"""Stored tables read in pieces of some rows, as predictions of millions of rows need them.

A dataset has typed columns (`models.data.library.storage`). Rows that came as a file to be
predicted are kept as the file has them: `write_rows` stores them, in one Parquet file too.
"""

import io
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from models.data.cells.conversion import listed_cells
from models.data.columns import Column, ColumnType, load_columns
from models.data.library.profile import json_cells
from models.data.library.storage import METADATA, TABLE_FILE, group_rows, image_file
from models.data.table import Table
from models.errors import Invalid, Unreadable
from models.store.artifacts import Artifacts

_IMAGE = b"luthier.image"  # dtype and shape, in the metadata of a column of images
_KEPT_TYPES = {ColumnType.NUMBER: pa.float64(), ColumnType.BOOLEAN: pa.bool_()}
_DAMAGED = (pa.ArrowException, ValueError, KeyError, TypeError, EOFError)


@dataclass(frozen=True, slots=True)
class Cells:
    """Cells of one column, and the Arrow type that holds them."""

    cells: list[Any]
    type: Any


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a stored table."""

    rows: int
    cells: dict[str, list[object]]  # by column, of those wanted, as a row to predict has them
    kept: dict[str, Cells]  # by column, of those to be kept as they are


def write_rows(table: Table, artifacts: Artifacts, folder: str) -> int:
    """Store a table as it was read in a folder, and return its number of rows.

    Raises Invalid at `file` for a table without rows, or with columns that no model can take.
    """
    # The first rows show the types of all, and so whether the columns can be read.
    listed_cells(Table({name: column[:1] for name, column in table.cells.items()}))
    arrays, fields = [], []
    for name, column in table.cells.items():
        is_image = isinstance(column, np.ndarray)
        array, metadata = _as_binary(column) if is_image else (column, None)
        arrays.append(array)
        fields.append(pa.field(name, array.type, metadata=metadata))
    rows = len(arrays[0]) if arrays else 0
    if not rows:
        raise Invalid.at("file", "There is no row.")
    sink = io.BytesIO()
    pa.parquet.write_table(
        pa.table(arrays, pa.schema(fields)), sink, row_group_size=group_rows(len(arrays))
    )
    artifacts.write(f"{folder}/{TABLE_FILE}", sink.getvalue())
    return rows


def read_pieces(
    artifacts: Artifacts,
    folder: str,
    start: int,
    rows: int,
    wanted: Callable[[str], bool],
    kept: Sequence[str],
) -> Iterator[Piece]:
    """Yield the rows of a stored table from the row `start` on, `rows` at a time.

    A piece has the cells of the columns that are `wanted`, and of those to be `kept`. At most one
    row group of the file is in memory. Raises ArtifactError for a file that is missing, Unreadable
    for one that is damaged.
    """
    what = f"the stored rows in {folder!r}"
    with ExitStack() as files:

        def opened(name: str) -> IO[bytes]:
            return files.enter_context(artifacts.open(f"{folder}/{name}"))

        try:
            source = pa.parquet.ParquetFile(opened(TABLE_FILE), pre_buffer=False)
            described = (source.schema_arrow.metadata or {}).get(METADATA)
            if described is None:
                make: _Rows | _TypedRows = _Rows(wanted, kept)
            else:
                columns = load_columns(Column, json.loads(described), what)
                images = {
                    column.name: _Images(opened(image_file(number)))
                    for number, column in enumerate(columns)
                    if column.type is ColumnType.IMAGE and wanted(column.name)
                }
                make = _TypedRows(columns, images, wanted, kept)
            needed = [name for name in source.schema_arrow.names if wanted(name) or name in kept]
            for table in _cut(source, needed, start, rows):
                yield make.piece(table, start)
                start += table.num_rows
        except _DAMAGED as error:
            raise Unreadable(what, f"{TABLE_FILE}: {type(error).__name__}: {error}") from error


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows as a file had them."""

    wanted: Callable[[str], bool]
    kept: Sequence[str]

    def piece(self, table: Any, _start: int) -> Piece:
        """Return a part of the table as a piece."""
        columns = {
            name: _from_binary(table.column(name), table.schema.field(name).metadata)
            for name in table.column_names
            if self.wanted(name)
        }
        kept = {name: _kept(table.column(name)) for name in self.kept}
        return Piece(table.num_rows, listed_cells(Table(columns)), kept)


@dataclass(frozen=True, slots=True)
class _TypedRows:
    """Rows of a dataset."""

    columns: Sequence[Column]
    images: dict[str, "_Images"]
    wanted: Callable[[str], bool]
    kept: Sequence[str]

    def piece(self, table: Any, start: int) -> Piece:
        """Return a part of the table, which begins at the row `start`, as a piece."""
        found: dict[str, Cells] = {}
        for column in self.columns:
            if column.type is not ColumnType.IMAGE and (
                self.wanted(column.name) or column.name in self.kept
            ):
                values = table.column(column.name).to_numpy()
                found[column.name] = Cells(json_cells(column, values), _kept_type(column))
        cells = {name: column.cells for name, column in found.items() if self.wanted(name)}
        for name, images in self.images.items():
            cells[name] = images.read(start, table.num_rows).tolist()
        return Piece(table.num_rows, cells, {name: found[name] for name in self.kept})


class _Images:
    """The images of a column in a .npy file."""

    def __init__(self, file: IO[bytes]) -> None:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            header = np.lib.format.read_array_header_1_0(file)
        else:
            header = np.lib.format.read_array_header_2_0(file)
        self._file, self._begin = file, file.tell()
        shape, is_fortran, self._dtype = header
        if is_fortran:
            raise ValueError("images are stored column by column")
        self._shape = shape[1:]

    def read(self, start: int, rows: int) -> np.ndarray[Any, Any]:
        """Return images, (rows, height, width[, channels]), from the row `start` on."""
        size = self._dtype.itemsize * math.prod(self._shape)
        self._file.seek(self._begin + start * size)
        found = np.frombuffer(self._file.read(rows * size), self._dtype)
        return found.reshape(rows, *self._shape)


def _cut(source: Any, names: list[str], start: int, rows: int) -> Iterator[Any]:
    """Yield tables of `rows` rows from the row `start` on; the last may be shorter.

    They have the columns `names`; where there is none, one that says how many rows there are.
    """
    columns = names or source.schema_arrow.names[:1]
    first = 0
    while first < source.num_row_groups and start >= source.metadata.row_group(first).num_rows:
        start -= source.metadata.row_group(first).num_rows
        first += 1
    groups = list(range(first, source.num_row_groups))
    waiting: list[Any] = []
    size = 0
    for batch in source.iter_batches(rows, groups, columns, use_threads=False):
        skipped = min(start, batch.num_rows)
        start, batch = start - skipped, batch.slice(skipped)
        while batch.num_rows:
            taken = batch.slice(0, rows - size)
            batch, size = batch.slice(taken.num_rows), size + taken.num_rows
            waiting.append(taken)
            if size == rows:
                yield pa.Table.from_batches(waiting)
                waiting, size = [], 0
    if waiting:
        yield pa.Table.from_batches(waiting)


def _as_binary(images: np.ndarray[Any, Any]) -> tuple[Any, dict[bytes, bytes]]:
    """Return images as one Arrow array of bytes, and how these are to be read."""
    shape = images.shape[1:]
    described = json.dumps([images.dtype.str, list(shape)]).encode()
    kind = pa.binary(images.dtype.itemsize * math.prod(shape))
    content = pa.py_buffer(np.ascontiguousarray(images))
    return pa.Array.from_buffers(kind, len(images), [None, content]), {_IMAGE: described}


def _from_binary(column: Any, metadata: Any) -> Any:
    """Return a column as `models.data.table.Table` has it."""
    described = (metadata or {}).get(_IMAGE)
    if described is None:
        return column
    dtype, shape = json.loads(described)
    content = b"".join(column.to_pylist())
    return np.frombuffer(content, np.dtype(dtype)).reshape(len(column), *shape)


def _kept_type(column: Column) -> Any:
    if column.type is ColumnType.BOOLEAN and column.spelling.words:
        return pa.string()
    return _KEPT_TYPES.get(column.type, pa.string())


def _kept(column: Any) -> Cells:
    """Return cells as the file had them; moments and the like as text."""
    kind = column.type
    is_plain = pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)
    if not is_plain and not pa.types.is_string(kind):
        column = column.cast(pa.string())
    cells = column.to_pylist()
    if pa.types.is_floating(kind):
        cells = [None if cell != cell else cell for cell in cells]  # NaN is no value
    return Cells(cells, column.type)
