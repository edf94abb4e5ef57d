"""The tables of a text file: stretches of rows between blank lines, of which one is read."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from models.data.formats.delimited.parsing import Dialect, Record, RecordParser
from models.data.formats.layout import Row, is_blank, is_comment, is_footer, plan

_MAX_BREAKS = 500  # more blank lines than these only space the rows out
_HEAD_ROWS = 40
_STEP_BYTES = 4 * 1024**2
_TAIL_BYTES = 16 * 1024
_SMALL_BYTES = 2 * 1024**2  # files up to this size are searched for tables without a blank line
_MIN_RUN = 3  # rows of another width, which make another table


@dataclass(slots=True)
class Region:
    """Rows that belong together."""

    start: int
    end: int
    width: int = 0
    rows: int = 0  # about
    header: Row | None = None

    @property
    def cells(self) -> int:
        """About how many cells there are."""
        return self.rows * self.width


def find_regions(content: bytes, dialect: Dialect, start: int) -> list[Region]:
    """Return the tables of a file in their order, each with the blank lines inside it.

    Stretches of equal width are one table, unless the second has a header of its own.
    """
    pieces = _split(content, dialect, start)
    regions: list[Region] = []
    for piece in pieces:
        _measure(content, dialect, piece)
        if not piece.rows:
            continue
        if regions and _continues(regions[-1], piece):
            last = regions[-1]
            regions[-1] = Region(
                last.start, piece.end, last.width, last.rows + piece.rows, last.header
            )
        else:
            regions.append(piece)
    return regions


def cut_runs(content: bytes, dialect: Dialect, region: Region) -> list[Region]:
    """Split a small region where rows of another width with a header of their own begin."""
    if region.end - region.start > _SMALL_BYTES or region.width < 2:
        return [region]
    records = list(RecordParser(content, dialect, region.width).records(region.start, region.end))
    runs = _runs([record for record in records if not is_comment(record.cells)])
    found = [runs[0]] if runs else []
    for run in runs[1:]:
        if len(run) >= _MIN_RUN and len(run[0].cells) > 1 and _starts_table(run):
            found.append(run)
        else:
            found[-1] = found[-1] + run
    if len(found) < 2:
        return [region]
    ends = [run[0].start for run in found[1:]] + [region.end]
    starts = [region.start, *(run[0].start for run in found[1:])]
    return [
        Region(begin, end, Counter(len(r.cells) for r in run).most_common(1)[0][0], len(run))
        for begin, end, run in zip(starts, ends, found, strict=True)
    ]


def without_footers(content: bytes, dialect: Dialect, region: Region) -> tuple[int, int]:
    """Return where the rows of a region end, and how many footers come after."""
    begin = max(region.start, region.end - _TAIL_BYTES)
    if begin > region.start:
        found = re.compile(rb"[\r\n]+").search(content, begin, region.end)
        begin = found.end() if found else region.start
    parser = RecordParser(content, dialect, region.width)
    records = list(parser.records(begin, region.end))
    if len(records) < 2:
        return region.end, 0
    end, footers = region.end, 0
    for index in range(len(records) - 1, max(0, len(records) - 20), -1):
        before, record = records[index - 1], records[index]
        after_blank = is_blank(before.cells) or before.end < record.start
        if not is_footer(record.cells, region.width, after_blank):
            break
        footers += not is_blank(record.cells)
        end = record.start
    return end, footers


def _split(content: bytes, dialect: Dialect, start: int) -> list[Region]:
    marks = b"" if dialect.runs or dialect.delimiter == b"\t" else re.escape(dialect.delimiter[:1])
    blank = re.compile(rb"(?>\r\n|\n|\r)(?:[ \t%b]*+(?>\r\n|\n|\r))+" % marks)
    cuts: list[tuple[int, int]] = []
    inside, counted = 0, start
    for found in _blank_lines(content, start, blank, dialect.delimiter[:1] if marks else b""):
        if dialect.quote:
            inside += content.count(dialect.quote, counted, found.start())
            counted = found.start()
            if inside % 2:
                continue
        cuts.append(found.span())
        if len(cuts) > _MAX_BREAKS:
            return [Region(start, len(content))]
    edges = [start, *(edge for cut in cuts for edge in cut), len(content)]
    return [Region(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b > a]


def _blank_lines(
    content: bytes, start: int, blank: re.Pattern[bytes], delimiter: bytes
) -> Iterator[re.Match[bytes]]:
    """Yield the blank lines; NumPy finds where one may begin, much faster than the pattern does."""
    may_follow = np.zeros(256, dtype=bool)
    may_follow[list(b"\r\n \t" + delimiter)] = True
    codes = np.frombuffer(content, dtype=np.uint8)
    ends = b"\n" if b"\n" in content else b"\r"
    position = start
    for begin in range(start, len(content), _STEP_BYTES):
        step = codes[begin : begin + _STEP_BYTES + 1]
        lines = np.flatnonzero(step[:-1] == ends[0])
        for line in lines[may_follow[step[lines + 1]]].tolist():
            if begin + line < position:
                continue
            found = blank.match(content, begin + line)
            if found:
                yield found
                position = found.end()


def _measure(content: bytes, dialect: Dialect, piece: Region) -> None:
    """Set the width of a stretch, about how many rows it has, and its header if it has one."""
    head: list[Record] = []
    for record in RecordParser(content, dialect).records(piece.start, piece.end):
        if not is_blank(record.cells):
            head.append(record)
        if len(head) >= _HEAD_ROWS:
            break
    rows = [record.cells for record in head if not is_comment(record.cells)]
    if not rows:
        return
    widths = Counter(map(len, rows))
    piece.width = max(widths, key=lambda width: (widths[width], width))
    piece.rows = len(head)
    if len(head) == _HEAD_ROWS:
        size = head[-1].end - piece.start
        piece.rows = max(1, round(len(head) * (piece.end - piece.start) / size))
    layout = plan(rows) if len(rows) > 1 else None
    if layout and layout.header_rows and not layout.guessed:
        piece.header = rows[layout.first_row - 1]


def _continues(last: Region, piece: Region) -> bool:
    if last.width != piece.width:
        return False
    return piece.header is None or last.rows == 1 or list(last.header or ()) == list(piece.header)


def _runs(records: list[Record]) -> list[list[Record]]:
    """Group neighbours of equal width; rows of a single cell go with those before."""
    runs: list[list[Record]] = []
    for record in records:
        if runs and (len(record.cells) == len(runs[-1][0].cells) or len(record.cells) == 1):
            runs[-1].append(record)
        else:
            runs.append([record])
    return runs


def _starts_table(run: list[Record]) -> bool:
    layout = plan([record.cells for record in run[:_HEAD_ROWS]])
    return layout.header_rows > 0 and not layout.guessed and layout.first_row == layout.header_rows
