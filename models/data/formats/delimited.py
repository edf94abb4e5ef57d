"""CSV and TSV files to columns of text."""

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from models.data.cells.formats import MISSING_TEXTS
from models.data.formats.limits import TableLimits
from models.errors import Invalid

_BLOCK_BYTES = 16 * 1024**2  # the longest row that can be read
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_DECIMAL_COMMA = r"^[+-]?\d+(,\d+)?([eE][+-]?\d+)?$"


def read_delimited(content: bytes, delimiter: str | None, limits: TableLimits) -> dict[str, Any]:
    """Read columns by name as trimmed Arrow text arrays, null for a missing cell.

    The first line names the columns. `delimiter` None means comma or semicolon, whichever is more
    frequent in the first line; with semicolons, decimal commas are read. Blank lines are skipped.
    Raises Invalid at `file`.
    """
    content = check_utf8(content)
    if not content.strip():
        raise Invalid.at("file", "The file is empty.")
    if len(content.lstrip().split(b"\n", 1)[0]) > _BLOCK_BYTES:
        raise Invalid.at("file", f"The first line is longer than {_BLOCK_BYTES:,} bytes.")
    if delimiter is None:
        delimiter = _sniff(content)
    names = _header(content, delimiter)
    limits.check_columns("file", len(names))
    table = _parse(content, delimiter, len(names))
    cells = {name: _trimmed(column) for name, column in zip(names, table.columns, strict=True)}
    if delimiter == ";":
        cells = {name: _with_points(column) for name, column in cells.items()}
    return cells


def check_utf8(content: bytes) -> bytes:
    """Return `content` without a byte-order mark; raise Invalid at `file` unless it is UTF-8."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Invalid.at("file", "The file is UTF-16; save it as UTF-8.")
    content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Invalid.at("file", f"Line {line} is not UTF-8; save the file as UTF-8.") from None
    return content


def check_names(names: list[str]) -> None:
    """Raise Invalid at `file` for a column without a name or with the name of another."""
    seen: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        if not name:
            raise Invalid.at("file", f"Column {number} has no name in the header.")
        if name in seen:
            raise Invalid.at("file", f"Columns {seen[name]} and {number} are both named {name!r}.")
        seen[name] = number


def _sniff(content: bytes) -> str:
    line = content.lstrip().split(b"\n", 1)[0].split(b"\r", 1)[0]
    outside_quotes = b"".join(line.split(b'"')[::2])
    return ";" if outside_quotes.count(b";") > outside_quotes.count(b",") else ","


def _records(
    content: bytes, delimiter: str, strict: bool = False
) -> Iterator[tuple[int, list[str]]]:
    """Yield the last line number and the cells of every record that is not a blank line."""
    text = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", newline="")
    reader = csv.reader(text, delimiter=delimiter, strict=strict)
    try:
        for record in reader:
            if record:
                yield reader.line_num, record
    except csv.Error as error:
        raise Invalid.at("file", f"Line {reader.line_num}: {error}.") from None


def _header(content: bytes, delimiter: str) -> list[str]:
    _, record = next(_records(content, delimiter))
    names = [name.strip() for name in record]
    if _looks_like_data(names):
        raise Invalid.at("file", "There is no header: the first line holds numbers, not names.")
    check_names(names)
    return names


def _looks_like_data(names: list[str]) -> bool:
    """Whether all names are numbers, but no plain count from 0 or 1 as pandas writes it."""
    counts = [[str(number + start) for number in range(len(names))] for start in (0, 1)]
    return names not in counts and all(_NUMBER.fullmatch(name) for name in names)


def _parse(content: bytes, delimiter: str, width: int) -> Any:
    if content.count(b'"') % 2:
        _check_quotes(content, delimiter)
    columns = {f"f{number}": pa.string() for number in range(width)}
    try:
        table = pa.csv.read_csv(
            io.BytesIO(content),
            pa.csv.ReadOptions(autogenerate_column_names=True, block_size=_BLOCK_BYTES),
            pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            pa.csv.ConvertOptions(
                column_types=columns, strings_can_be_null=True, null_values=list(MISSING_TEXTS)
            ),
        )
    except pa.ArrowInvalid as error:
        _check_widths(content, delimiter, width)
        raise Invalid.at("file", str(error)) from None
    if len(table) < 2:
        raise Invalid.at("file", "There is a header but no row.")
    return table.slice(1)


def _check_widths(content: bytes, delimiter: str, width: int) -> None:
    for line, record in _records(content, delimiter):
        if len(record) != width:
            raise Invalid.at(
                "file", f"Line {line} has {len(record)} cells, but the header has {width}."
            )


def _check_quotes(content: bytes, delimiter: str) -> None:
    """Raise Invalid for a quote that is never closed: the rest of the file would be one cell."""
    for _ in _records(content, delimiter, strict=True):
        pass


def _trimmed(column: Any) -> Any:
    texts = pc.utf8_trim_whitespace(column.combine_chunks())
    return pc.if_else(pc.equal(texts, ""), None, texts)


def _with_points(column: Any) -> Any:
    present = column.drop_null()
    if len(present) and pc.all(pc.match_substring_regex(present, _DECIMAL_COMMA)).as_py():
        return pc.replace_substring(column, ",", ".")
    return column
