"""Numbers as people write them: separators, currencies, units, percent, accounting brackets."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from models.data.spelling import PLAIN, Spelling

PLAIN_NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
MAGNITUDES = {"k": 1e3, "m": 1e6, "mn": 1e6, "b": 1e9, "bn": 1e9, "g": 1e9, "t": 1e12}
"""What a suffix multiplies by, in lower case."""

_CURRENCIES = "$€£¥₹₽₩₺₫₪฿₴₦¢"
_CODES = ("USD", "EUR", "GBP", "CHF", "JPY", "CNY", "INR", "AUD", "CAD", "NZD", "SEK", "NOK", "DKK")
_MINUS = "\N{MINUS SIGN}\N{EN DASH}-"  # the last, as it stands in classes of characters
_SPACES = " \N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{THIN SPACE}"
_PLAIN = re.compile(PLAIN_NUMBER, re.ASCII)
_EXPONENT = r"(?:[eE][+-]?\d+)?"
# A number with everything that may stand around it.
_PARTS = re.compile(
    rf"(?P<open>\()?(?P<sign>[+{_MINUS}])?\s*"
    rf"(?P<prefix>[A-Z]{{0,2}}[{_CURRENCIES}]|{'|'.join(_CODES)}|Rs\.?|R\$)?\s*"
    rf"(?P<sign2>[+{_MINUS}])?"
    rf"(?P<core>\d[\d.,'_{_SPACES}]*\d|\d+\.?|[.,]\d+)(?P<exponent>{_EXPONENT})\s*"
    r"(?P<suffix>[^\d\s()+\-.,'_][^\d\s()]{0,9})?(?P<close>\))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class _Parts:
    negative: bool
    core: str  # digits and separators
    exponent: str
    unit: str  # before or behind the number


def _split(text: str) -> _Parts | None:
    """Take a number apart; None for a text that is none."""
    found = _PARTS.fullmatch(text)
    if found is None:
        return None
    part = found.groupdict()
    if bool(part["open"]) != bool(part["close"]) or (part["sign"] and part["sign2"]):
        return None
    if part["open"] and (part["sign"] or part["sign2"]):
        return None
    sign = part["sign"] or part["sign2"] or "+"
    unit = "".join(filter(None, (part["prefix"], part["suffix"])))
    return _Parts(bool(part["open"]) or sign in _MINUS, part["core"], part["exponent"], unit)


def parse_number(text: str, spelling: Spelling = PLAIN) -> float | None:
    """Return the number that a trimmed text spells; None if it spells none.

    The column's own spelling goes first, then the plain one. A number beyond float64 is infinite.
    """
    if spelling.decimal == "." and _PLAIN.fullmatch(text):
        return float(text)
    parts = _split(text)
    factor = None if parts is None else _factor(parts.unit, spelling)
    if parts is None or factor is None:
        return None
    digits = _digits(parts.core, spelling.decimal, spelling.thousands)
    if digits is None:
        if not _PLAIN.fullmatch(parts.core):
            return None
        digits = parts.core
    number = float(digits + parts.exponent) * factor
    return -number if parts.negative else number


def _factor(unit: str, spelling: Spelling) -> float | None:
    """Return what a number with this unit is multiplied by; None for a unit of another column."""
    if not unit:
        return 1.0
    if spelling.magnitudes:
        rest = unit.lower().removeprefix(spelling.unit.lower())
        return MAGNITUDES.get(rest) if rest else 1.0
    return 1.0 if unit.casefold() == spelling.unit.casefold() else None


@lru_cache(maxsize=64)
def _grouped(decimal: str, thousands: str) -> re.Pattern[str]:
    separator = f"[{_SPACES}]" if thousands == " " else re.escape(thousands)
    # Groups of two digits are how India writes 12,34,567.
    groups = rf"\d{{1,3}}(?:{separator}\d{{2,3}})*{separator}\d{{3}}|\d+" if thousands else r"\d+"
    point = re.escape(decimal)
    return re.compile(rf"(?:{groups})?(?:{point}\d*)?", re.ASCII)


def _digits(core: str, decimal: str, thousands: str) -> str | None:
    if not _grouped(decimal, thousands).fullmatch(core):
        return None
    for character in _SPACES if thousands == " " else thousands:
        core = core.replace(character, "")
    return core.replace(decimal, ".")


def number_format(
    counts: Mapping[str, int], decimal: str | None, thousands: str | None, hint: str = "."
) -> Spelling | None:
    """Find how the texts of a column spell numbers; None if none of them is a number.

    `counts` has the rows of each distinct text. `decimal` and `thousands` are given by the user;
    `hint` is the decimal point that decides where 1,234 may be both.
    """
    found = {text: parts for text in counts if (parts := _split(text)) is not None}
    if not found:
        return None
    units: Counter[str] = Counter()
    for text, parts in found.items():
        units[parts.unit] += counts[text]
    spelling = _unit_format(units)
    cores = [parts.core for parts in found.values()]
    if decimal is None and thousands in (".", ","):
        decimal = "," if thousands == "." else "."
    point, separator = _separators(cores, decimal, hint)
    separator = thousands if thousands is not None else separator
    return replace(spelling, decimal=point, thousands=separator)


def _unit_format(units: Counter[str]) -> Spelling:
    named = [unit for unit, _ in units.most_common() if unit]
    if not named:
        return PLAIN
    # "19M" and "201k" in one column are magnitudes; "19M" alone is 19 of some unit.
    currency = next((u[0] for u in named if u[0] in _CURRENCIES), "")
    rests = {unit.lower().removeprefix(currency) for unit in named} - {""}
    if rests and rests <= MAGNITUDES.keys() and (len(rests) > 1 or currency):
        return Spelling(unit=currency, magnitudes=True)
    return Spelling(unit=named[0])


def _separators(cores: Sequence[str], decimal: str | None, hint: str) -> tuple[str, str]:
    """Return the decimal point and the separator of thousands that fit most cores.

    One separator before three digits, as in 1,234, says nothing by itself: the others decide, and
    without any the comma separates thousands, unless `hint` is a comma, and the dot is a point.
    """
    points: Counter[str] = Counter()
    thousands: dict[str, Counter[str]] = {".": Counter(), ",": Counter()}
    unclear: Counter[str] = Counter()
    for core in cores:
        marks = "".join(character for character in core if character in ".,")
        other = next((c for c in core if c in "'_" or c in _SPACES), "")
        last = marks[-1:] or "."
        if len(set(marks)) == 2 or other:
            point = last
        elif len(marks) > 1:
            point = "." if last == "," else ","
        elif marks and _is_unclear(core, last):
            unclear[last] += 1
            continue
        else:
            point = last
        if marks:
            points[point] += 1
        between = other or marks.replace(point, "")[:1]
        if between:
            for each in (point,) if marks else ".,":
                thousands[each][" " if between in _SPACES else between] += 1
    decided = points.most_common(1)[0][0] if points else hint if unclear[","] else "."
    decided = decimal or decided
    between = "," if decided == "." else "."
    if unclear[between]:
        thousands[decided][between] += unclear[between]
    most = thousands[decided].most_common(1)
    return decided, most[0][0] if most else ""


def _is_unclear(core: str, mark: str) -> bool:
    head, tail = core.split(mark)
    return len(tail) == 3 and 1 <= len(head) <= 3 and not head.startswith("0")


def is_plain(text: str) -> bool:
    """Whether a text is a number of digits, with a point, a sign or an exponent at most."""
    return _PLAIN.fullmatch(text) is not None


def is_finite(number: float | None) -> bool:
    """Whether there is a number that float64 can hold."""
    return number is not None and math.isfinite(number)
