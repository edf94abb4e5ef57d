"""The type and spelling of a column, found out from its texts."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from models.data.cells.dates import date_format
from models.data.cells.numbers import is_finite, is_plain, number_format, parse_number
from models.data.cells.reader import FALSE_WORDS, TRUE_WORDS, WORD_PAIRS, cell_reader, shown
from models.data.columns import ColumnType
from models.data.spelling import MISSING_BESIDE_NUMBERS, PLAIN, Spelling
from models.data.table import ReadOptions
from models.data.warnings import DataWarning, WarningCode

MOSTLY = 0.95  # share of the present cells that makes a column one of numbers or datetimes
MIN_IDENTIFIER = 20  # more different texts than these, and
IDENTIFIER_SHARE = 0.9  # at least this share of different cells, make an identifier
MIN_WORDS = 4  # at least so many words a cell on average make free text, if
TEXT_SHARE = 0.5  # at least this share of the cells differ
_EXAMPLES = 3

_ZERO_PADDED = re.compile(r"[+-]?0\d+")
# Names of columns that number the rows, and of those that only do so where they count by one.
_IDENTIFIER = re.compile(r"(^|[\W_])(id|ID|Id|uuid|UUID)$|[a-z]I[dD]$")
_INDEX = re.compile(r"^(Unnamed: 0|column_1|[Ii]ndex|[Ii]dx|rownames|row(_?(num|number|id))?)$")


@dataclass(frozen=True, slots=True)
class Guess:
    """The type of a column, the spelling of its cells, and what a user should know of both."""

    type: ColumnType
    spelling: Spelling = PLAIN
    reason: str = ""  # why it is ignored
    warnings: tuple[DataWarning, ...] = ()


def infer(name: str, counts: Mapping[str, int], options: ReadOptions, hint: str) -> Guess:
    """Find the type of a column whose distinct texts, without missing ones, are `counts`.

    Text is a boolean, numbers, datetimes, free text, an identifier or categories: the first of
    these that it fits. Numbers and datetimes may have a few cells that are none. `hint` is the
    decimal point of the file, if it is known.
    """
    base = Spelling(missing=options.na_values)
    if not counts:
        return Guess(ColumnType.IGNORED, base, "Every cell is missing.")
    words = _words(counts)
    if words is not None:
        return Guess(ColumnType.BOOLEAN, replace(base, words=_own(words)))
    present = _present(counts)
    if name in options.date_formats:
        return fit(name, ColumnType.DATETIME, counts, options, hint)
    return (
        _numbers(name, present, base, options, hint)
        or _dates(name, present, base)
        or _texts(name, counts, base)
    )


def fit(
    name: str, kind: ColumnType, counts: Mapping[str, int], options: ReadOptions, hint: str
) -> Guess:
    """Find how the distinct texts of a column spell values of a type that is given."""
    base = Spelling(missing=options.na_values)
    present = _present(counts)
    match kind:
        case ColumnType.NUMBER:
            found = number_format(present, options.decimal, options.thousands, hint)
            return Guess(kind, replace(found or PLAIN, missing=base.missing))
        case ColumnType.BOOLEAN:
            return Guess(kind, replace(base, words=_own(_words(counts))))
        case ColumnType.DATETIME:
            asked = options.date_formats.get(name)
            if asked is None and all(parse_number(text) is not None for text in present):
                return Guess(kind, replace(base, dates="epoch_seconds"))
            best = None if asked is not None else date_format(present, 0.5)
            return Guess(kind, replace(base, dates=asked or (best[0] if best else "")))
    return Guess(kind, base)


def identify(name: str, guess: Guess, values: np.ndarray[Any, Any]) -> Guess:
    """Ignore whole numbers that only number the rows: an index, or an id that never repeats."""
    is_index = _INDEX.search(name) and (np.diff(values) == 1).all()
    if len(values) <= MIN_IDENTIFIER or not (is_index or _IDENTIFIER.search(name)):
        return guess
    if not (values == np.floor(values)).all() or len(np.unique(values)) < len(values):
        return guess
    reason = f"It is named {name!r} and has another whole number in each row: an identifier."
    told = DataWarning(
        WarningCode.IDENTIFIER, reason + " It is ignored; give it a type to use it.", name
    )
    return replace(guess, type=ColumnType.IGNORED, reason=reason, warnings=(*guess.warnings, told))


def _present(counts: Mapping[str, int]) -> dict[str, int]:
    """Leave out the texts that mean "no value" beside numbers and datetimes."""
    return {t: n for t, n in counts.items() if t.lower() not in MISSING_BESIDE_NUMBERS}


def _words(counts: Mapping[str, int]) -> tuple[str, str] | None:
    """Return how a column spells false and true, each the most frequent way; None for others."""
    lower = {text.casefold() for text in counts}
    if len(counts) > 8 or not lower & {*TRUE_WORDS, *FALSE_WORDS} - {"0", "1"}:
        return None
    for false, true in WORD_PAIRS:
        if lower <= {false, true}:
            spelled = [_most_frequent(counts, word) for word in (false, true)]
            return spelled[0], spelled[1]
    return None


def _own(words: tuple[str, str] | None) -> tuple[str, str] | None:
    """Return the words that labels keep: those of JSON stay booleans."""
    is_plain = words is None or [word.lower() for word in words] == ["false", "true"]
    return None if is_plain else words


def _most_frequent(counts: Mapping[str, int], word: str) -> str:
    spellings = {text: n for text, n in counts.items() if text.casefold() == word}
    return max(spellings, key=lambda text: spellings[text]) if spellings else word


def _numbers(
    name: str, present: Mapping[str, int], base: Spelling, options: ReadOptions, hint: str
) -> Guess | None:
    found = number_format(present, options.decimal, options.thousands, hint) if present else None
    if found is None:
        return None
    values = {text: parse_number(text, found) for text in present}
    bad = {text: present[text] for text, number in values.items() if not is_finite(number)}
    if _share(bad, present) > 1 - MOSTLY:
        return None
    if any(_ZERO_PADDED.fullmatch(text) for text in present):
        # 007 is a code; the number 7 would lose its zeros.
        return _texts(name, present, base, is_code=True)
    spelling = replace(found, missing=base.missing, lenient=bool(bad))
    warnings = []
    odd = {text: n for text, n in values.items() if text not in bad and not is_plain(text)}
    if odd:
        text, number = next(iter(odd.items()))
        message = f"Its texts are read as numbers: {shown(text)} is {number:.15g}."
        warnings.append(DataWarning(WarningCode.NUMBER_TEXT, message, name))
    if bad:
        warnings.append(_mostly(WarningCode.MOSTLY_NUMBER, "numbers", name, bad, present))
    return Guess(ColumnType.NUMBER, spelling, "", tuple(warnings))


def _dates(name: str, present: Mapping[str, int], base: Spelling) -> Guess | None:
    found = date_format(present, MOSTLY) if present else None
    if found is None:
        return None
    dates, other = found
    read = cell_reader(ColumnType.DATETIME, Spelling(dates=dates, lenient=True))
    bad = {text: n for text, n in present.items() if read(text) is None}
    spelling = replace(base, dates=dates, lenient=bool(bad))
    warnings = []
    if other is not None:
        message = (
            f"Read as {dates}, but {other} fits as well; "
            f"override it with options.date_formats, such as {{{shown(name)}: {shown(other)}}}."
        )
        warnings.append(DataWarning(WarningCode.AMBIGUOUS_DATE, message, name, None))
    if bad:
        warnings.append(_mostly(WarningCode.MOSTLY_DATE, "datetimes", name, bad, present))
    return Guess(ColumnType.DATETIME, spelling, "", tuple(warnings))


def _mostly(
    code: WarningCode, kind: str, name: str, bad: Mapping[str, int], present: Mapping[str, int]
) -> DataWarning:
    rows = sum(bad.values())
    some = ", ".join(shown(text) for text in list(bad)[:_EXAMPLES])
    more = ", …" if len(bad) > _EXAMPLES else ""
    message = (
        f"{rows:,} of {sum(present.values()):,} cells are no {kind} and count as missing:"
        f" {some}{more}. Give the column the type category to keep them."
    )
    return DataWarning(code, message, name, rows)


def _texts(name: str, counts: Mapping[str, int], base: Spelling, is_code: bool = False) -> Guess:
    rows, distinct = sum(counts.values()), len(counts)
    many, share = distinct > MIN_IDENTIFIER, distinct / rows
    words = sum(n * len(text.split()) for text, n in counts.items()) / rows
    if many and share >= TEXT_SHARE and words >= MIN_WORDS and not is_code:
        return Guess(ColumnType.TEXT, base)
    if many and share >= IDENTIFIER_SHARE:
        reason = f"{distinct:,} of {rows:,} texts are different: an identifier."
        warning = DataWarning(
            WarningCode.IDENTIFIER, reason + " It is ignored; give it a type to use it.", name, None
        )
        return Guess(ColumnType.IGNORED, base, reason, (warning,))
    return Guess(ColumnType.CATEGORY, base)


def _share(some: Mapping[str, int], all_: Mapping[str, int]) -> float:
    return sum(some.values()) / max(1, sum(all_.values()))
