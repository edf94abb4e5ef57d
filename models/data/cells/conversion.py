"""Columns as they were read to a dataset: each is typed and its cells are converted."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from models.data.cells.dates import EPOCHS, check_format
from models.data.cells.inference import Guess, fit, identify, infer
from models.data.cells.numbers import PLAIN_NUMBER
from models.data.cells.reader import CellError, cell_reader, missing_numbers, normalized
from models.data.columns import NUL, NUL_RULE, Column, ColumnType, measure
from models.data.dataset import Dataset
from models.data.datetimes import END, FIRST, ISO, LAST
from models.data.quality import table_warnings
from models.data.spelling import MISSING_TEXTS, PLAIN, Spelling
from models.data.table import ReadOptions, Table
from models.data.warnings import DataWarning
from models.errors import Invalid

Values = np.ndarray[Any, Any]

_NUMBER = f"^{PLAIN_NUMBER}$"
_ZERO_PADDED = r"^[+-]?0\d"
_PROBE = 100  # cells that are checked before all are
_DEFAULTS = ReadOptions()


@dataclass(frozen=True, slots=True)
class TypedTable:
    """A dataset, how its file was read, and what was guessed or looks like a mistake."""

    dataset: Dataset
    warnings: tuple[DataWarning, ...]
    reading: Mapping[str, Any] = field(default_factory=dict)


def type_table(table: Table, types: Mapping[str, str] | None, options: ReadOptions) -> TypedTable:
    """Type the columns of a table; raises as `to_dataset`.

    In a file with semicolons between the cells, a comma is taken for a decimal point.
    """
    hint = "," if table.reading.get("delimiter") == ";" else "."
    typed = to_dataset(table.cells, types, options, hint)
    told = (*table.warnings, *typed.warnings, *table_warnings(typed.dataset))
    return TypedTable(typed.dataset, told, table.reading)


def to_dataset(
    cells: Mapping[str, Any],
    types: Mapping[str, str] | None,
    options: ReadOptions = _DEFAULTS,
    decimal_hint: str = ".",
) -> TypedTable:
    """Make a dataset of columns by name, each an Arrow array or a NumPy array of images.

    A column named in `types` gets that type, any other the inferred one. `decimal_hint` is the
    decimal point of texts such as 1,234 that say nothing themselves. Raises Invalid at
    `types.<column>`, `options.<field>` or `file`; row numbers count from 1, without the header.
    """
    named = _named(cells)
    given = _check_types(named, types or {})
    for name, dates in options.date_formats.items():
        _check_dates(named, name, dates, given.get(name))
    columns: list[Column] = []
    values: dict[str, Values] = {}
    warnings: list[DataWarning] = []
    for name, column_cells in named.items():
        try:
            column, values[name], told = _convert(
                name, column_cells, given.get(name), options, decimal_hint
            )
        except _BadCell as error:
            where = "" if name in given else f"Column {name!r}: "
            raise Invalid.at(
                f"types.{name}" if name in given else "file", where + str(error)
            ) from None
        columns.append(column)
        warnings += told
    return TypedTable(Dataset(tuple(columns), values), tuple(warnings))


def listed_cells(table: Table) -> dict[str, list[object]]:
    """Return the cells of each column as text, numbers and booleans that `cell_reader` reads."""
    listed: dict[str, list[object]] = {}
    for name, column in table.cells.items():
        if isinstance(column, np.ndarray):
            listed[name] = column.tolist()
            continue
        cells = _plain(name, column)
        is_moment = pa.types.is_timestamp(cells.type)
        listed[name] = _seconds(cells).tolist() if is_moment else cells.to_pylist()
    return listed


def is_text(kind: Any) -> bool:
    """Whether an Arrow type is one of text."""
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


class _BadCell(Exception):
    """A cell that the type of its column does not allow; `row` counts from 0."""

    def __init__(self, row: int, value: Any, complaint: str) -> None:
        super().__init__(f"Row {row + 1} holds {value!r}, which {complaint}.")


def _named(cells: Mapping[str, Any]) -> dict[str, Any]:
    """Normalise the columns' names, so that each is written in one way."""
    named: dict[str, Any] = {}
    for name, column in cells.items():
        if NUL in name:
            raise Invalid.at("file", f"The name of column {name!r}: {NUL_RULE}")
        plain = normalized(name) or name
        if plain in named:
            raise Invalid.at("file", f"Two columns are named {plain!r}.")
        named[plain] = column
    return named


