"""Dates and times as people write them."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from itertools import islice

from models.data.datetimes import END, FIRST, LAST, parse_iso

EPOCHS = {"epoch_seconds": 1.0, "epoch_milliseconds": 1e-3}
"""Formats of numbers that count from 1970-01-01 UTC, and the seconds of one."""

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DIRECTIVES = {
    "Y": r"(?P<Y>\d{4})",
    "y": r"(?P<y>\d{2})",
    "m": r"(?P<m>\d{1,2})",
    "d": r"(?P<d>\d{1,2})",
    "b": r"(?P<b>jan|feb|mar|apr|may|jun|jul|aug|sept?|oct|nov|dec)[a-z]{0,6}\.?",
    "a": r"(?:mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6}\.?",
    "H": r"(?P<H>\d{1,2})",
    "I": r"(?P<H>\d{1,2})",
    "M": r"(?P<M>\d{2})",
    "S": r"(?P<S>\d{2})",
    "f": r"(?P<f>\d{1,9})",
    "p": r"(?P<p>[ap]\.?m\.?)",
    "z": r"(?P<z>z|utc|gmt|[+-]\d{2}:?\d{2}|[+-]\d{2})",
    "%": "%",
}
_ALIASES = {"B": "b", "A": "a", "Z": "z"}
_TIME = (
    r"(?P<H>\d{1,2}):(?P<M>\d{2})(?::(?P<S>\d{2})(?:[.,](?P<f>\d{1,9}))?)?"
    r"(?:\s*(?P<p>[ap]\.?m\.?))?(?:\s*(?P<z>z|utc|gmt|[+-]\d{2}:?\d{2}|[+-]\d{2}))?"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PROBED = 200  # distinct texts that a format is tried on first
_PIVOT = 69  # two-digit years from here on are of the 20th century, as in POSIX

# In the order in which they are preferred where several fit.
FORMATS = (
    *("", "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y"),
    *("%d-%m-%Y", "%m-%d-%Y"),
    *("%d.%m.%y", "%m/%d/%y", "%d/%m/%y", "%d-%m-%y", "%m-%d-%y", "%m.%d.%Y"),
    *("%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%d %b %y", "%d. %b %Y", "%d/%b/%Y", "%d%b%Y"),
    *("%b %d, %Y", "%b %d %Y", "%b-%d-%Y", "%a, %d %b %Y", "%a, %b %d, %Y", "%a %b %d %H:%M:%S %Y"),
    *("%Y-%b-%d", "%Y %b %d", "%b-%Y", "%b %Y", "%b, %Y", "%b-%y", "%Y-%b", "%Y-%m", "%m/%Y"),
    *("%d/%b/%Y:%H:%M:%S %z", "%H:%M"),
)
_SWAPPED = {"%m/%d": "%d/%m", "%d/%m": "%m/%d", "%d-%m": "%m-%d", "%m-%d": "%d-%m"}


@lru_cache(maxsize=128)
def _pattern(text: str) -> re.Pattern[str]:
    """Compile a format; a date without a time may be followed by one.

    Raises ValueError for a directive that is not read.
    """
    parts, rest = [], iter(text)
    for character in rest:
        if character != "%":
            parts.append(r"\s+" if character.isspace() else re.escape(character))
            continue
        directive = next(rest, "")
        directive = _ALIASES.get(directive, directive)
        if directive not in _DIRECTIVES:
            known = ", ".join(f"%{name}" for name in (*_DIRECTIVES, *_ALIASES))
            message = f"{text!r} holds %{directive}, which is not one of {known}."
            raise ValueError(message)
        parts.append(_DIRECTIVES[directive])
    if text == "%H:%M":
        parts = [_TIME]
    elif "%H" not in text and "%I" not in text:
        parts.append(rf"(?:(?:\s*[T,]\s*|\s+){_TIME})?")
    try:
        return re.compile("".join(parts), re.IGNORECASE | re.ASCII)
    except re.error:
        raise ValueError(f"{text!r} names a part twice.") from None


def check_format(text: str) -> None:
    """Raise ValueError for a format that `parse_date` does not read."""
    if text not in EPOCHS:
        _pattern(text)


def parse_date(text: str, dates: str = "") -> float | None:
    """Return the seconds since 1970-01-01 UTC that a trimmed text spells; None if it spells none.

    `dates` is a format of FORMATS, another one for `strptime`, or one of EPOCHS. ISO 8601 is read
    in any case. Without an offset a moment is UTC; a time of day lies on 1970-01-01.
    """
    seconds = _parse_epoch(text, dates) if dates in EPOCHS else _parse(text, dates)
    if seconds is None:
        try:
            seconds = parse_iso(text)
        except ValueError:
            return None
    # The last microseconds of the year 9999 round up to the year 10000 in float64.
    return min(seconds, LAST) if FIRST <= seconds <= END else None


def _parse_epoch(text: str, dates: str) -> float | None:
    try:
        return round(float(text) * EPOCHS[dates], 6)
    except ValueError:
        return None


def _parse(text: str, dates: str) -> float | None:
    found = _pattern(dates).fullmatch(text) if dates else None
    if found is None:
        return None
    part = found.groupdict()
    hour = int(part.get("H") or 0)
    if part.get("p"):
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + 12 * (part["p"][0] in "pP")
    month = part.get("m") or (_month(part["b"]) if part.get("b") else 1)
    fraction = (part.get("f") or "0")[:6].ljust(6, "0")
    try:
        moment = datetime(
            _year(part),
            int(month),
            int(part.get("d") or 1),
            hour,
            int(part.get("M") or 0),
            int(part.get("S") or 0),
            int(fraction),
            _zone(part.get("z")),
        )
        return (moment - _EPOCH) / timedelta(seconds=1)
    except (ValueError, OverflowError):
        return None


def _month(name: str) -> int:
    return _MONTHS.index(name[:3].lower()) + 1


def _year(part: Mapping[str, str | None]) -> int:
    if part.get("Y"):
        return int(part["Y"] or 0)
    if part.get("y"):
        year = int(part["y"] or 0)
        return year + (1900 if year >= _PIVOT else 2000)
    return 1970


def _zone(text: str | None) -> timezone:
    if text is None or not text.startswith(("+", "-")):
        return UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if text.startswith("-") else offset)


def date_format(counts: Mapping[str, int], share: float) -> tuple[str, str | None] | None:
    """Find the format that at least `share` of the rows of some texts fit.

    `counts` has the rows of each distinct text. Returns the format and, where day and month may
    as well be swapped, the other format that fits all the same rows; None if no format fits.
    """
    probe = dict(islice(counts.items(), _PROBED))
    shares = {dates: _share(probe, dates) for dates in FORMATS}
    likely = [dates for dates in FORMATS if shares[dates] >= share / 2]
    shares = {dates: _share(counts, dates) for dates in likely}
    fitting = [dates for dates in likely if shares[dates] >= share]
    if not fitting:
        return None
    best = max(fitting, key=lambda dates: shares[dates])
    swapped = _SWAPPED.get(best[:5])
    other = None if swapped is None else swapped + best[5:]
    return best, other if other and shares.get(other, 0.0) == shares[best] else None


def _share(counts: Mapping[str, int], dates: str) -> float:
    fitting = sum(n for text, n in counts.items() if _fits(text, dates))
    return fitting / max(1, sum(counts.values()))


def _fits(text: str, dates: str) -> bool:
    if dates:
        return _parse(text, dates) is not None
    return parse_date(text) is not None
