"""Files, records and arrays to datasets: the entry point of this package."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import PurePath
from typing import Any, BinaryIO

from models.data.dataset import Dataset
from models.data.formats import arrays, records
from models.data.formats.conversion import to_dataset
from models.data.formats.delimited import read_delimited
from models.data.formats.limits import DEFAULT_LIMITS, TableLimits
from models.data.formats.parquet import read_parquet
from models.data.formats.table import ReadOptions, Table
from models.errors import Invalid, UnsupportedMediaType


class Format(StrEnum):
    """The supported file formats."""

    CSV = "csv"
    TSV = "tsv"
    JSON = "json"
    JSONL = "jsonl"
    PARQUET = "parquet"
    NPZ = "npz"


_EXTENSIONS = {
    ".csv": Format.CSV,
    ".tsv": Format.TSV,
    ".tab": Format.TSV,
    ".json": Format.JSON,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".parquet": Format.PARQUET,
    ".pq": Format.PARQUET,
    ".npz": Format.NPZ,
}
_CONTENT_TYPES = {
    "text/csv": Format.CSV,
    "application/csv": Format.CSV,
    "text/tab-separated-values": Format.TSV,
    "application/json": Format.JSON,
    "application/jsonl": Format.JSONL,
    "application/x-ndjson": Format.JSONL,
    "application/vnd.apache.parquet": Format.PARQUET,
    "application/x-npz": Format.NPZ,
}


def detect_format(filename: str | None, content_type: str | None) -> Format:
    """Return the format of a file's extension or, for an unknown one, of its content type.

    Raises UnsupportedMediaType if neither is known.
    """
    extension = PurePath(filename or "").suffix.lower()
    media_type = (content_type or "").split(";")[0].strip().lower()
    found = _EXTENSIONS.get(extension) or _CONTENT_TYPES.get(media_type)
    if found is None:
        raise UnsupportedMediaType(
            f"Neither the file name {filename!r} nor the content type {content_type!r} is one of a"
            f" format that is read: {', '.join(Format)}."
        )
    return found


def read_table(
    content: bytes,
    filename: str | None = None,
    content_type: str | None = None,
    options: ReadOptions | None = None,
    limits: TableLimits = DEFAULT_LIMITS,
) -> Table:
    """Read the table in a file of the format that its name or content type says.

    Raises Invalid at `file` or, for JSON, `records.<index>…`, and at `options` where any is given;
    UnsupportedMediaType for another format; TooLarge for a file that unpacks to more than `limits`
    allow.
    """
    if options is not None and options != ReadOptions():
        raise Invalid.at("options", "Files are read as they are detected to be.")
    found = detect_format(filename, content_type)
    if not content:
        raise Invalid.at("file", "The file is empty.")
    cells = _READERS[found](content, limits)
    limits.check_cells("file", cells)
    return Table(cells, {"format": str(found)})


def read(
    source: bytes | BinaryIO,
    format: str,
    types: Mapping[str, str] | None = None,
    limits: TableLimits = DEFAULT_LIMITS,
) -> Dataset:
    """Read the dataset in a file of the given format.

    `types` sets the type of columns by name; the others are inferred. Raises Invalid at `file`,
    `types.<column>` or, for JSON, `records.<index>…`; UnsupportedMediaType for another format;
    TooLarge for a file that unpacks to more than `limits` allow.
    """
    if format not in _READERS:
        raise UnsupportedMediaType(f"{format!r} is not one of {', '.join(Format)}.")
    content = source if isinstance(source, bytes) else source.read()
    if not content:
        raise Invalid.at("file", "The file is empty.")
    cells = _READERS[Format(format)](content, limits)
    limits.check_cells("file", cells)
    return to_dataset(cells, types)


def from_records(
    rows: Sequence[Any],
    types: Mapping[str, str] | None = None,
    limits: TableLimits = DEFAULT_LIMITS,
) -> Dataset:
    """Read JSON objects, one a row; a key that a row lacks is a missing cell.

    Raises Invalid at `records`, `records.<index>`, `records.<index>.<column>` or `types.<column>`,
    TooLarge for more than `limits` allow.
    """
    cells = records.to_columns(rows, limits)
    limits.check_cells("records", cells)
    return to_dataset(cells, types)


def from_arrays(
    x: Any,
    y: Any,
    types: Mapping[str, str] | None = None,
    limits: TableLimits = DEFAULT_LIMITS,
) -> Dataset:
    """Read features `x` and targets `y`, NumPy arrays or nested lists.

    `x` of shape (rows, columns) becomes columns `x0`, `x1`…; images of shape (rows, height, width)
    or (rows, height, width, channels) become one column `x`. `y` of shape (rows,) becomes `y`.
    Raises Invalid at `x`, `y` or `types.<column>`, TooLarge for more than `limits` allow.
    """
    cells = arrays.to_columns(x, y, limits)
    limits.check_cells("x", cells)
    return to_dataset(cells, types)


_READERS: dict[Format, Callable[[bytes, TableLimits], dict[str, Any]]] = {
    Format.CSV: lambda content, limits: read_delimited(content, None, limits),
    Format.TSV: lambda content, limits: read_delimited(content, "\t", limits),
    Format.JSON: lambda content, limits: records.to_columns(records.read_json(content), limits),
    Format.JSONL: lambda content, limits: records.to_columns(
        records.read_json_lines(content), limits
    ),
    Format.PARQUET: read_parquet,
    Format.NPZ: arrays.read_npz,
}
