"""The cells of delimited text under a dialect: a fast check of quotes, and a careful parser."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

Row = list[bytes]

_REACH_BYTES = 1024**2  # the farthest that a quoted cell is followed
_MAX_STEPS_BACK = 50  # lines that are tried for the end of a block
_LINE_END = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True)
class Dialect:
    """How cells and rows are told apart, in bytes of UTF-8.

    Whitespace as the delimiter (`runs`) means any run of blanks and tabs, also around a row.
    """

    delimiter: bytes
    quote: bytes = b'"'  # empty: no quotes
    escape: bytes = b""
    runs: bool = False

    @cached_property
    def boundary(self) -> bytes:
        """The regular expression of what ends a cell, without the end of the text."""
        return rb"[ \t]+" if self.runs else re.escape(self.delimiter)

    @cached_property
    def quoted(self) -> re.Pattern[bytes]:
        """A quoted cell with blanks around it, strict: a quote inside is doubled or escaped."""
        quote, escape = re.escape(self.quote), re.escape(self.escape)
        plain = rb"[^%b%b]*+" % (quote, escape)
        inner = quote + quote
        if escape:
            inner = rb"(?:%b|%b(?s:.))" % (inner, escape)
        cell = rb"%b(%b(?:%b%b)*+)%b" % (quote, plain, inner, plain, quote)
        blanks = b"" if self.runs or self.delimiter == b" " else rb" *+"
        if self.delimiter != b"\t" and blanks:
            blanks = rb"[ \t]*+"
        return re.compile(rb"%b%b%b(?=%b|[\r\n]|\Z)" % (blanks, cell, blanks, self.boundary))

    @cached_property
    def lenient(self) -> re.Pattern[bytes]:
        """A quoted cell of one line that ends at the first quote before a delimiter."""
        quote = re.escape(self.quote)
        return re.compile(rb" *%b([^\r\n]*?)%b *(?=%b|[\r\n]|\Z)" % (quote, quote, self.boundary))

    @cached_property
    def greedy(self) -> re.Pattern[bytes]:
        """A quoted cell of one line that ends at the last quote before a delimiter."""
        quote = re.escape(self.quote)
        return re.compile(rb" *%b([^\r\n]*)%b *(?=%b|[\r\n]|\Z)" % (quote, quote, self.boundary))

    @cached_property
    def plain(self) -> re.Pattern[bytes]:
        """A cell without quotes."""
        if self.runs:
            return re.compile(rb"[^ \t\r\n]*+")
        if len(self.delimiter) > 1:
            return re.compile(rb"(?:(?!%b)[^\r\n])*+" % re.escape(self.delimiter))
        ends = re.escape(self.delimiter)
        if self.escape:
            escape = re.escape(self.escape)
            return re.compile(rb"(?:[^%b\r\n%b]++|%b.?)*+" % (ends, escape, escape))
        return re.compile(rb"[^%b\r\n]*+" % ends)

    @cached_property
    def separator(self) -> re.Pattern[bytes]:
        """What stands between two cells."""
        return re.compile(self.boundary)

    @cached_property
    def is_fast(self) -> bool:
        """Whether Arrow's reader knows such a dialect."""
        return len(self.delimiter) == 1 and not self.runs and not self.escape

    def unquote(self, inside: bytes) -> bytes:
        """Return the text of a quoted cell, without doubled and escaped quotes."""
        if self.escape and self.escape in inside:
            return self._unescape(inside)
        return inside.replace(self.quote * 2, self.quote) if self.quote in inside else inside

    def clean(self, cell: bytes) -> bytes:
        """Return the text of a cell without quotes, or with quotes that are no strict ones."""
        if self.escape and self.escape in cell:
            cell = self._unescape(cell)
        stripped = cell.strip(b" ")
        size = len(self.quote)
        if size and len(stripped) > 2 and stripped[:1] == stripped[-1:] == self.quote:
            return stripped[1:-1].replace(self.quote * 2, self.quote)
        return cell

    def _unescape(self, text: bytes) -> bytes:
        """Drop the escape before a quote, a delimiter or itself; any other stays text."""
        special = b"|".join(re.escape(part) for part in (self.quote, self.delimiter, self.escape))
        if self.quote:
            text = text.replace(self.quote * 2, self.escape + self.quote)
        return re.sub(re.escape(self.escape) + b"(" + special + b")", rb"\1", text)


def is_strict(block: memoryview, dialect: Dialect) -> bool:
    """Whether every quote of a block of whole rows opens, closes or doubles, as the rules say."""
    if not dialect.quote:
        return True
    codes = np.frombuffer(block, dtype=np.uint8)
    quotes = np.flatnonzero(codes == dialect.quote[0])
    if quotes.size == 0:
        return True
    if quotes.size % 2:
        return False
    opening, closing = quotes[0::2], quotes[1::2]
    before = np.where(opening > 0, codes[opening - 1], ord("\n"))
    after_end = closing + 1 >= codes.size
    after = np.where(after_end, ord("\n"), codes[np.minimum(closing + 1, codes.size - 1)])
    is_end = np.zeros(256, dtype=bool)
    is_end[[dialect.delimiter[0], 10, 13]] = True
    doubled = opening[1:] == closing[:-1] + 1
    opens, closes = is_end[before], is_end[after]
    opens[1:] |= doubled
    closes[:-1] |= doubled
    # A quote that opens a cell cannot double the one that closed another.
    return bool(opens.all() and closes.all())


