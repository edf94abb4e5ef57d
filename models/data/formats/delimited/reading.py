"""Delimited text to a table: what the file looks like is detected, and told in `reading`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.data.formats.delimited.decoding import Text, decode
from models.data.formats.delimited.dialect import detect
from models.data.formats.delimited.parsing import Dialect, RecordParser
from models.data.formats.delimited.regions import (
    Region,
    cut_runs,
    find_regions,
    without_footers,
)
from models.data.formats.delimited.rows import Rows, read_rows
from models.data.formats.layout import Layout, Row, is_blank, plan
from models.data.formats.limits import TableLimits
from models.data.formats.naming import drop_empty, header_warnings, name_columns
from models.data.table import ReadOptions, Table
from models.data.warnings import DataWarning, WarningCode
from models.errors import Invalid

_HEAD_ROWS = 200
_MAX_LINE_BYTES = 16 * 1024**2
_PREFACE_BYTES = 1024**2  # in which the attributes of ARFF and KEEL end
_SHOWN_LINES = 3
_SHOWN_BYTES = 120
_SEPARATOR_LINE = re.compile(rb'"?sep=(.)"?[,;]*(?:\r\n|\n|\r)', re.IGNORECASE)
_DATA = re.compile(rb"(?:\A|[\r\n])@data[ \t]*(?:\r\n|\n|\r)", re.IGNORECASE)
_ATTRIBUTE = re.compile(rb"^@attribute[ \t]+(?:'([^']+)'|\"([^\"]+)\"|([^ \t{]+))", re.I | re.M)


@dataclass(slots=True)
class _Head:
    """The first rows of a table, and where they are."""

    rows: list[Row]
    starts: list[int]
    ends: list[int]


def read_delimited(content: bytes, options: ReadOptions, limits: TableLimits) -> Table:
    """Read the largest table in a text file as columns of text, exactly as they are written.

    A cell is null only where its row is too short. Raises Invalid at `file` for a file without a
    table, at `options.<name>` for an option that does not fit the file.
    """
    text = decode(content, options.encoding)
    content = text.content
    if not content.strip(b" \t\r\n\x00\x1a"):
        raise Invalid.at("file", "The file is empty.")
    if not content[:_PREFACE_BYTES].strip(b" \t\r\n,;|\"'"):
        raise Invalid.at("file", "There is no table: found no row with anything in it.")
    _check_first_line(content)
    start, told = _start(content, options)
    dialect = detect(content, told if options.delimiter is None else options.delimiter, start)
    region, regions = _choose(content, dialect, start, options)
    if options.every_row:
        region.end = len(content)
    head = _head(content, dialect, region)
    found = plan(head.rows, options.header if options.header in (None, "none") else 0)
    if options.every_row and found.header_rows == 0:
        found = plan(head.rows, 0)
    layout = _named(found, content, region)
    first = head.starts[layout.first_row] if layout.first_row < len(head.rows) else region.end
    region.width = layout.width
    limits.check_columns("file", layout.width)
    if options.every_row:
        first = head.ends[layout.first_row - 1]  # blank rows may follow the header
        end, footers, repeated = region.end, 0, None
    else:
        end, footers = without_footers(content, dialect, Region(first, region.end, layout.width))
        repeated = _repeated_header(head, layout)
    stop, every = max(end, first), options.every_row
    rows = read_rows(content, dialect, first, stop, layout.width, limits, repeated, every)
    if rows.count == 0:
        raise _no_table(content, dialect, layout, head)
    return _table(text, content, dialect, layout, rows, region, regions, head, footers)


def _check_first_line(content: bytes) -> None:
    found = re.compile(rb"[\r\n]").search(content.lstrip(), 0, _MAX_LINE_BYTES)
    if found is None and len(content) > _MAX_LINE_BYTES:
        raise Invalid.at("file", f"The first line is longer than {_MAX_LINE_BYTES:,} bytes.")


def _start(content: bytes, options: ReadOptions) -> tuple[int, str | None]:
    """Return where to read from, and the delimiter that a line `sep=` names."""
    start = 0
    for _ in range(options.skip_rows or 0):
        found = re.compile(rb"\r\n|\n|\r").search(content, start)
        if found is None:
            raise Invalid.at("options.skip_rows", "The file has no line after these.")
        start = found.end()
    if b"@" in content[start : start + _PREFACE_BYTES]:  # the rows of ARFF and KEEL
        data = _DATA.search(content, start, start + _PREFACE_BYTES)
        start = data.end() if data else start
    separator = _SEPARATOR_LINE.match(content, start)
    if separator is None:
        return start, None
    return separator.end(), separator.group(1).decode("utf-8", "replace")


def _choose(
    content: bytes, dialect: Dialect, start: int, options: ReadOptions
) -> tuple[Region, list[Region]]:
    """Return the region with the most cells, and all that are tables."""
    if isinstance(options.header, int):
        # The header that the user names belongs to the table that begins there.
        line = _line_start(content, start, options.header)
        following = [
            Region(line, region.end, region.width, region.rows)
            for region in find_regions(content, dialect, line)[:1]
        ]
        if not following:
            raise Invalid.at("options.header", f"There is no row {options.header}.")
        return following[0], following
    regions = find_regions(content, dialect, start)
    regions = [part for region in regions for part in cut_runs(content, dialect, region)]
    if not regions:
        raise Invalid.at("file", "The file holds no row with anything in it.")
    largest = max(regions, key=lambda region: (region.cells, -region.start))
    tables = [r for r in regions if r.width > 1 and r.rows > 2] or [largest]
    if options.skip_rows is not None:
        return (regions[0] if regions[0].rows > 1 else largest), tables
    return largest, tables


def _line_start(content: bytes, start: int, number: int) -> int:
    """Return where line `number`, from 1, begins; blank lines count."""
    for _ in range(number - 1):
        found = re.compile(rb"\r\n|\n|\r").search(content, start)
        if found is None:
            raise Invalid.at("options.header", f"The file has no row {number}.")
        start = found.end()
    return start


def _head(content: bytes, dialect: Dialect, region: Region) -> _Head:
    head = _Head([], [], [])
    parser = RecordParser(content, dialect, region.width if region.width > 1 else None)
    for record in parser.records(region.start, region.end):
        if not is_blank(record.cells):
            head.rows.append(record.cells)
            head.starts.append(record.start)
            head.ends.append(record.end)
        if len(head.rows) >= _HEAD_ROWS:
            break
    return head


def _named(layout: Layout, content: bytes, region: Region) -> Layout:
    """Give a table below `@attribute` lines, as ARFF and KEEL have them, their names."""
    preface = content[: min(region.start, _PREFACE_BYTES)]
    found = _ATTRIBUTE.findall(preface) if b"@" in preface else []
    names = [b"".join(parts).decode("utf-8", "replace") for parts in found]
    if not names or len(names) != layout.width:
        return layout
    return Layout(name_columns(names), layout.first_row - layout.header_rows, 1)


def _repeated_header(head: _Head, layout: Layout) -> Row | None:
    return (
        list(head.rows[layout.first_row - 1]) if layout.header_rows and layout.first_row else None
    )


def _no_table(content: bytes, dialect: Dialect, layout: Layout, head: _Head) -> Invalid:
    lines = [line for line in content[:4096].splitlines() if line.strip()][:_SHOWN_LINES]
    shown = "; ".join(repr(line[:_SHOWN_BYTES].decode("utf-8", "replace")) for line in lines)
    kind = "a header but no row" if layout.header_rows else "no row"
    columns = "one column"
    if layout.width > 1:
        columns = f"{layout.width} columns with the delimiter {dialect.delimiter.decode()!r}"
    message = f"There is no table: found {kind}, {columns}. The file begins with {shown}."
    return Invalid.at("file", message)


def _table(
    text: Text,
    content: bytes,
    dialect: Dialect,
    layout: Layout,
    rows: Rows,
    region: Region,
    regions: list[Region],
    head: _Head,
    footers: int,
) -> Table:
    cells, dropped = drop_empty(layout.names, rows.columns)
    header_start = head.starts[max(0, layout.first_row - layout.header_rows)]
    line = content.count(b"\n", 0, header_start) + 1
    if b"\n" not in content[:_MAX_LINE_BYTES]:
        line = content.count(b"\r", 0, header_start) + 1
    reading: dict[str, Any] = {
        "format": "delimited",
        "encoding": text.encoding,
        "delimiter": _delimiter(dialect, layout),
        "quote": dialect.quote.decode() or None,
        "escape": dialect.escape.decode() or None,
        "line_end": _line_end(content),
        "header": line if layout.header_rows else "none",
        "header_rows": layout.header_rows,
        "skipped_lines": line - 1,
        "footer_lines": footers,
        "comment_lines": rows.comments,
        "tables": len(regions),
        "padded_rows": rows.padded,
        "cut_rows": rows.cut,
        "repaired_rows": rows.repaired,
        "blank_rows": rows.blank,
        "repeated_headers": rows.headers,
        "dropped_columns": dropped,
        "replaced_bytes": text.replaced,
        "units": layout.units,
    }
    warnings = (*header_warnings(layout.header_rows, layout.guessed), *_warnings(reading))
    return Table(cells, reading, warnings)


def _delimiter(dialect: Dialect, layout: Layout) -> str | None:
    if layout.width == 1:
        return None
    return "whitespace" if dialect.runs else dialect.delimiter.decode()


def _line_end(content: bytes) -> str:
    sample = content[: 1024**2]
    both, line_feeds = sample.count(b"\r\n"), sample.count(b"\n")
    returns = sample.count(b"\r")
    kinds = {"\\r\\n": both, "\\n": line_feeds - both, "\\r": returns - both}
    found = [name for name, count in kinds.items() if count]
    return found[0] if len(found) == 1 else "mixed" if found else "none"


def _warnings(reading: Mapping[str, Any]) -> list[DataWarning]:
    told = {
        "padded_rows": "{} rows have fewer cells than the table has columns; the last are missing.",
        "cut_rows": "{} rows have more cells than the table has columns; the surplus was cut off.",
        "repaired_rows": "{} rows hold a stray quote, which was read as text.",
        "footer_lines": "{} lines after the table were left out as notes or totals.",
        "comment_lines": "{} comment lines were left out.",
        "blank_rows": "{} rows without any value were left out.",
        "repeated_headers": "{} rows repeat the header and were left out.",
        "replaced_bytes": "{} bytes are not of the file's encoding and were read as Windows-1252.",
    }
    found = [
        DataWarning(WarningCode.ROWS_SKIPPED, message.format(reading[key]), rows=reading[key])
        for key, message in told.items()
        if reading[key]
    ]
    if reading["tables"] > 1:
        message = f"The file holds {reading['tables']} tables; the largest was read."
        found.append(DataWarning(WarningCode.ROWS_SKIPPED, message))
    return found
