"""JSON records, JSON files and JSON Lines files to columns."""

import json
import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

import pyarrow as pa

from models.data.formats.delimited.decoding import decode
from models.data.formats.limits import TableLimits
from models.data.formats.naming import name_columns
from models.errors import Invalid

_SCALARS = {bool, int, float, str}


_LISTS = ("records", "data", "rows", "items", "results")


def read_json(content: bytes, encoding: str | None = None) -> list[Any]:
    """Read the records of a JSON file: a list of objects, or the same under `records` or `data`.

    Also read are pandas' other forms: an object of lists or objects by column, and `columns` with
    `data`; lists of lists have their names in the first. Raises Invalid at `file`.
    """
    document = _parse(decode(content, encoding).content.decode(), "The file")
    if isinstance(document, dict):
        document = _from_object(document)
    if isinstance(document, list) and document and all(type(row) is list for row in document):
        return _from_rows(document[0], document[1:])
    if not isinstance(document, list):
        raise Invalid.at("file", "Expected a list of objects.")
    return document


def read_json_lines(content: bytes, encoding: str | None = None) -> list[Any]:
    """Read the records of a JSON Lines file, without blank lines. Raises Invalid at `file`."""
    lines = decode(content, encoding).content.decode().split("\n")
    return [
        _parse(line, f"Line {number}") for number, line in enumerate(lines, start=1) if line.strip()
    ]


def _from_object(document: dict[str, Any]) -> Any:
    names = document.get("columns")
    if isinstance(names, list) and isinstance(document.get("data"), list):
        return _from_rows(names, document["data"])
    for key in _LISTS:
        if isinstance(document.get(key), list) and all(
            isinstance(row, dict | list) for row in document[key]
        ):
            return document[key]
    values = list(document.values())
    if values and all(type(value) is list for value in values):
        if len(set(map(len, values))) > 1:
            raise Invalid.at("file", "The lists of the columns differ in length.")
        return [dict(zip(document, row, strict=True)) for row in zip(*values, strict=True)]
    if values and all(type(value) is dict for value in values):
        keys = dict.fromkeys(chain.from_iterable(values))
        return [{name: cells.get(key) for name, cells in document.items()} for key in keys]
    return document


def _from_rows(names: list[Any], rows: list[Any]) -> list[Any]:
    texts = name_columns("" if name is None else str(name) for name in names)
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, list) or len(row) != len(texts):
            message = f"Row {number} is no list of {len(texts)} cells, as there are names."
            raise Invalid.at("file", message)
    return [dict(zip(texts, row, strict=True)) for row in rows]


def to_columns(records: Sequence[Any], limits: TableLimits) -> dict[str, Any]:
    """Convert records to columns by name, as Arrow arrays, in order of first appearance.

    A missing key or null is a missing cell. A column of numbers and text becomes text, of numbers
    and booleans becomes numbers. Raises Invalid at `records`, `records.<index>` or
    `records.<index>.<column>`, whose index counts from 0, TooLarge for more than `limits` allow.
    """
    if not records:
        raise Invalid.at("records", "There is no row.")
    for index, record in enumerate(records):
        if not isinstance(record, dict):
            raise Invalid.at(f"records.{index}", f"Expected an object, got {_kind(record)}.")
    names = dict.fromkeys(chain.from_iterable(records))
    if not names:
        raise Invalid.at("records", "The rows have no columns.")
    # Rows that each have a key of their own make a table of the square of their number.
    limits.check_shape("records", len(records), len(names))
    for name in names:
        if not isinstance(name, str) or not name or not _is_unicode(name):
            raise Invalid.at("records", f"{name!r} cannot name a column.")
    return {name: _column(name, [record.get(name) for record in records]) for name in names}


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid.at("file", f"{where} is not JSON: {error}") from None


def _column(name: str, cells: list[Any]) -> Any:
    kinds = set(map(type, cells)) - {type(None)}
    if not kinds <= _SCALARS:
        index = next(i for i, cell in enumerate(cells) if type(cell) not in {*_SCALARS, type(None)})
        raise Invalid.at(
            f"records.{index}.{name}",
            f"Expected text, a number, true, false or null, got {_kind(cells[index])}.",
        )
    if str in kinds:
        return _text_column(name, cells)
    if kinds == {bool}:
        return pa.array(cells, pa.bool_())
    if kinds:
        return _number_column(name, cells)
    return pa.nulls(len(cells), pa.string())


def _text_column(name: str, cells: list[Any]) -> Any:
    texts = [_as_text(cell) for cell in cells]
    try:
        return pa.array(texts, pa.string())
    except UnicodeEncodeError:
        index = next(i for i, text in enumerate(texts) if text and not _is_unicode(text))
        raise Invalid.at(f"records.{index}.{name}", "Holds half a surrogate pair.") from None


def _number_column(name: str, cells: list[Any]) -> Any:
    if not any(isinstance(cell, float) for cell in cells):
        try:
            return pa.array([None if cell is None else int(cell) for cell in cells], pa.int64())
        except (OverflowError, pa.ArrowInvalid):
            pass  # integers past 64 bits are held as floats like any other number
    numbers = [_as_float(cell) for cell in cells]
    for index, number in enumerate(numbers):
        if number is not None and math.isinf(number):
            raise Invalid.at(f"records.{index}.{name}", "The number is infinite or too large.")
    return pa.array(numbers, pa.float64(), from_pandas=True)


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _as_float(cell: float | None) -> float | None:
    try:
        return None if cell is None else float(cell)
    except OverflowError:
        return math.inf


def _as_text(cell: Any) -> str | None:
    if cell is None or isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float) and math.isnan(cell):
        return None
    # Whole numbers read alike whether a client writes 1 or 1.0.
    whole = isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15
    return repr(int(cell)) if whole else repr(cell)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", type(None): "null", bool: "a boolean"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else "another value")
