"""The delimiter, quote and escape of a text file, told from its first rows.

The measure is that of G. van den Burg, A. Nazábal and C. Sutton, "Wrangling messy CSV files by
detecting row and type patterns" (2019): rows should be alike, and cells should look like data. To
it comes how many of the quotes a delimiter explains.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from models.data.formats.cells import is_value
from models.data.formats.delimited.parsing import Dialect, RecordParser
from models.errors import Invalid

_SAMPLE_BYTES = 256 * 1024
_SAMPLE_ROWS = 100
_SAMPLE_CELLS = 2000
_USUAL = (b",", b";", b"\t", b"|")
_RARE = (b"^", b"~", b":", "¦".encode(), "§".encode(), b"\x01", b"\x1f", b"\x1e", b"::", b"||")
_MAX_WIDTH_FACTOR = 0.02  # how little more columns count where two dialects fit as well
_SPACE_CARE = 0.75  # blanks stand in text too
_RARE_CARE = 0.85
_MIN_RARE_SHARE = 0.8  # of the lines must hold a delimiter that few files use
_ENOUGH = 0.35  # a dialect below this tells no table of several columns


@dataclass(frozen=True, slots=True)
class Score:
    """How well a dialect explains the first rows."""

    dialect: Dialect
    value: float  # from 0 to 1
    width: int  # cells of the most frequent kind of row


def detect(content: bytes, delimiter: str | None = None, start: int = 0) -> Dialect:
    """Detect the dialect of UTF-8 text, with `delimiter` if it is given.

    A file of one column gets the comma. Raises Invalid at `options.delimiter` for a delimiter that
    cannot be one.
    """
    sample = _sample(content, start)
    if delimiter is not None:
        code = _check(delimiter)
        scores = [_score(sample, dialect) for dialect in _with_quotes(sample, code)]
        return max(scores, key=lambda score: score.value).dialect
    scores = [
        _score(sample, dialect)
        for code in _candidates(sample)
        for dialect in _with_quotes(sample, code)
    ]
    scores = [score for score in scores if score.width > 1 and score.value >= _ENOUGH]
    if not scores:
        return max((_score(sample, d) for d in _with_quotes(sample, b",")), key=_value).dialect
    return max(scores, key=_value).dialect


def _value(score: Score) -> float:
    return score.value


def _check(delimiter: str) -> bytes:
    names = {"\\t": "\t", "tab": "\t", "space": " ", "comma": ",", "semicolon": ";", "pipe": "|"}
    delimiter = names.get(delimiter.lower(), delimiter)
    if not 1 <= len(delimiter) <= 4 or any(mark in delimiter for mark in "\"'\r\n\\"):
        message = "Must be 1 to 4 characters, none of them a quote, a backslash or a line end."
        raise Invalid.at("options.delimiter", message)
    return delimiter.encode()


def _sample(content: bytes, start: int) -> bytes:
    sample = content[start : start + _SAMPLE_BYTES]
    if start + _SAMPLE_BYTES < len(content):
        cut = max(sample.rfind(b"\n"), sample.rfind(b"\r"))
        sample = sample[: cut + 1] or sample
    lines = sample.splitlines(keepends=True)
    return b"".join(lines[: 2 * _SAMPLE_ROWS])


def _candidates(sample: bytes) -> Iterator[bytes]:
    lines = [line for line in sample.splitlines()[:_SAMPLE_ROWS] if line.strip()]
    for code in (*_USUAL, b" ", *_RARE):
        found = sum(code in line for line in lines)
        if found and (code not in _RARE or found >= _MIN_RARE_SHARE * len(lines)):
            yield code


def _with_quotes(sample: bytes, delimiter: bytes) -> Iterator[Dialect]:
    """Yield the dialects of a delimiter that the quotes and escapes of the sample allow."""
    runs = delimiter == b" " and _has_runs(sample)
    quotes = [quote for quote in (b'"', b"'") if quote in sample]
    escapes = [b""]
    if re.search(rb"\\[\"'\\]", sample) or b"\\" + delimiter in sample:
        escapes.append(b"\\")
    yield Dialect(delimiter, b'"', b"", runs)
    for quote in quotes:
        for escape in escapes:
            if (quote, escape) != (b'"', b""):
                yield Dialect(delimiter, quote, escape, runs)
    if b"\\" + delimiter in sample and not quotes:
        yield Dialect(delimiter, b'"', b"\\", runs)


def _has_runs(sample: bytes) -> bool:
    """Whether columns are aligned with blanks: several in a row, or at the start of lines."""
    lines = [line for line in sample.splitlines()[:_SAMPLE_ROWS] if line.strip()]
    aligned = sum(bool(re.search(rb"\S[ \t]{2,}\S|^[ \t]+\S|\t", line)) for line in lines)
    return aligned > 0.2 * len(lines)


def _score(sample: bytes, dialect: Dialect) -> Score:
    rows: list[list[bytes]] = []
    cells = 0
    for record in RecordParser(sample, dialect).records(0, len(sample)):
        if record.cells[0].lstrip().startswith(b"#") and len(record.cells) == 1:
            continue
        rows.append(record.cells)
        cells += len(record.cells)
        if len(rows) >= _SAMPLE_ROWS or cells >= _SAMPLE_CELLS:
            break
    if not rows:
        return Score(dialect, 0, 1)
    widths = Counter(len(row) for row in rows if any(cell.strip() for cell in row))
    width, alike = _alike(widths, len(rows[0]))
    explained = _explained(sample, dialect)
    typed = _typed(rows)
    care = 1.0
    if dialect.delimiter == b" ":
        care = _SPACE_CARE
    elif dialect.delimiter in _RARE:
        care = _RARE_CARE
    value = alike * typed * explained * care
    return Score(dialect, value * (1 + _MAX_WIDTH_FACTOR * (1 - 1 / width)), width)


def _alike(widths: Counter[int], first: int) -> tuple[int, float]:
    """Return the width of the rows and the share of those that have it.

    A row of one cell may be a title; one with a cell less, or more, may lack the name of the index
    or end with a delimiter.
    """
    several = {width: count for width, count in widths.items() if width > 1}
    total = sum(widths.values())
    if not several or not total:
        return 1, 0.0
    width = max(several, key=lambda width: (several[width], width))
    share = several[width] / total
    if len(widths) > 2 and share < 0.5 and first > 1:
        # Rows of any width, as unquoted text in blanks makes; the header knows.
        return first, share
    return width, share


def _explained(sample: bytes, dialect: Dialect) -> float:
    """Return the share of quotes that open or close a cell, or are doubled or escaped in one."""
    best = 1.0
    for quote in (b'"', b"'"):
        if quote not in sample:
            continue
        edge = rb"(?:%b)" % dialect.boundary
        mark = re.escape(quote)
        opened = len(re.findall(rb"(?:^|[\r\n]|%b) *%b" % (edge, mark), sample))
        closed = len(re.findall(rb"%b *(?=%b|[\r\n]|\Z)" % (mark, edge), sample))
        lone = len(re.findall(rb"(?<!%b)%b(?!%b)" % (mark, mark, mark), sample))
        pairs = min(opened, closed)
        if dialect.quote != quote:
            # Cells that begin and end with a quote, which this dialect leaves as text.
            if quote == b'"' or pairs < 0.3 * lone or pairs < 2:
                best *= 1.0 if quote == b"'" else 0.9
            else:
                best *= 0.9
            continue
        if dialect.escape:
            escaped = len(re.findall(re.escape(dialect.escape) + mark, sample))
            lone -= min(lone, escaped)
        share = min(1.0, 2 * pairs / lone) if lone else 1.0
        best *= max(0.02, share) if quote == b'"' else share
    return best


def _typed(rows: list[list[bytes]]) -> float:
    """Return the mean of how much the cells look like data of their own."""
    total, count = 0.0, 0
    for row in rows:
        for cell in row:
            total += is_value(cell)
            count += 1
    return max(total / count, 1e-3)
