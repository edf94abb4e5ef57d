"""Files, records and arrays to datasets."""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import PurePath
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet

from models.data import arrays, records
from models.data.conversion import to_dataset
from models.data.dataset import Dataset
from models.data.delimited import check_names, read_delimited
from models.errors import Invalid, UnsupportedMediaType


class Format(StrEnum):
    """File formats that are read."""

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
    """The format that the extension, or without a known one the content type, stands for.

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


def read(source: bytes | BinaryIO, format: str, types: Mapping[str, str] | None = None) -> Dataset:
    """The dataset in a file of the given format.

    `types` sets the type of columns by name; the others are inferred. Raises Invalid at `file`,
    `types.<column>` or, for JSON, `records.<index>…`; UnsupportedMediaType for another format.
    """
    if format not in _READERS:
        raise UnsupportedMediaType(f"{format!r} is not one of {', '.join(Format)}.")
    content = source if isinstance(source, bytes) else source.read()
    if not content:
        raise Invalid.at("file", "The file is empty.")
    return to_dataset(_READERS[Format(format)](content), types)


def from_records(rows: Sequence[Any], types: Mapping[str, str] | None = None) -> Dataset:
    """The dataset of JSON objects, one a row; a key that a row lacks is a missing cell.

    Raises Invalid at `records`, `records.<index>`, `records.<index>.<column>` or `types.<column>`.
    """
    return to_dataset(records.to_columns(rows), types)


def from_arrays(x: Any, y: Any, types: Mapping[str, str] | None = None) -> Dataset:
    """The dataset of features `x` and targets `y`, NumPy arrays or nested lists.

    `x` of shape (rows, columns) becomes columns `x0`, `x1`…; images of shape (rows, height, width)
    or (rows, height, width, channels) become one column `x`. `y` of shape (rows,) becomes `y`.
    Raises Invalid at `x`, `y` or `types.<column>`.
    """
    return to_dataset(arrays.to_columns(x, y), types)


def _read_parquet(content: bytes) -> dict[str, Any]:
    try:
        table = pa.parquet.read_table(io.BytesIO(content))
    except (pa.ArrowException, OSError) as error:
        raise Invalid.at("file", f"The file is not Parquet: {error}") from None
    # pandas adds such columns for an index that is not a plain count.
    names = [name for name in table.column_names if not re.fullmatch(r"__index_level_\d+__", name)]
    check_names(names)
    if not names or len(table) == 0:
        raise Invalid.at("file", "There is no row.")
    return {name: table.column(name) for name in names}


_READERS: dict[Format, Callable[[bytes], dict[str, Any]]] = {
    Format.CSV: lambda content: read_delimited(content, None),
    Format.TSV: lambda content: read_delimited(content, "\t"),
    Format.JSON: lambda content: records.to_columns(records.read_json(content)),
    Format.JSONL: lambda content: records.to_columns(records.read_json_lines(content)),
    Format.PARQUET: _read_parquet,
    Format.NPZ: arrays.read_npz,
}
