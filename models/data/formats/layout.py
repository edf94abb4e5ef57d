"""Where the table lies among the rows of a file or sheet: its width, its header and its names."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from models.data.formats.appearance import is_link, is_moment, is_nothing, is_number, is_unit
from models.data.formats.naming import name_columns

Row = Sequence[bytes]

_MAX_HEADER = 6  # rows at the top that may be part of a header
_TYPED_SHARE = 0.65  # of the present cells of a column, which makes it one of numbers or moments
_MAX_NAME_WORDS = 6  # a longer text above names is a title
_FOOTER = re.compile(
    rb"(?:grand |sub)?totals?\b|sum(?:me)?\b|average\b|mean\b|gesamt|sources?\b|notes?\b|quelle"
    rb"|footnote|\*|\(?c\)|\xc2\xa9|http",
    re.IGNORECASE,
)
_YEARS = range(1800, 2101)


@dataclass(frozen=True, slots=True)
class Layout:
    """The plan of a table whose first rows were looked at."""

    names: list[str]
    first_row: int  # where the data begins, among the rows that were looked at
    header_rows: int  # above it; 0: there is no header
    guessed: bool = False  # whether nothing but the look of names speaks for the header
    index_column: bool = False  # the first column has no name, but all others have
    units: dict[str, str] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """The number of columns."""
        return len(self.names)


def plan(rows: Sequence[Row], header: int | Literal["none"] | None = None) -> Layout:
    """Find header and data in the first rows of a table, blank rows left out.

    `header` is the index of the header among `rows`, or says that there is none. Never empty:
    raises ValueError without rows.
    """
    if not rows:
        raise ValueError("no rows")
    if header == "none":
        width = table_width(rows)
        first = _first_row(rows, width)
        return Layout(name_columns([""] * width), first, 0)
    if header is not None:
        width = max(table_width(rows[header:]), 1)
        names, index = _fit(list(rows[header]), rows[header + 1 :], width)
        return Layout(name_columns(names), header + 1, 1, index_column=index)
    width = table_width(rows)
    first = _first_row(rows, width)
    count, guessed = _count_header(rows[first:], width)
    if count == 0:
        return _without_header(rows, first, width)
    return _with_header(rows, first, count, width, guessed)


def table_width(rows: Sequence[Row]) -> int:
    """Return the width of most rows; of rows of all widths, that of the first of several cells."""
    widths = Counter(len(row) for row in rows if not is_comment(row))
    several = {width: count for width, count in widths.items() if width > 1}
    if not several:
        return 1
    best = max(several, key=lambda width: (several[width], width))
    if several[best] < 0.4 * sum(several.values()):
        return next(len(row) for row in rows if len(row) > 1 and not is_comment(row))
    if widths[1] > 4 * several[best]:
        return 1
    return best


def is_blank(row: Row) -> bool:
    """Whether no cell holds anything."""
    return not any(cell.strip() for cell in row)


def is_comment(row: Row) -> bool:
    """Whether a row begins as a comment does."""
    return bool(row) and row[0].lstrip().startswith((b"#", b"//"))


def is_footer(row: Row, width: int, after_blank: bool) -> bool:
    """Whether a row at the end of a table is no row of it: a note, or totals after a blank line."""
    filled = [cell.strip() for cell in row if cell.strip()]
    if not filled:
        return True
    if is_comment(row):
        return True
    if width >= 3 and len(row) == 1 and not is_number(filled[0]) and not is_moment(filled[0]):
        return True
    if after_blank and _FOOTER.match(filled[0]):
        return True
    words = len(filled[0].split())
    return width >= 3 and len(filled) == 1 and words > 3 and bool(row[0].strip())


def _first_row(rows: Sequence[Row], width: int) -> int:
    """Return the index of the first row that is neither a title nor a comment."""
    for index, row in enumerate(rows):
        if is_comment(row) and not (len(row) == width and width > 1 and _is_header(rows, index)):
            continue
        if width == 1 or _belongs(row, width, rows[index + 1 : index + 4]):
            return index
    return 0


def _belongs(row: Row, width: int, following: Sequence[Row]) -> bool:
    filled = sum(bool(cell.strip()) for cell in row)
    if width == 2:
        if len(row) < 2:
            return False
        words = len(row[0].split())
        return filled > 1 or words < 3 or not any(len(other) == 2 for other in following)
    needed = max(2, min(width - 1, 1 + width // 2))
    return len(row) >= needed and filled >= 2


def _is_header(rows: Sequence[Row], index: int) -> bool:
    return index + 1 < len(rows) and _count_header(rows[index:], len(rows[index]))[0] > 0


def _count_header(rows: Sequence[Row], width: int) -> tuple[int, bool]:
    """Return how many of the rows are the header, and whether only their look says so."""
    offset = min(_MAX_HEADER, max(1, len(rows) // 2))
    body = [row for row in rows[offset:] if len(row) > width // 2 and not is_comment(row)]
    if not body:
        return (1, True) if _looks_like_names(rows[0], width) else (0, True)
    while width > 1 and not any(row[width - 1].strip() for row in body if len(row) >= width):
        width -= 1  # rows that end with a delimiter
    kinds = [_kind(body, column) for column in range(width)]
    if not any(kinds):
        return _count_text_header(rows, body, width)
    if not _is_textual(rows[0], kinds, width):
        later = _later_header(rows[:offset], kinds, width)
        return later, False
    count = 1
    while count < offset and _continues(rows[count - 1], rows[count], kinds):
        count += 1
    return count, False


def _later_header(rows: Sequence[Row], kinds: list[str], width: int) -> int:
    """Return the rows down to a header that stands below rows with gaps, or 0."""
    for index, row in enumerate(rows[1:], start=1):
        if _is_textual(row, kinds, width) and len(row) == width:
            fuller = sum(bool(cell.strip()) for cell in row)
            if all(sum(bool(c.strip()) for c in above) < 0.7 * fuller for above in rows[:index]):
                return index + 1
            return 0
    return 0


def _kind(body: Sequence[Row], column: int) -> str:
    """Return number, moment or link if most present cells of a column are; else nothing."""
    cells = [row[column].strip() for row in body if column < len(row)]
    present = [cell for cell in cells if not is_nothing(cell)]
    if not present:
        return ""
    for name, test in (("number", is_number), ("moment", is_moment), ("link", is_link)):
        if sum(map(test, present)) >= _TYPED_SHARE * len(present):
            return name
    return ""


def _votes(row: Row, kinds: list[str], width: int) -> tuple[int, int]:
    """Return the typed columns in which a row holds other text, and those in which it fits."""
    other = fits = 0
    shift = 1 if len(row) == width - 1 else 0  # the index column may lack its name
    for column, kind in enumerate(kinds[shift:]):
        cell = row[column].strip() if column < len(row) else b""
        # A column may be called x or missing.
        if not kind or not cell or (is_nothing(cell) and not cell.isalpha()):
            continue
        if is_number(cell) or is_moment(cell) or (kind == "link" and is_link(cell)):
            fits += 1
        else:
            other += 1
    return other, fits


def _is_textual(row: Row, kinds: list[str], width: int) -> bool:
    """Whether a row names columns: where the others have numbers or moments, it has text."""
    other, fits = _votes(row, kinds, width)
    return (other >= fits and other > 0) or _is_sequence(row)


def _is_sequence(row: Row) -> bool:
    """Whether numbers in a row are years in order, or count from 0 or 1, as names do."""
    cells = [cell.strip() for cell in row]
    numbers = [int(cell) for cell in cells if cell.isdigit() and len(cell) < 9]
    rest = [cell for cell in cells if cell and not cell.isdigit()]
    if any(is_number(cell) or is_moment(cell) for cell in rest):
        return False
    if len(numbers) < 3:
        return False
    steps = {later - earlier for earlier, later in pairwise(numbers)}
    if steps == {1} and numbers[0] in (0, 1):
        return True
    rising = all(step > 0 for step in steps) or all(step < 0 for step in steps)
    return rising and all(number in _YEARS for number in numbers)


def _continues(above: Row, row: Row, kinds: list[str]) -> bool:
    """Whether a row below a header is part of it: units, a second row of names, or the same."""
    width = len(kinds)
    if [cell.strip() for cell in row] == [cell.strip() for cell in above]:
        return True
    other, fits = _votes(row, kinds, width)
    if fits or not other:
        return False
    filled = [cell.strip() for cell in row if cell.strip()]
    if all(is_unit(cell) for cell in filled) or (len(filled) == 1 and width > 2):
        return True
    gaps = any(not cell.strip() for cell in above) or any(not cell.strip() for cell in row)
    typed = sum(bool(kind) for kind in kinds)
    return other >= 2 and (gaps or other == typed) and len(row) >= width - 1


def _count_text_header(rows: Sequence[Row], body: Sequence[Row], width: int) -> tuple[int, bool]:
    """Tell a header above columns of text: its cells are names, and in no row below."""
    first = [cell.strip() for cell in rows[0]]
    if not _looks_like_names(first, width):
        return 0, True
    count = 1
    while count < len(rows) - 1 and [cell.strip() for cell in rows[count]] == first:
        count += 1
    below = [
        {row[column].strip() for row in rows[count:] if column < len(row)}
        for column in range(width)
    ]
    if any(cell and cell in cells for cell, cells in zip(first, below, strict=False)):
        return 0, True
    return count, True


def _looks_like_names(row: Row, width: int) -> bool:
    cells = [cell.strip() for cell in row]
    filled = [cell for cell in cells if cell]
    if len(cells) < max(1, width - 1) or len(filled) < max(1, (width + 1) // 2):
        return False
    if len(set(filled)) < len(filled):
        return False
    typed = sum(is_number(cell) or is_moment(cell) or is_link(cell) for cell in filled)
    return typed == 0 and all(len(cell) <= 200 for cell in filled)


def _without_header(rows: Sequence[Row], first: int, width: int) -> Layout:
    for above in (rows[first - 1] if first else (),):
        names = _names_above(above, width)
        if names:
            return Layout(name_columns(names), first, 1)
    return Layout(name_columns([""] * width), first, 0, guessed=True)


def _names_above(row: Row, width: int) -> list[str] | None:
    """Return names from a comment, or a line with another delimiter, right above the data."""
    if not row or width < 2:
        return None
    text = b" ".join(row).lstrip(b"#% ").strip()
    for delimiter in (b",", b";", b"\t", b"|", None):
        cells = [cell.strip().strip(b'"') for cell in text.split(delimiter)]
        if len(cells) == width and _looks_like_names(cells, width):
            return [_decode(cell) for cell in cells]
    return None


def _with_header(rows: Sequence[Row], first: int, count: int, width: int, guessed: bool) -> Layout:
    header = [list(row) for row in rows[first : first + count]]
    body = rows[first + count :]
    units: Row = ()
    if count > 1 and all(is_unit(cell.strip()) for cell in header[-1] if cell.strip()):
        units = header.pop()
    while len(header) > 1 and _is_title(header[0], header[1:]):
        header.pop(0)
    lines = [_fit(row, body, width) for row in header]
    size = max(len(cells) for cells, _ in lines)
    joined = _join([cells + [""] * (size - len(cells)) for cells, _ in lines])
    if joined and joined[0].startswith("#"):
        joined[0] = joined[0].lstrip("#").lstrip()
    names = name_columns(joined)
    told = {
        name: _decode(cell).strip()
        for name, cell in zip(names, units, strict=False)
        if cell.strip()
    }
    return Layout(names, first + count, count, guessed, lines[-1][1], told)


def _is_title(row: Row, below: Sequence[Row]) -> bool:
    longest = max((len(cell.split()) for cell in row), default=0)
    under = max(len(cell.split()) for other in below for cell in other)
    return longest > _MAX_NAME_WORDS >= under


def _fit(row: list[bytes], body: Sequence[Row], width: int) -> tuple[list[str], bool]:
    """Return the names of `width` columns, or of more if the header has more.

    One name too few is that of an index column, unless the rows end with a delimiter.
    """
    names = [_decode(cell).strip() for cell in row]
    while len(names) > width and "" in names:
        names.pop(len(names) - 1 - names[::-1].index(""))  # a delimiter too many
    if len(names) >= width:
        return names, bool(len(names) > 1 and not names[0] and all(names[1:]))
    if len(names) == width - 1 and all(names):
        last = [other[width - 1].strip() for other in body if len(other) >= width]
        if any(last):
            return ["", *names], True
    return names + [""] * (width - len(names)), False


def _join(lines: list[list[str]]) -> list[str]:
    """Join the names of several rows; a gap in an upper row goes on with the name before it."""
    filled = []
    for number, line in enumerate(lines):
        line = list(line)
        if number < len(lines) - 1:
            for column in range(1, len(line)):
                below = any(other[column] for other in lines[number + 1 :])
                if not line[column] and below and line[column - 1]:
                    line[column] = line[column - 1]
        filled.append(line)
    return [" ".join(dict.fromkeys(filter(None, parts))) for parts in zip(*filled, strict=True)]


def _decode(cell: bytes) -> str:
    return cell.decode("utf-8", "replace")
