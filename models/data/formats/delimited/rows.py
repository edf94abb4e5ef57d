"""The rows of a table of known width: Arrow reads what is clean, the careful parser the rest."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from models.data.formats.delimited.parsing import (
    Dialect,
    Record,
    RecordParser,
    block_end,
    is_strict,
)
from models.data.formats.layout import Row, is_blank, is_comment
from models.data.formats.limits import TableLimits

_BLOCK_BYTES = 4 * 1024**2
_BYTES_A_COLUMN = 4 * 1024  # wide tables take larger blocks, so that columns have few chunks
_CAREFUL_BYTES = 256 * 1024  # what is parsed carefully before Arrow is tried again


@dataclass(slots=True)
class Rows:
    """The columns of a table, and what was done to its rows."""

    columns: list[Any] = field(default_factory=list)  # Arrow text, chunked
    count: int = 0
    padded: int = 0
    cut: int = 0
    repaired: int = 0
    blank: int = 0
    comments: int = 0
    headers: int = 0


def read_rows(
    content: bytes,
    dialect: Dialect,
    start: int,
    stop: int,
    width: int,
    limits: TableLimits,
    header: Row | None = None,
    every_row: bool = False,
) -> Rows:
    """Read the rows of `content` from `start` to `stop` as `width` columns of text.

    Short rows end with nulls, surplus cells are cut off. Blank rows, comments and rows that repeat
    `header` are left out, with `every_row` only blank lines. Raises Invalid at `file` or TooLarge
    beyond `limits`.
    """
    return _Reader(content, dialect, width, limits, header, every_row).read(start, stop)


class _Reader:
    def __init__(
        self,
        content: bytes,
        dialect: Dialect,
        width: int,
        limits: TableLimits,
        header: Row | None,
        every_row: bool,
    ) -> None:
        self._content = content
        self._dialect = dialect
        self._width = width
        self._limits = limits
        self._header = [cell.strip() for cell in header] if header else None
        self._every_row = every_row
        self._parser = RecordParser(content, dialect, width)
        self._batches: list[Any] = []
        self._rows = Rows()
        names = [str(number) for number in range(width)]
        self._schema = pa.schema([(name, pa.string()) for name in names])
        self._convert = pa.csv.ConvertOptions(
            check_utf8=False, column_types=self._schema, strings_can_be_null=False
        )
        self._names = names

    def read(self, start: int, stop: int) -> Rows:
        size = max(_BLOCK_BYTES, self._width * _BYTES_A_COLUMN)
        careful_until = start
        while start < stop:
            if self._dialect.is_fast and start >= careful_until:
                end = block_end(self._content, start, size, stop, self._dialect)
                table = self._parse_fast(start, end)
                if table is not None:
                    self._add(table)
                    start = end
                    continue
                careful_until = end
            start = self._parse_carefully(start, min(start + _CAREFUL_BYTES, stop))
        if self._batches:
            table = pa.concat_tables(self._batches)
            self._rows.columns = list(table.columns)
        return self._rows

    def _parse_fast(self, start: int, end: int) -> Any:
        """Parse a block by Arrow; None for one that it may read wrongly."""
        block = memoryview(self._content)[start:end]
        if self._has_blank_rows(start, end) or not is_strict(block, self._dialect):
            return None
        options = pa.csv.ReadOptions(
            column_names=self._names, block_size=end - start + 1, use_threads=False
        )
        quote = self._dialect.quote.decode() or False
        parse = pa.csv.ParseOptions(
            delimiter=self._dialect.delimiter.decode(), quote_char=quote, newlines_in_values=True
        )
        try:
            source = pa.BufferReader(pa.py_buffer(block))
            table = pa.csv.read_csv(source, options, parse, self._convert)
        except pa.ArrowInvalid:
            return None
        return None if self._repeats_header(table) else table

    def _has_blank_rows(self, start: int, end: int) -> bool:
        """Whether a block may have rows without any value, which Arrow would keep."""
        empty = self._dialect.delimiter * (self._width - 1)
        if self._every_row or not empty or self._content.find(empty, start, end) < 0:
            return False
        pattern = re.compile(rb"(?:\A|[\r\n])%b(?:[\r\n]|\Z)" % re.escape(empty))
        return pattern.search(memoryview(self._content)[start:end]) is not None

    def _repeats_header(self, table: Any) -> bool:
        """Whether a row may be the header again."""
        if self._header is None:
            return False
        return bool(pc.any(pc.equal(table.column(0), self._header[0].decode())).as_py())

    def _parse_carefully(self, start: int, stop: int) -> int:
        rows: list[Sequence[bytes | None]] = []
        for record in self._parser.records(start, stop):
            row = self._accept(record)
            if row is not None:
                rows.append(row)
            start = record.end
        if rows:
            columns = [
                pa.array(column, pa.binary()).cast(pa.string())
                for column in zip(*rows, strict=True)
            ]
            self._add(pa.Table.from_arrays(columns, schema=self._schema))
        return max(start, stop)

    def _accept(self, record: Record) -> Sequence[bytes | None] | None:
        """Return the cells of a row, padded or cut to the width; None for one to leave out."""
        cells, rows, width = record.cells, self._rows, self._width
        if self._every_row:
            # A lone empty cell is written as "".
            if is_blank(cells) and len(cells) == 1 and record.end - record.start < 3:
                return None
        elif is_blank(cells):
            rows.blank += width > 1 and len(cells) > 1
            return None
        elif len(cells) != width and is_comment(cells):
            rows.comments += 1
            return None
        elif (
            self._header is not None
            and [cell.strip() for cell in cells] == self._header
            and width > 1
        ):
            rows.headers += 1
            return None
        rows.repaired += record.repaired
        if len(cells) == width:
            return cells
        if len(cells) < width:
            rows.padded += 1
            return [*cells, *[None] * (width - len(cells))]
        rows.cut += not is_blank(cells[width:])
        return cells[:width]

    def _add(self, table: Any) -> None:
        self._rows.count += len(table)
        self._limits.check_shape("file", self._rows.count, self._width)
        self._batches.append(table)
