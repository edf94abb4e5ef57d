"""One reader of cells: for uploads, inline rows and predictions alike."""

import json
import math
import unicodedata
from collections.abc import Callable
from typing import Any

from models.data.cells.dates import EPOCHS, parse_date
from models.data.cells.numbers import is_plain, parse_number
from models.data.columns import NUL, ColumnType
from models.data.datetimes import END, FIRST, LAST
from models.data.spelling import MISSING_BESIDE_NUMBERS, MISSING_TEXTS, PLAIN, Spelling

Reader = Callable[[object], float | str | None]

TRUE_WORDS = ("true", "yes", "y", "t", "on", "ja", "oui", "si", "sí", "sim", "1")
FALSE_WORDS = ("false", "no", "n", "f", "off", "nein", "non", "não", "nao", "0")
WORD_PAIRS = (
    *(("false", "true"), ("no", "yes"), ("n", "y"), ("f", "t"), ("off", "on"), ("nein", "ja")),
    *(("non", "oui"), ("no", "si"), ("no", "sí"), ("não", "sim"), ("nao", "sim")),
)
"""The words, in lower case, that a column of booleans spells false and true with."""


class CellError(ValueError):
    """A cell that its column does not allow; the message completes "<cell> …"."""


def cell_reader(kind: ColumnType, spelling: Spelling | None = None) -> Reader:
    """Return the function that turns any spelling of a cell of a column into its value.

    It takes text, int, float, bool or None and returns a float, a str or None for a missing cell,
    in the form of `ColumnType`; a boolean is 0.0 or 1.0. It raises CellError for a cell that the
    column does not allow.
    """
    return _READERS[kind](spelling or PLAIN)


def missing_numbers(spelling: Spelling) -> frozenset[float]:
    """Return the numbers that mean "no value" in a column, such as -999."""
    return frozenset(float(text) for text in spelling.missing if is_plain(text))


def normalized(text: str) -> str:
    """Return a text without blanks around it and in the normal form NFC of Unicode."""
    text = text.strip()
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def as_text(cell: float) -> str:
    """Return a number as text; whole ones read alike whether a client writes 1 or 1.0."""
    whole = isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15
    return repr(int(cell)) if whole else repr(cell)


def shown(value: object, limit: int = 40) -> str:
    """Return `value` as JSON, cut to `limit` characters, for a message."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
        text = json.dumps(value, default=str)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _number_reader(spelling: Spelling) -> Reader:
    missing = _missing(spelling, MISSING_BESIDE_NUMBERS)
    absent = missing_numbers(spelling)

    def read(cell: object) -> float | None:
        if isinstance(cell, str):
            text = normalized(cell)
            if text in missing or text.lower() in missing:
                return None
            number = parse_number(text, spelling)
            if number is None or not math.isfinite(number):
                if spelling.lenient:
                    return None
                raise CellError("is not a number" if number is None else _TOO_LARGE)
        else:
            number = _finite(cell)
        return None if number in absent else number

    return read


def _datetime_reader(spelling: Spelling) -> Reader:
    missing = _missing(spelling, MISSING_BESIDE_NUMBERS)
    unit = EPOCHS.get(spelling.dates, 1.0)

    def read(cell: object) -> float | None:
        if isinstance(cell, str):
            text = normalized(cell)
            if text in missing or text.lower() in missing:
                return None
            seconds = parse_date(text, spelling.dates)
            if seconds is not None or spelling.lenient:
                return seconds
            raise CellError(_NO_DATE)
        if isinstance(cell, bool):
            raise CellError("is a boolean, not a datetime")
        number = _finite(cell)
        if number is None:
            return None
        seconds = round(number * unit, 6)
        if not FIRST <= seconds <= END:
            raise CellError("lies outside the years 1 to 9999")
        return min(seconds, LAST)

    return read


def _boolean_reader(spelling: Spelling) -> Reader:
    missing = _missing(spelling)
    values = dict.fromkeys(FALSE_WORDS, 0.0) | dict.fromkeys(TRUE_WORDS, 1.0)
    if spelling.words:
        values |= {word.casefold(): float(i) for i, word in enumerate(spelling.words)}

    def read(cell: object) -> float | None:
        if isinstance(cell, str):
            text = normalized(cell)
            if text in missing:
                return None
            found = values.get(text.casefold())
        elif cell is None or (isinstance(cell, float) and math.isnan(cell)):
            return None
        else:
            found = values.get(as_text(cell)) if isinstance(cell, int | float) else None
            found = float(cell) if isinstance(cell, bool) else found
        if found is None:
            raise CellError("is not " + _either(spelling))
        return found

    return read


def _text_reader(spelling: Spelling) -> Reader:
    missing = _missing(spelling)

    def read(cell: object) -> str | None:
        if isinstance(cell, str):
            text = normalized(cell)
            if NUL in text:
                raise CellError("holds the character U+0000")
            if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
                raise CellError("holds half a surrogate pair, which is not text")
            return None if text in missing else text
        if cell is None or (isinstance(cell, float) and math.isnan(cell)):
            return None
        if not isinstance(cell, int | float):
            raise CellError("is not text")
        text = str(cell).lower() if isinstance(cell, bool) else as_text(cell)
        return None if text in missing else text

    return read


_READERS: dict[ColumnType, Callable[[Spelling], Reader]] = {
    ColumnType.NUMBER: _number_reader,
    ColumnType.DATETIME: _datetime_reader,
    ColumnType.BOOLEAN: _boolean_reader,
    ColumnType.CATEGORY: _text_reader,
    ColumnType.TEXT: _text_reader,
    ColumnType.IGNORED: _text_reader,
}
_TOO_LARGE = "is infinite or too large"
_NO_DATE = "is not a date or time such as 2024-05-31 or 2024-05-31T14:30:00Z"


def _missing(spelling: Spelling, more: frozenset[str] = frozenset()) -> frozenset[str]:
    return more.union(MISSING_TEXTS, spelling.missing)


def _finite(cell: Any) -> float | None:
    """Return a number as float, None for NaN and None."""
    if cell is None:
        return None
    if not isinstance(cell, int | float):
        raise CellError("is not a number")
    try:
        number = float(cell)
    except OverflowError:
        raise CellError(_TOO_LARGE) from None
    if math.isinf(number):
        raise CellError(_TOO_LARGE)
    return None if math.isnan(number) else number


def _either(spelling: Spelling) -> str:
    words = spelling.words or ("false", "true")
    return f"{words[1]} or {words[0]}"