def _check_name(cells: Mapping[str, Any], name: str, path: str) -> None:
    if name not in cells:
        close = difflib.get_close_matches(name, cells, 1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise Invalid.at(path, f"There is no such column.{hint}")


def _check_dates(cells: Mapping[str, Any], name: str, dates: str, given: ColumnType | None) -> None:
    path = f"options.date_formats.{name}"
    _check_name(cells, name, path)
    if given not in (None, ColumnType.DATETIME):
        raise Invalid.at(path, f"The column has the type {given}.")
    try:
        check_format(dates)
    except ValueError as error:
        raise Invalid.at(path, str(error)) from None


def _check_types(cells: Mapping[str, Any], types: Mapping[str, str]) -> dict[str, ColumnType]:
    errors: dict[str, list[str]] = {}
    given: dict[str, ColumnType] = {}
    for written, text in types.items():
        name = normalized(written) or written
        is_image = isinstance(cells.get(name), np.ndarray)
        try:
            _check_name(cells, name, f"types.{written}")
        except Invalid as error:
            errors |= error.errors
            continue
        if text not in list(ColumnType):
            errors[f"types.{name}"] = [f"{text!r} is not one of {', '.join(ColumnType)}."]
        elif is_image != (text == ColumnType.IMAGE):
            errors[f"types.{name}"] = ["Images, and only they, come as arrays of 3 or 4 axes."]
        else:
            given[name] = ColumnType(text)
    if errors:
        raise Invalid(errors)
    return given


def _convert(
    name: str, cells: Any, given: ColumnType | None, options: ReadOptions, hint: str
) -> tuple[Column, Values, Sequence[DataWarning]]:
    if isinstance(cells, np.ndarray):
        return measure(name, ColumnType.IMAGE, cells), cells, ()
    cells = _plain(name, cells)
    if pa.types.is_string(cells.type):
        guess, values = _from_texts(name, cells, given, options, hint)
    else:
        guess, values = _from_values(name, cells, given, options)
    if guess.type is ColumnType.NUMBER and given is None:
        guess = identify(name, guess, values)
        if guess.type is ColumnType.IGNORED:
            values = _as_texts(cells, guess.spelling)
    column = measure(name, guess.type, values, guess.reason, guess.spelling)
    return column, values, guess.warnings


def _from_texts(
    name: str, cells: Any, given: ColumnType | None, options: ReadOptions, hint: str
) -> tuple[Guess, Values]:
    """Type and convert a column of text, null where a cell is missing."""
    is_default = replace(options, date_formats={}) == _DEFAULTS and name not in options.date_formats
    if is_default and len(cells) > cells.null_count:
        # Millions of different cells are converted at once where they are plainly spelled.
        if given in (None, ColumnType.NUMBER) and _all_match(cells, _NUMBER):
            numbers = cells.cast(pa.float64())
            is_code = given is None and _any_match(cells, _ZERO_PADDED)
            if not is_code and pc.all(pc.is_finite(numbers)).as_py():
                return Guess(ColumnType.NUMBER), _floats(numbers)
        if given in (None, ColumnType.DATETIME) and _all_match(cells, f"^{ISO}$"):
            moments = _parse_iso(cells)
            seconds = _seconds(moments)
            if moments.null_count == cells.null_count and not _outside(seconds).any():
                return Guess(ColumnType.DATETIME), seconds
    return _from_distinct(name, cells, given, options, hint)


def _from_distinct(
    name: str, cells: Any, given: ColumnType | None, options: ReadOptions, hint: str
) -> tuple[Guess, Values]:
    """Type and convert text by its distinct cells, which the reader of single cells reads."""
    encoded = cells.dictionary_encode()
    texts = [normalized(text) for text in encoded.dictionary.to_pylist()]
    places = encoded.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)
    rows = np.bincount(places, minlength=len(texts) + 1)[: len(texts)].tolist()
    missing = {*MISSING_TEXTS, *options.na_values}
    counts: dict[str, int] = {}
    for text, count in zip(texts, rows, strict=True):
        if text not in missing:
            counts[text] = counts.get(text, 0) + count
    guess = (
        infer(name, counts, options, hint)
        if given is None
        else fit(name, given, counts, options, hint)
    )
    read = cell_reader(guess.type, guess.spelling)
    known = np.empty(len(texts) + 1, dtype=object)
    for place, text in enumerate(texts):
        try:
            known[place] = read(text)
        except CellError as error:
            raise _BadCell(int(np.argmax(places == place)), text, str(error)) from None
    if not guess.type.is_text:
        known = known.astype(np.float64)  # None becomes NaN
    return guess, known[places]


