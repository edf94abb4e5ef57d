"""Files, records and arrays to tables and datasets: the entry point of this package."""

import re
from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import PurePath
from typing import Any

from models.data.cells.conversion import TypedTable, type_table
from models.data.dataset import Dataset
from models.data.formats import arrays, records
from models.data.formats.archives import Unpacked, unpack, zip_format
from models.data.formats.columnar import read_arrow, read_parquet
from models.data.formats.delimited.reading import read_delimited
from models.data.formats.limits import DEFAULT_LIMITS, TableLimits
from models.data.formats.spreadsheets import read_spreadsheet
from models.data.table import ReadOptions, Table
from models.data.warnings import WarningCode
from models.errors import Invalid, TooLarge


class Format(StrEnum):
    """The supported file formats."""

    CSV = "csv"
    TSV = "tsv"
    TEXT = "text"
    JSON = "json"
    JSONL = "jsonl"
    PARQUET = "parquet"
    ARROW = "arrow"
    NPZ = "npz"
    XLSX = "xlsx"
    XLS = "xls"
    ODS = "ods"


_EXTENSIONS = {
    ".csv": Format.CSV,
    ".tsv": Format.TSV,
    ".tab": Format.TSV,
    ".txt": Format.TEXT,
    ".data": Format.TEXT,
    ".dat": Format.TEXT,
    ".psv": Format.TEXT,
    ".arff": Format.TEXT,
    ".json": Format.JSON,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".parquet": Format.PARQUET,
    ".pq": Format.PARQUET,
    ".arrow": Format.ARROW,
    ".feather": Format.ARROW,
    ".ipc": Format.ARROW,
    ".npz": Format.NPZ,
    ".xlsx": Format.XLSX,
    ".xlsm": Format.XLSX,
    ".xls": Format.XLS,
    ".ods": Format.ODS,
}
_CONTENT_TYPES = {
    "text/csv": Format.CSV,
    "application/csv": Format.CSV,
    "text/plain": Format.TEXT,
    "text/tab-separated-values": Format.TSV,
    "application/json": Format.JSON,
    "application/jsonl": Format.JSONL,
    "application/x-ndjson": Format.JSONL,
    "application/vnd.apache.parquet": Format.PARQUET,
    "application/vnd.apache.arrow.file": Format.ARROW,
    "application/vnd.apache.arrow.stream": Format.ARROW,
    "application/x-npz": Format.NPZ,
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": Format.XLSX,
    "application/vnd.ms-excel": Format.XLS,
    "application/vnd.oasis.opendocument.spreadsheet": Format.ODS,
}
_MAGIC = {
    b"PAR1": Format.PARQUET,
    b"ARROW1": Format.ARROW,
    b"FEA1": Format.ARROW,
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": Format.XLS,
}
_TEXTS = (Format.CSV, Format.TSV, Format.TEXT)
_SPREADSHEETS = (Format.XLSX, Format.XLS, Format.ODS)
_JSON = re.compile(rb"\{\s*[\"}]|\[\s*[\[{\"\]]")
_LAYOUT = ("header", "delimiter", "encoding", "skip_rows", "sheet")
_ARROW_STREAM = b"\xff\xff\xff\xff"


def read_table(
    content: bytes,
    filename: str | None = None,
    content_type: str | None = None,
    options: ReadOptions | None = None,
    limits: TableLimits = DEFAULT_LIMITS,
) -> Table:
    """Read the table in a file, whatever its format, dialect, encoding and compression.

    The first bytes tell a binary format; a text is told by its extension, its content type and its
    first character. `options` override what would be detected. Text cells are as the file has
    them, null only where a row has no such cell; `reading` tells what was detected. Raises Invalid
    at `file`, `options.<name>` or, for JSON, `records.<index>…`; TooLarge beyond `limits`.
    """
    options = options or ReadOptions()
    if not content:
        raise Invalid.at("file", "The file is empty.")
    file = unpack(content, filename, limits)
    if not file.content:
        raise Invalid.at("file", "The file is empty.")
    format = _sniff(file, content_type)
    _check_options(options, format)
    if format in _SPREADSHEETS and not limits.workbooks:
        raise TooLarge(
            "XLSX, XLS and ODS files are read in a process of their own, which POST /datasets and"
            " POST /models/{model}/batch have. Here, send the rows as CSV, Parquet or JSON."
        )
    table = _read_as(format, file.content, options, limits)
    limits.check_cells("file", table.cells)
    told: dict[str, Any] = {"compression": list(file.compression), "member": file.member}
    # Where the user says which row is the header, nothing was guessed.
    is_guess = options.header is None
    warnings = tuple(w for w in table.warnings if is_guess or w.code != WarningCode.HEADER_GUESSED)
    return replace(table, reading={**table.reading, **told}, warnings=warnings)


