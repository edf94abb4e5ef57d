"""XLSX, XLS and ODS files to a table: the largest sheet, or the one asked for."""

import datetime as dt
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from models.data.formats.layout import Row, is_blank, is_footer, plan
from models.data.formats.limits import TableLimits
from models.data.formats.naming import drop_empty, header_warnings
from models.data.table import ReadOptions, Table
from models.data.warnings import DataWarning, WarningCode
from models.errors import Invalid

_HEAD_ROWS = 200
_REFERENCE = re.compile(rb'<c\b[^>]*?\br="([A-Z]{1,3})([0-9]{1,7})"')
_ROW = re.compile(rb'<row\b[^>]*?\br="([0-9]{1,10})"')
_REPEATED = re.compile(
    rb'<(?:table:)?table-(row|cell)\b[^>]*?number-(?:rows|columns)-repeated="([0-9]{1,10})"[^>]*?(/?)>'
)
_MAX_SHEETS = 100
_MIDNIGHT = dt.time()
# What the library of zip files raises for one that is damaged.
_DAMAGED = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)


def read_spreadsheet(content: bytes, kind: str, options: ReadOptions, limits: TableLimits) -> Table:
    """Read one sheet as columns of text; dates become ISO 8601, whole numbers lose their `.0`.

    Of several sheets the one with the most cells is read, unless `options.sheet` names one. Raises
    Invalid at `file` or `options.sheet`, TooLarge beyond `limits`.
    """
    from python_calamine import CalamineError, CalamineWorkbook

    if kind != "xls":
        _check_size(content, kind, limits)
    try:
        book = CalamineWorkbook.from_filelike(io.BytesIO(content))
        names = book.sheet_names[:_MAX_SHEETS]
        chosen = [_sheet_name(names, options.sheet)] if options.sheet is not None else names
        sheets = {
            name: _rows(book.get_sheet_by_name(name), options.every_row, limits) for name in chosen
        }
    except (CalamineError, OSError, ValueError) as error:
        raise Invalid.at(
            "file", f"The file is not a spreadsheet that can be read: {error}"
        ) from None
    name = max(sheets, key=lambda name: sum(map(len, sheets[name])), default="")
    rows = sheets.get(name, [])
    if not rows:
        raise Invalid.at("file", f"There is no table: {_told(names)} hold no row.")
    table = _to_table(rows, options, limits)
    reading = {"format": kind, "sheet": name, "sheets": list(names), **table.reading}
    warnings = list(table.warnings)
    others = [other for other in sheets if other != name and len(sheets[other]) > 1]
    if others:
        message = f"The file holds {len(names)} sheets; {name!r}, the largest, was read."
        warnings.append(DataWarning(WarningCode.ROWS_SKIPPED, message))
    return Table(table.cells, reading, tuple(warnings))


def _told(names: Sequence[str]) -> str:
    return "sheets " + ", ".join(map(repr, names)) if names else "its sheets"


def _sheet_name(names: Sequence[str], sheet: str | int) -> str:
    if isinstance(sheet, int) and 1 <= sheet <= len(names):
        return names[sheet - 1]
    if isinstance(sheet, str) and sheet in names:
        return sheet
    listed = ", ".join(map(repr, names))
    raise Invalid.at("options.sheet", f"There is no sheet {sheet!r}; there are {listed}.")


