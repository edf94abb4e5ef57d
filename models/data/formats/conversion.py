"""Arrow columns to a dataset: the type of each is inferred, and its cells are converted."""

import difflib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from models.data.columns import MISSING_TEXTS, NUL, NUL_RULE, Column, ColumnType, measure
from models.data.dataset import Dataset
from models.data.datetimes import END, FIRST, ISO
from models.errors import Invalid

Values = np.ndarray[Any, Any]

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_INFINITE = r"^[+-]?(?i:inf|infinity)$"
_TRUE_TEXTS = ("true", "yes")
_FALSE_TEXTS = ("false", "no")
_IDENTIFIER_DISTINCT = 20  # more different texts than these, and
_IDENTIFIER_SHARE = 0.9  # at least this share of different cells, make an identifier
_PROSE_LENGTH = 40  # more characters a cell on average, and
_PROSE_SHARE = 0.5  # at least this share of different cells, make free text

_ZERO_PADDED = r"^[+-]?0\d"
_PROBE = 100  # cells that are checked before all are


def to_dataset(cells: Mapping[str, Any], types: Mapping[str, str] | None) -> Dataset:
    """Make a dataset of columns by name, each an Arrow array or a NumPy array of images.

    A column named in `types` gets that type, any other the inferred one. Raises Invalid at
    `types.<column>` or `file`; row numbers in messages count from 1, without the header.
    """
    given = _check_types(cells, types or {})
    columns: list[Column] = []
    values: dict[str, Values] = {}
    for name, column_cells in cells.items():
        if NUL in name:
            raise Invalid.at("file", f"The name of column {name!r}: {NUL_RULE}")
        column, values[name] = _convert(name, column_cells, given.get(name))
        columns.append(column)
    return Dataset(tuple(columns), values)