def block_end(content: bytes, start: int, size: int, stop: int, dialect: Dialect) -> int:
    """Return the end of the rows that begin at `start` and take about `size` bytes.

    Rows end at line ends that have an even number of quotes before them, if quotes are strict.
    """
    end = start + size
    if end >= stop:
        return stop
    cut = max(content.rfind(b"\n", start, end), content.rfind(b"\r", start, end - 1)) + 1
    if cut <= start:
        found = _LINE_END.search(content, end, stop)
        return found.end() if found else stop
    odd = content.count(dialect.quote, start, cut) % 2 if dialect.quote else 0
    whole = cut
    for _ in range(_MAX_STEPS_BACK):
        if not odd:
            return cut
        # Inside a quoted cell: its row began at a line end before the quote that opened it.
        opened = content.rfind(dialect.quote, start, cut)
        line = max(content.rfind(b"\n", start, opened), content.rfind(b"\r", start, opened)) + 1
        if line <= start:
            break
        odd = (odd + content.count(dialect.quote, line, cut)) % 2
        cut = line
    return whole


@dataclass(slots=True)
class Record:
    """One row as it was parsed."""

    cells: Row
    start: int  # where it begins in the content
    end: int  # where the next begins
    repaired: bool = False  # a stray quote was read as text


class RecordParser:
    """Parse rows one by one, and look for the reading of stray quotes that fits the table."""

    def __init__(self, content: bytes, dialect: Dialect, width: int | None = None) -> None:
        self._content = content
        self._dialect = dialect
        self.width = width

    def records(self, start: int, stop: int) -> Iterator[Record]:
        """Yield the rows that begin in `start` to `stop`, blank lines left out."""
        content = self._content
        while start < stop:
            found = _LINE_END.search(content, start)
            line, after = (found.start(), found.end()) if found else (len(content),) * 2
            if line == start:
                start = after
                continue
            record = self._record(start, line, after)
            yield record
            start = record.end

    def _record(self, start: int, line: int, after: int) -> Record:
        dialect, content = self._dialect, self._content
        text = content[start:line]
        if (not dialect.quote or dialect.quote not in text) and (
            not dialect.escape or dialect.escape not in text
        ):
            return Record(self._split(text), start, after)
        cells, end, strict = self._parse(start, len(content))
        if end > line:  # over several lines
            found = _LINE_END.match(content, end)
            strict_record = Record(cells, start, found.end() if found else end, not strict)
        else:
            strict_record = Record(cells, start, after, not strict)
        if self._fits(cells) or not dialect.quote:
            return strict_record
        for other in self._alternatives(start, line):
            if self._fits(other):
                return Record(other, start, after, repaired=True)
        if strict_record.end > after and not strict:
            cells, _, _ = self._parse(start, line)
            return Record(cells, start, after, repaired=True)
        return strict_record

    def _fits(self, cells: Row) -> bool:
        return self.width is None or len(cells) == self.width

    def _alternatives(self, start: int, line: int) -> Iterator[Row]:
        """Yield the readings of one line: cells closed in it, closed loosely, no quotes at all."""
        yield self._parse(start, line)[0]
        yield self._parse(start, line, self._dialect.lenient)[0]
        yield self._parse(start, line, self._dialect.greedy)[0]
        yield self._split(self._content[start:line])

    def _split(self, text: bytes) -> Row:
        if self._dialect.runs:
            return text.split()
        cells = text.split(self._dialect.delimiter)
        if self._dialect.quote and self._dialect.quote in text:
            return [self._dialect.clean(cell) for cell in cells]
        return cells

    def _parse(
        self, start: int, stop: int, quoted: re.Pattern[bytes] | None = None
    ) -> tuple[Row, int, bool]:
        """Return the cells from `start`, where they end, and whether every quote is strict."""
        dialect, content = self._dialect, self._content
        lenient = quoted is not None
        quoted = quoted or dialect.quoted
        quote, size = dialect.quote, len(content)
        cells: Row = []
        strict = not lenient
        position = start
        if dialect.runs:
            position = _after(dialect.separator, content, position, stop)
        while True:
            found = None
            if quote and _starts(content, position, quote, dialect):
                found = quoted.match(content, position, min(stop, position + _REACH_BYTES, size))
            if found:
                inside = found.group(1)
                cells.append(dialect.unquote(inside) if not lenient else inside)
            else:
                found = dialect.plain.match(content, position, stop)
                text = found.group() if found else b""
                if quote and text.lstrip(b" ")[:1] == quote:
                    strict = False
                cells.append(dialect.clean(text))
            position = found.end() if found else position
            next_cell = dialect.separator.match(content, position, stop)
            if next_cell is None:
                return cells, position, strict
            position = next_cell.end()
            if dialect.runs and (position >= stop or content[position : position + 1] in b"\r\n"):
                return cells, position, strict


def _starts(content: bytes, position: int, quote: bytes, dialect: Dialect) -> bool:
    """Whether a quote stands at `position`, or after blanks there."""
    first = content[position : position + 1]
    if first == quote:
        return True
    if first != b" " or dialect.delimiter == b" " or dialect.runs:
        return False
    while content[position : position + 1] == b" ":
        position += 1
    return content[position : position + 1] == quote


def _after(pattern: re.Pattern[bytes], content: bytes, position: int, stop: int) -> int:
    found = pattern.match(content, position, stop)
    return found.end() if found else position
