"""The delimiter, quote and escape of a text file, told from its first rows.

The measure is that of G. van den Burg, A. Nazábal and C. Sutton, "Wrangling messy CSV files by
detecting row and type patterns" (2019): rows should be alike, and cells should look like data. To
it comes how many of the quotes a delimiter explains.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from models.data.formats.appearance import is_moment, is_nothing, is_number, is_value
from models.data.formats.delimited.parsing import Dialect, RecordParser
from models.errors import Invalid

_SAMPLE_BYTES = 256 * 1024
_SAMPLE_ROWS = 100
_SAMPLE_CELLS = 2000
_USUAL = (b",", b";", b"\t", b"|")
_RARE = (b"^", b"~", b":", "¦".encode(), "§".encode(), b"\x01", b"\x1f", b"\x1e", b"::", b"||")
_WIDTH_BONUS = 0.02  # how little more columns count where two dialects fit as well
_SPACE_CARE = 0.75  # blanks stand in text too
_RARE_CARE = 0.85
_MIN_RARE_SHARE = 0.8  # of the lines must hold a delimiter that few files use
_PROSE_CARE = 0.4
_LEFT_QUOTES_CARE = 0.9  # cells that begin and end with a quote that is left as text
_MIN_SHARE = 0.02

_DECIMAL_COMMA = re.compile(rb"[-+]?\d+,\d+")


def detect(content: bytes, delimiter: str | None = None, start: int = 0) -> Dialect:
    """Detect the dialect of UTF-8 text, with `delimiter` if it is given.

    A file of one column gets a delimiter that it does not hold. Raises Invalid at
    `options.delimiter` for a delimiter that cannot be one.
    """
    sample = _sample(content, start)
    if delimiter is not None:
        return _best(sample, [_check(delimiter)], 0.0) or Dialect(_check(delimiter))
    single = _single(sample)
    return _best(sample, _candidates(sample), single) or _one_column(sample)


def _best(sample: bytes, candidates: Iterable[bytes], floor: float) -> Dialect | None:
    """Return the dialect with the highest score above `floor`, None if there is none."""
    best = None
    for code in candidates:
        for dialect in _with_quotes(sample, code):
            value = _score(sample, dialect, floor)
            if value > floor:
                floor, best = value, dialect
    return best


def _single(sample: bytes) -> float:
    """Return the score of a file of one column: lines that look like single values."""
    lines = [line for line in sample.splitlines()[:_SAMPLE_ROWS] if line.strip()]
    if not lines:
        return 0.0
    if len(lines) > 1 and all(_DECIMAL_COMMA.fullmatch(line.strip()) for line in lines[1:]):
        return 1.0 if b"," not in lines[0] and not is_number(lines[0].strip()) else 0.0
    quotes = [line for line in lines if b'"' in line]
    whole = [line for line in quotes if line.strip()[:1] == line.strip()[-1:] == b'"']
    explained = len(whole) / len(quotes) if quotes else 1.0
    return 0.5 * explained * _typed([[line] for line in lines])


def _one_column(sample: bytes) -> Dialect:
    escapes = re.search(rb'\\"', sample) and not re.search(rb'""', sample)
    unused = next((code for code in (b"\x1f", b"\x1e", b"\x01") if code not in sample), b",")
    return Dialect(unused, b'"', b"\\" if escapes else b"")


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
        if code + code in _RARE and sample.count(code) == 2 * sample.count(code + code):
            continue
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


def _score(sample: bytes, dialect: Dialect, floor: float) -> float:
    """Return from 0 to 1 how well a dialect explains the sample, 0 for less than `floor`."""
    care = _SPACE_CARE if dialect.delimiter == b" " else 1.0
    care = _RARE_CARE if dialect.delimiter in _RARE else care
    care *= _explained(sample, dialect) * (1 + _WIDTH_BONUS)
    if care <= floor:
        return 0.0
    rows = []
    for record in RecordParser(sample, dialect).records(0, len(sample)):
        if len(record.cells) > 1 or not record.cells[0].lstrip().startswith(b"#"):
            rows.append(record.cells)
        if len(rows) >= _SAMPLE_ROWS:
            break
    widths = Counter(len(row) for row in rows if any(cell.strip() for cell in row))
    width, alike = _alike(widths, len(rows[0]) if rows else 1)
    value = care * alike * (1 - _WIDTH_BONUS / max(width, 1))
    if width < 2 or value <= floor:
        return 0.0
    if dialect.delimiter == b" " and dialect.quote not in sample and _prose(rows):
        value *= _PROSE_CARE
    return value * _typed(rows)


def _prose(rows: list[list[bytes]]) -> bool:
    """Whether cells between blanks are words rather than figures, as in text or in names."""
    cells = [cell.strip() for row in rows[1:] for cell in row][:_SAMPLE_CELLS]
    figures = sum(is_number(cell) or is_moment(cell) or is_nothing(cell) for cell in cells)
    return figures < 0.4 * len(cells)


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
    share = 1.0
    for quote in (b'"', b"'"):
        if quote not in sample:
            continue
        edge, mark = dialect.boundary, re.escape(quote)
        opened = len(re.findall(rb"(?:^|[\r\n]|%b) *%b" % (edge, mark), sample))
        closed = len(re.findall(rb"%b *(?=%b|[\r\n]|\Z)" % (mark, edge), sample))
        pairs = min(opened, closed)
        if dialect.quote != quote:
            share *= 1.0 if pairs < 2 else _LEFT_QUOTES_CARE
            continue
        lone = len(re.findall(rb"(?<!%b)%b(?!%b)" % (mark, mark, mark), sample))
        if quote == b"'":  # no quote is the apostrophe in a word
            lone -= len(re.findall(rb"(?<=\w)'(?=\w)", sample))
        if dialect.escape:
            lone -= min(lone, len(re.findall(re.escape(dialect.escape) + mark, sample)))
        found = min(1.0, 2 * pairs / lone) if lone > 0 else 1.0
        share *= max(_MIN_SHARE, found)
    return share


def _typed(rows: list[list[bytes]]) -> float:
    """Return the mean of how much the cells look like data of their own."""
    step = max(1, sum(map(len, rows)) // _SAMPLE_CELLS)
    cells = [cell for row in rows for cell in row][::step]
    return sum(map(is_value, cells)) / max(1, len(cells))