def _check_types(cells: Mapping[str, Any], types: Mapping[str, str]) -> dict[str, ColumnType]:
    errors: dict[str, list[str]] = {}
    given: dict[str, ColumnType] = {}
    for name, text in types.items():
        is_image = isinstance(cells.get(name), np.ndarray)
        if name not in cells:
            close = difflib.get_close_matches(name, cells, 1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            errors[f"types.{name}"] = [f"There is no such column.{hint}"]
        elif text not in list(ColumnType):
            errors[f"types.{name}"] = [f"{text!r} is not one of {', '.join(ColumnType)}."]
        elif is_image != (text == ColumnType.IMAGE):
            errors[f"types.{name}"] = ["Images, and only they, come as arrays of 3 or 4 axes."]
        else:
            given[name] = ColumnType(text)
    if errors:
        raise Invalid(errors)
    return given


def _convert(name: str, cells: Any, given: ColumnType | None) -> tuple[Column, Values]:
    if isinstance(cells, np.ndarray):
        return measure(name, ColumnType.IMAGE, cells), cells
    cells = _plain(name, cells)
    column_type, reason = (given, "") if given else _infer(cells)
    path = f"types.{name}" if given else "file"
    try:
        if column_type.is_text:
            values = _texts(cells)
        elif column_type is ColumnType.BOOLEAN:
            values = _booleans(cells)
        elif column_type is ColumnType.DATETIME:
            values = _datetimes(cells)
        else:
            values = _numbers(cells)
    except _BadCell as error:
        message = f"Row {error.row + 1} holds {error.value!r}, which {error.complaint}."
        where = "" if given else f"Column {name!r}: "
        raise Invalid.at(path, where + message) from None
    return measure(name, column_type, values, reason), values


def _infer(cells: Any) -> tuple[ColumnType, str]:
    """Infer the type of an Arrow array of text, number, boolean or timestamp.

    Returns also the reason why a column is ignored. Text is a boolean (true, false, yes, no), a
    number, an ISO 8601 datetime or a category: the first of these that every present cell fits. A
    zero-padded number (`007`) is a code, thus a category. Text that differs in nearly every row is
    ignored, as no network learns from it.
    """
    present = cells.drop_null()
    if len(present) == 0:
        return ColumnType.IGNORED, "Every cell is missing."
    if pa.types.is_boolean(cells.type):
        return ColumnType.BOOLEAN, ""
    if pa.types.is_timestamp(cells.type):
        return ColumnType.DATETIME, ""
    if not pa.types.is_string(cells.type):
        return ColumnType.NUMBER, ""
    return _infer_text(present)


def _all_match(cells: Any, pattern: str) -> bool:
    """Whether every cell of a text array without nulls matches the regular expression."""
    for part in (cells[:_PROBE], cells):
        if not pc.all(pc.match_substring_regex(part, pattern), min_count=0).as_py():
            return False
    return True


def _parse_datetimes(cells: Any) -> Any:
    """Parse text to Arrow timestamps in microseconds; null for other texts."""
    fits = pc.match_substring_regex(cells, f"^{ISO}$")
    texts = pc.if_else(fits, cells, None)
    texts = pc.replace_substring_regex(texts, r"(\.\d{6})\d+", r"\1")
    parsed = pd.to_datetime(
        pd.Series(texts.to_numpy(zero_copy_only=False)), format="ISO8601", utc=True, errors="coerce"
    )
    return pa.array(parsed.dt.as_unit("us"), from_pandas=True)


def _infer_text(present: Any) -> tuple[ColumnType, str]:
    booleans = pa.array(_TRUE_TEXTS + _FALSE_TEXTS)
    if pc.all(pc.is_in(pc.utf8_lower(present), booleans)).as_py():
        return ColumnType.BOOLEAN, ""
    if _all_match(present, f"{_NUMBER}|{_INFINITE}"):
        padded = pc.any(pc.match_substring_regex(present, _ZERO_PADDED)).as_py()
        return (ColumnType.CATEGORY if padded else ColumnType.NUMBER), ""
    if _all_match(present, f"^{ISO}$") and _parse_datetimes(present).null_count == 0:
        return ColumnType.DATETIME, ""
    return _category_or_ignored(present)


def _category_or_ignored(present: Any) -> tuple[ColumnType, str]:
    distinct = pc.count_distinct(present).as_py()
    share = distinct / len(present)
    if distinct > _IDENTIFIER_DISTINCT and share >= _IDENTIFIER_SHARE:
        reason = f"{distinct} of {len(present)} texts are different: an identifier or free text."
        return ColumnType.IGNORED, reason
    length = pc.mean(pc.utf8_length(present)).as_py()
    if distinct > _IDENTIFIER_DISTINCT and share >= _PROSE_SHARE and length > _PROSE_LENGTH:
        return ColumnType.IGNORED, f"Texts of {length:.0f} characters on average: free text."
    return ColumnType.CATEGORY, ""


class _BadCell(Exception):
    def __init__(self, cells: Any, bad: Values, complaint: str) -> None:
        self.row = int(np.argmax(bad))
        self.value = _shown(cells[self.row])
        self.complaint = complaint


def _shown(cell: Any) -> Any:
    try:
        return cell.as_py()
    except OverflowError:  # Python's own moments end with the year 9999
        return f"{cell.value} µs since 1970"


def _plain(name: str, cells: Any) -> Any:
    """Return one Arrow array of text, number, boolean or UTC timestamp, null for missing cells."""
    if isinstance(cells, pa.ChunkedArray):
        cells = cells.combine_chunks()
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    kind = cells.type
    if pa.types.is_null(kind) or is_text(kind):
        texts = cells.cast(pa.string())
        missing = pc.is_in(texts, pa.array(MISSING_TEXTS))
        return pc.if_else(missing, None, texts)
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        return cells
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        numbers = cells.cast(pa.float64())
        return pc.if_else(pc.is_nan(numbers), None, numbers)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _microseconds(name, cells)
    raise Invalid.at("file", f"Column {name!r} holds {kind} values, which are not read here.")


def _microseconds(name: str, cells: Any) -> Any:
    """Convert datetimes to microseconds; finer parts are cut off."""
    wanted = pa.timestamp("us", getattr(cells.type, "tz", None))
    try:
        return cells.cast(options=pc.CastOptions(wanted, allow_time_truncate=True))
    except pa.ArrowInvalid:
        raise Invalid.at(
            "file", f"Column {name!r} holds a moment that lies outside the years 1 to 9999."
        ) from None


def is_text(kind: Any) -> bool:
    """Whether an Arrow type is one of text."""
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _texts(cells: Any) -> Values:
    texts = cells.cast(pa.string())
    _require(cells, pc.invert(pc.match_substring(texts, NUL)), "holds the character U+0000")
    values: Values = texts.to_numpy(zero_copy_only=False)
    return values


def _numbers(cells: Any) -> Values:
    if pa.types.is_string(cells.type):
        fits = pc.match_substring_regex(cells, f"{_NUMBER}|{_INFINITE}")
        _require(cells, fits, "is not a number")
        numbers = cells.cast(pa.float64())
    elif pa.types.is_timestamp(cells.type):
        raise _BadCell(cells, _mask(pc.is_valid(cells)), "is a datetime, not a number")
    elif pa.types.is_boolean(cells.type):
        numbers = cells.cast(pa.int8()).cast(pa.float64())
    else:
        numbers = cells.cast(pa.float64(), safe=False)
    _require(cells, pc.is_finite(numbers), "is infinite or too large")
    return _floats(numbers)


def _booleans(cells: Any) -> Values:
    if pa.types.is_boolean(cells.type):
        return _floats(cells.cast(pa.int8()))
    if pa.types.is_string(cells.type):
        lower = pc.utf8_lower(cells)
    elif pa.types.is_timestamp(cells.type):
        raise _BadCell(cells, _mask(pc.is_valid(cells)), "is a datetime, not a boolean")
    else:
        lower = cells.cast(pa.string())
    true = _is_one_of(lower, (*_TRUE_TEXTS, "1"))
    false = _is_one_of(lower, (*_FALSE_TEXTS, "0"))
    _require(cells, pc.or_(true, false), "is not true, false, yes, no, 1 or 0")
    return _floats(true.cast(pa.int8()))


def _datetimes(cells: Any) -> Values:
    if pa.types.is_string(cells.type) and _all_match(cells.drop_null(), _NUMBER):
        moments = cells.cast(pa.float64())
    elif pa.types.is_string(cells.type):
        moments = _parse_datetimes(cells)
        _require(cells, pc.or_(pc.is_valid(moments), pc.is_null(cells)), "is not an ISO 8601 date")
    elif pa.types.is_boolean(cells.type):
        raise _BadCell(cells, _mask(pc.is_valid(cells)), "is a boolean, not a datetime")
    else:
        moments = cells
    if pa.types.is_timestamp(moments.type):
        seconds = _floats(moments.cast(pa.int64())) / 1e6
    else:
        # To the microsecond, as they are shown: less than that before midnight is another day.
        with np.errstate(over="ignore"):  # what becomes infinite lies outside anyway
            seconds = _floats(moments).round(6)
    outside = (seconds < FIRST) | (seconds > END)
    if outside.any():
        raise _BadCell(cells, outside, "lies outside the years 1 to 9999")
    # The last microseconds of the year 9999 round up to the year 10000 in float64.
    return np.minimum(seconds, np.nextafter(END, 0))


def _is_one_of(texts: Any, choices: tuple[str, ...]) -> Any:
    return pc.if_else(pc.is_null(texts), None, pc.is_in(texts, pa.array(choices)))


def _require(cells: Any, fits: Any, complaint: str) -> None:
    """Raise _BadCell for the first cell whose `fits` is false (null passes)."""
    if not pc.all(fits, min_count=0).as_py():
        raise _BadCell(cells, _mask(pc.invert(fits)), complaint)


def _mask(flags: Any) -> Values:
    mask: Values = flags.fill_null(False).to_numpy(zero_copy_only=False)
    return mask


def _floats(numbers: Any) -> Values:
    """Copy to float64 with NaN for null."""
    floats = numbers.cast(pa.float64(), safe=False)
    return np.array(floats.to_numpy(zero_copy_only=False), dtype=np.float64)