def read_file(
    content: bytes,
    filename: str | None = None,
    content_type: str | None = None,
    types: Mapping[str, str] | None = None,
    options: ReadOptions | None = None,
    limits: TableLimits = DEFAULT_LIMITS,
) -> TypedTable:
    """Read the table in a file as `read_table` does, and type its columns.

    `types` sets the type of columns by name; the others are inferred. Raises as `read_table`, and
    Invalid at `types.<column>`.
    """
    options = options or ReadOptions()
    return type_table(read_table(content, filename, content_type, options, limits), types, options)


def read_rows(
    document: Mapping[str, Any],
    types: Mapping[str, str] | None = None,
    options: ReadOptions | None = None,
    limits: TableLimits = DEFAULT_LIMITS,
) -> TypedTable:
    """Read rows given as `{"records": […]}`, or arrays given as `{"x": …, "y": …}`.

    A record is a JSON object for each row; a key that a row lacks is a missing cell. Raises Invalid
    at `records`, `records.<index>`, `records.<index>.<column>`, `types.<column>` or, for an option
    of files, `options.<name>`; otherwise as `from_arrays`.
    """
    options = options or ReadOptions()
    _check_options(options, None)
    if "records" in document:
        path, cells = "records", records.to_columns(document["records"], limits)
    else:
        path, cells = "x", arrays.to_columns(document["x"], document["y"], limits)
    limits.check_cells(path, cells)
    return type_table(Table(cells, {"format": path}), types, options)


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
    return read_rows({"x": x, "y": y}, types, limits=limits).dataset


def _named_format(filename: str | None, content_type: str | None) -> Format | None:
    extension = PurePath(filename or "").suffix.lower()
    media_type = (content_type or "").split(";")[0].strip().lower()
    return _EXTENSIONS.get(extension) or _CONTENT_TYPES.get(media_type)


def _sniff(file: Unpacked, content_type: str | None) -> Format:
    """Return the format that the first bytes show; for a text, that of its name and first bytes."""
    content = file.content
    if content.startswith(b"%PDF-"):
        raise Invalid.at("file", "There is no table: the file is a PDF document.")
    for magic, format in _MAGIC.items():
        if content.startswith(magic):
            return format
    if content.startswith(b"PK\x03\x04"):
        return Format(zip_format(content) or Format.NPZ)
    if content.startswith(_ARROW_STREAM):
        return Format.ARROW
    named = _named_format(file.filename, content_type)
    if named in (Format.JSON, Format.JSONL, *_TEXTS):
        return named
    start = content[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    if named is None and _JSON.match(start):
        lines = start.splitlines()
        whole = len(lines) > 1 and lines[0].rstrip().endswith(b"}") and start.startswith(b"{")
        return Format.JSONL if whole else Format.JSON
    # A spreadsheet that is none is often a CSV with its name.
    return Format.TEXT if named in (None, *_SPREADSHEETS) else named


def _check_options(options: ReadOptions, format: Format | None) -> None:
    """Raise Invalid for options of the layout that the format, None for rows, does not have."""
    if format in _TEXTS:
        known = {"header", "delimiter", "encoding", "skip_rows"}
    elif format in _SPREADSHEETS:
        known = {"header", "skip_rows", "sheet"}
    else:
        known = {"encoding"} if format in (Format.JSON, Format.JSONL) else set()
    given = {name for name in _LAYOUT if getattr(options, name) is not None} - known
    if given:
        message = f"It does not apply to {f'a file of format {format}' if format else 'rows'}."
        raise Invalid({f"options.{name}": [message] for name in sorted(given)})


def _read_as(format: Format, content: bytes, options: ReadOptions, limits: TableLimits) -> Table:
    if format in _TEXTS:
        if format is Format.TSV and options.delimiter is None and b"\t" in content[:4096]:
            options = replace(options, delimiter="\t")
        return read_delimited(content, options, limits)
    if format in _SPREADSHEETS:
        return read_spreadsheet(content, format, options, limits)
    if format is Format.JSON:
        cells = records.to_columns(records.read_json(content, options.encoding), limits)
    elif format is Format.JSONL:
        cells = records.to_columns(records.read_json_lines(content, options.encoding), limits)
    elif format is Format.PARQUET:
        cells = read_parquet(content, limits)
    elif format is Format.ARROW:
        cells = read_arrow(content, limits)
    else:
        cells = arrays.read_npz(content, limits)
    return Table(cells, {"format": str(format)})