def _from_values(
    name: str, cells: Any, given: ColumnType | None, options: ReadOptions
) -> tuple[Guess, Values]:
    """Convert a column of numbers, booleans or datetimes, which has its type already."""
    if cells.null_count == len(cells) and given is None:
        return Guess(ColumnType.IGNORED, PLAIN, "Every cell is missing."), _as_texts(cells, PLAIN)
    own = _own_type(cells.type)
    dates = options.date_formats.get(name, "")
    kind = given or (ColumnType.DATETIME if dates else own)
    guess = Guess(kind, Spelling(missing=options.na_values, dates=dates if dates in EPOCHS else ""))
    if kind.is_text:
        return guess, _as_texts(cells, guess.spelling)
    if own is kind or (own is ColumnType.BOOLEAN and kind is ColumnType.NUMBER):
        values = _from_own(cells, own)
        if own is ColumnType.NUMBER:
            values[np.isin(values, list(missing_numbers(guess.spelling)))] = np.nan
        return guess, values
    if own is ColumnType.DATETIME:
        raise _BadCell(_first(cells), _shown(cells), f"is a datetime, not a {kind}")
    read = cell_reader(kind, guess.spelling)
    values = np.empty(len(cells), dtype=np.float64)
    for row, cell in enumerate(cells.to_pylist()):
        try:
            value = read(cell)
        except CellError as error:
            raise _BadCell(row, cell, str(error)) from None
        values[row] = np.nan if value is None else value
    return guess, values


def _own_type(kind: Any) -> ColumnType:
    if pa.types.is_boolean(kind):
        return ColumnType.BOOLEAN
    return ColumnType.DATETIME if pa.types.is_timestamp(kind) else ColumnType.NUMBER


def _from_own(cells: Any, own: ColumnType) -> Values:
    if own is ColumnType.DATETIME:
        seconds = _seconds(cells)
        outside = _outside(seconds)
        if outside.any():
            row = int(np.argmax(outside))
            raise _BadCell(
                row, f"{cells[row].value} µs since 1970", "lies outside the years 1 to 9999"
            )
        return seconds
    numbers = cells.cast(pa.int8()) if own is ColumnType.BOOLEAN else cells
    numbers = numbers.cast(pa.float64(), safe=False)
    infinite = np.isinf(_floats(numbers))
    if infinite.any():
        row = int(np.argmax(infinite))
        raise _BadCell(row, cells[row].as_py(), "is infinite or too large")
    return _floats(numbers)


def _as_texts(cells: Any, spelling: Spelling) -> Values:
    """Convert every cell to its text, as a client would write it."""
    read = cell_reader(ColumnType.CATEGORY, spelling)
    if pa.types.is_timestamp(cells.type):
        cells = cells.cast(pa.string())
    values = np.empty(len(cells), dtype=object)
    for row, cell in enumerate(cells.to_pylist()):
        try:
            values[row] = read(cell)
        except CellError as error:
            raise _BadCell(row, cell, str(error)) from None
    return values


def _plain(name: str, cells: Any) -> Any:
    """Return one Arrow array of text, number, boolean or UTC timestamp, null for missing cells.

    Text is trimmed of ASCII blanks.
    """
    if isinstance(cells, pa.ChunkedArray):
        cells = cells.combine_chunks()
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    kind = cells.type
    if pa.types.is_null(kind) or is_text(kind):
        texts = pc.utf8_trim_whitespace(cells.cast(pa.string()))
        return pc.if_else(pc.is_in(texts, pa.array(MISSING_TEXTS)), None, texts)
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


def _parse_iso(cells: Any) -> Any:
    """Parse ISO 8601 text to Arrow timestamps in microseconds; null for other texts."""
    texts = pc.replace_substring_regex(cells, r"(\.\d{6})\d+", r"\1")
    parsed = pd.to_datetime(
        pd.Series(texts.to_numpy(zero_copy_only=False)), format="ISO8601", utc=True, errors="coerce"
    )
    return pa.array(parsed.dt.as_unit("us"), from_pandas=True)


def _seconds(moments: Any) -> Values:
    """Convert timestamps in microseconds to seconds, NaN for null."""
    micros = moments.cast(pa.int64())
    whole = micros.fill_null(0).to_numpy(zero_copy_only=False)
    # Apart, since a float64 cannot hold all microseconds of years beyond 2255.
    seconds: Values = whole // 1_000_000 + (whole % 1_000_000) / 1e6
    seconds[np.asarray(micros.is_null())] = np.nan
    # The last microseconds of the year 9999 round up to the year 10000 in float64.
    return np.where(seconds == END, LAST, seconds)


def _outside(seconds: Values) -> Values:
    return (seconds < FIRST) | (seconds > END)


def _all_match(cells: Any, pattern: str) -> bool:
    """Whether every present cell of a text array matches the regular expression."""
    for part in (cells[:_PROBE], cells):
        if not pc.all(pc.match_substring_regex(part, pattern), min_count=0).as_py():
            return False
    return True


def _any_match(cells: Any, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(cells, pattern), min_count=0).as_py())


def _first(cells: Any) -> int:
    return int(np.argmax(np.asarray(cells.is_valid())))


def _shown(cells: Any) -> Any:
    cell = cells[_first(cells)]
    try:
        return cell.as_py()
    except OverflowError:  # Python's own moments end with the year 9999
        return f"{cell.value} µs since 1970"


def _floats(numbers: Any) -> Values:
    """Copy to float64 with NaN for null."""
    return np.array(numbers.to_numpy(zero_copy_only=False), dtype=np.float64)
