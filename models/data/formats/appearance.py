"""What a cell looks like, before its column is typed: a number, a moment, nothing, or words."""

import re

from models.data.spelling import MISSING_BESIDE_NUMBERS, MISSING_TEXTS

_NUMBER = re.compile(
    rb"[-+(]?\s?(?:[$\xc2\xa3\xe2\x82\xac]{1,3}|USD|EUR)?\s?[-+]?"
    rb"(?:\d{1,3}(?:[,.' ]\d{3})+(?:[.,]\d+)?|\d+(?:[.,]\d*)?|[.,]\d+)(?:[eEdD][-+]?\d+)?"
    rb"\s?(?:%|\)|\xe2\x82\xac|[$])?"
)
_MOMENT = re.compile(
    rb"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[T ]+\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?)?"
    rb"(?:\s?[AaPp][Mm])?(?:Z|\s?[-+]\d{2}:?\d{2})?"
    rb"|\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?:\s?[AaPp][Mm])?"
    rb"|\d{1,2}[- ][A-Za-z]{3,9}[- ,]+\d{2,4}|[A-Za-z]{3,9}[- ]\d{2,4}"
)
_NOTHING = frozenset(
    text.lower().encode() for text in (*MISSING_TEXTS, *MISSING_BESIDE_NUMBERS, "inf", "-inf", "x")
)
_LONGEST = 1 + max(map(len, _NOTHING))
_WORD = re.compile(rb"[\w\x80-\xff][\w\x80-\xff .\-/&()+%#']*")
_LINK = re.compile(rb"[a-z]+://\S+|[\w.+-]+@[\w-]+\.[\w.]+", re.IGNORECASE)
_BASE_UNIT = (
    rb"(?:[kcmMGnd]|\xc2\xb5|u|h)?(?:m|s|g|A|K|V|W|Hz|J|N|Pa|L|l|mol|eV|Wh|B|bit|bar|Bq|rad)"
    rb"|min|h|hr?s?|sec|d|day|days|years?|yr|deg|in|ft|mi|mph|lbs?|oz|gal|ha|t|%|ppm|ppb|dB"
    rb"|\xc2\xb0[CFK]?|C|F|EUR|USD|GBP|\xe2\x82\xac|\$|counts?|cps|rpm|psi|kt|knots|au|a\.u\.|-"
)
_UNIT = re.compile(
    rb"[\[(][^\])]*[\])]|(?:%b)(?:\^?-?[1-4]|\xc2[\xb2\xb3])?"
    rb"(?:[/*. ](?:%b)(?:\^?-?[1-4]|\xc2[\xb2\xb3])?){0,3}" % (_BASE_UNIT, _BASE_UNIT)
)
_STRONG = re.compile(rb"[\t;|\x01\x1f]")


def is_number(cell: bytes) -> bool:
    """Whether a trimmed cell is a number in any common spelling, also of money or percent."""
    return cell[-1:] != b"," and _NUMBER.fullmatch(cell) is not None


def is_moment(cell: bytes) -> bool:
    """Whether a trimmed cell is a date or a time of day in any common spelling."""
    return _MOMENT.fullmatch(cell) is not None


def is_nothing(cell: bytes) -> bool:
    """Whether a trimmed cell is empty or says that there is no value."""
    return not cell or (len(cell) < _LONGEST and cell.lower() in _NOTHING)


def is_link(cell: bytes) -> bool:
    """Whether a trimmed cell is a URL or an e-mail address."""
    return _LINK.fullmatch(cell) is not None


def is_unit(cell: bytes) -> bool:
    """Whether a trimmed cell may be a unit: in brackets, or one such as `m/s` or `°C`."""
    return len(cell) <= 20 and _UNIT.fullmatch(cell) is not None and not cell.isdigit()


def is_value(cell: bytes) -> float:
    """Return from 0 to 1 how much a cell looks like one value rather than several, or a part."""
    cell = cell.strip()
    if is_nothing(cell) or is_number(cell) or is_moment(cell):
        return 1.0
    if is_link(cell):
        return 0.95
    if len(cell) < 200 and _WORD.fullmatch(cell):
        return 0.9
    if cell[:1] == b'"' or cell[-1:] == b'"':
        return 0.1
    return 0.3 if _STRONG.search(cell) else 0.7