def _check_size(content: bytes, kind: str, limits: TableLimits) -> None:
    """Refuse a sheet whose farthest cell spans more than may be read.

    The reader allocates the whole rectangle; two cells in opposite corners take gigabytes.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            limits.check_bytes(sum(member.file_size for member in members), "The file")
            for member in members:
                if kind == "xlsx" and member.filename.startswith("xl/worksheets/"):
                    _check_xlsx(_member(archive, member, limits), limits)
                elif kind == "ods" and member.filename == "content.xml":
                    _check_ods(_member(archive, member, limits), limits)
    except _DAMAGED as error:
        raise Invalid.at("file", f"The file is not a whole {kind}: {error}") from None


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limits: TableLimits) -> bytes:
    with archive.open(member) as file:
        content = file.read(limits.inflated_bytes + 1)
    limits.check_bytes(len(content), "The file")
    return content


def _check_xlsx(sheet: bytes, limits: TableLimits) -> None:
    letters = {match.group(1) for match in _REFERENCE.finditer(sheet)}
    columns = max(map(_column_number, letters), default=0)
    numbers = [int(match.group(2)) for match in _REFERENCE.finditer(sheet)]
    rows = max(numbers + [int(number) for number in _ROW.findall(sheet)], default=0)
    limits.check_shape("file", rows, max(columns, 1))


def _check_ods(sheet: bytes, limits: TableLimits) -> None:
    """Count what repeats say, without the empty cells and rows with which every file ends."""
    rows = cells = sheet.count(b"table-cell")
    for match in _REPEATED.finditer(sheet):
        times = int(match.group(2))
        is_empty = (
            bool(match.group(3)) or sheet[match.end() : match.end() + 200].count(b"<text:p") == 0
        )
        if not is_empty:
            rows, cells = (
                (rows + times, cells) if match.group(1) == b"row" else (rows, cells + times)
            )
    limits.check_shape("file", min(rows, cells), 1)
    limits.check_bytes(8 * max(rows, cells), "The sheet")


def _column_number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - ord("A") + 1
    return number


def _rows(sheet: Any, every_row: bool, limits: TableLimits) -> list[list[bytes]]:
    """Return the cells of a sheet as text, without empty columns at both sides.

    Blank rows are left out; with `every_row`, only those before the first and after the last row
    with a cell.
    """
    rows: list[list[bytes]] = []
    width = blank = 0
    for number, values in enumerate(sheet.iter_rows()):
        row = [_text(value) for value in values]
        if number % 10_000 == 0:
            limits.check_shape("file", number, max(1, len(row)))
        if is_blank(row):
            blank += 1
        else:
            rows += [[]] * (blank if every_row and rows else 0)
            blank = 0
            rows.append(row)
            width = max(width, next(n for n in range(len(row), 0, -1) if row[n - 1].strip()))
    first = min(
        (next(n for n, cell in enumerate(row) if cell.strip()) for row in rows if row), default=0
    )
    return [row[first:width] for row in rows]


def _text(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, float):
        whole = value.is_integer() and abs(value) < 1e15
        return str(int(value)).encode() if whole else repr(value).encode()
    if isinstance(value, dt.datetime):
        same_day = value.time() == _MIDNIGHT
        return (value.date().isoformat() if same_day else value.isoformat(" ")).encode()
    if isinstance(value, dt.date | dt.time):
        return value.isoformat().encode()
    return b"" if value is None else str(value).encode()


def _to_table(rows: list[list[bytes]], options: ReadOptions, limits: TableLimits) -> Table:
    header: Any = options.header
    filled = [number for number, row in enumerate(rows) if not is_blank(row)]
    filled = filled[options.skip_rows or 0 :]
    if isinstance(header, int):
        filled, header = filled[header - 1 :], 0
    if not filled:
        raise Invalid.at("options.header", "The sheet has no such row.")
    head = [rows[number] for number in filled[:_HEAD_ROWS]]
    layout = plan(head, header)
    if options.every_row and layout.header_rows == 0:
        layout = plan(head, 0)
    first = filled[layout.first_row - 1] + 1 if layout.first_row else filled[0]
    body = [_fitted(row, layout.width) for row in rows[first:]]
    footers = 0
    while (
        len(body) > 1
        and not options.every_row
        and is_footer(body[-1], layout.width, after_blank=False)
    ):
        body.pop()
        footers += 1
    if not body:
        raise Invalid.at("file", "There is no table: the sheet has a header but no row.")
    limits.check_shape("file", len(body), layout.width)
    columns = [
        pa.array(column, pa.binary()).cast(pa.string()) for column in zip(*body, strict=True)
    ]
    cells, dropped = drop_empty(layout.names, columns)
    reading = {
        "header": layout.first_row if layout.header_rows else "none",
        "header_rows": layout.header_rows,
        "footer_lines": footers,
        "dropped_columns": dropped,
        "units": layout.units,
    }
    return Table(cells, reading, header_warnings(layout.header_rows, layout.guessed))


def _fitted(row: Row, width: int) -> list[bytes]:
    return [*row[:width], *[b""] * (width - len(row))]
