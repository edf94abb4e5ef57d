"""Cells of a request, by column type: which are accepted, and their arrays."""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data.columns import MAX_CHARACTERS, MISSING_TEXTS
from models.data.datetimes import END, FIRST, parse_iso

NUMBER_TYPES: frozenset[type] = frozenset((int, float, NoneType))
BOOLEAN_TYPES: frozenset[type] = frozenset((bool, NoneType))
TEXT_TYPES: frozenset[type] = frozenset((str, NoneType))
PIXEL_TYPES: frozenset[type] = frozenset((int, float))

Array = NDArray[Any]

_MISSING = frozenset((None, *MISSING_TEXTS))


class Rejected(ValueError):
    """A column holds a cell that its type does not allow; `problem` says which and why."""


def column_arrays(
    kind: str, columns: Sequence[Sequence[object]], shapes: Sequence[tuple[int, ...]]
) -> Iterable[Array]:
    """Return the array of each of some columns of one type, with one row a cell.

    `shapes` are those of images, and empty for other types. Raises Rejected, or ValueError,
    TypeError or OverflowError, for a cell that the type does not allow.
    """
    match kind:
        case "number":
            return _numbers(columns, NUMBER_TYPES)[:, :, None]
        case "boolean":
            return _numbers(columns, BOOLEAN_TYPES)[:, :, None]
        case "datetime":
            return _datetimes(columns)[:, :, None]
        case "category":
            return map(_texts, columns)
        case "text":
            return map(_prose, columns)
    return map(_images, columns, shapes)


def _numbers(columns: Sequence[Sequence[object]], allowed: frozenset[type]) -> Array:
    """Convert numbers or booleans to float64 (columns, rows), None to NaN.

    Raises Rejected for a cell of another type or a number that is not finite, and OverflowError
    for an integer that no float64 can hold.
    """
    types = set(map(type, chain.from_iterable(columns)))
    if not types <= allowed:
        raise Rejected
    block = np.array(columns, dtype=np.float64)
    finite = np.isfinite(block)
    if not finite.all():
        missing = sum(cells.count(None) for cells in columns)
        if block.size - np.count_nonzero(finite) != missing:
            raise Rejected
    return block


def _texts(cells: Sequence[object]) -> Array:
    """Convert strings to objects (rows, 1), None to ""; the graph knows other missing texts.

    Raises Rejected for a cell of another type or one that UTF-8 cannot hold.
    """
    if not set(map(type, cells)) <= TEXT_TYPES:
        raise Rejected
    array = np.empty((len(cells), 1), dtype=object)
    array[:, 0] = texts = [cell or "" for cell in cells]
    if not _encodable("".join(map(str, texts))):
        raise Rejected
    return array


def _prose(cells: Sequence[object]) -> Array:
    """Convert as `_texts`, missing texts to ""; cut long ones, of which the graph reads no more."""
    array = _texts(cells)
    texts = array[:, 0].tolist()
    array[:, 0] = ["" if text in _MISSING else text[:MAX_CHARACTERS] for text in texts]
    return array


def _datetimes(columns: Sequence[Sequence[object]]) -> Array:
    """Convert ISO 8601 strings to seconds since 1970-01-01 UTC, float64 (columns, rows).

    A missing cell is NaN. Raises Rejected for a cell of another type and ValueError for a text
    that is no date.
    """
    cells = list(chain.from_iterable(columns))
    if not set(map(type, cells)) <= TEXT_TYPES:
        raise Rejected
    return np.array([_seconds(cell) for cell in cells]).reshape(len(columns), -1)


def _images(cells: Sequence[object], shape: tuple[int, ...]) -> Array:
    """Convert nested lists of numbers to float32 (rows, *shape).

    Raises Rejected for another shape, a cell that is no number or one that float32 cannot hold.
    """
    flat: list[Any] = list(cells)
    for size in shape:
        if any(not isinstance(part, list) or len(part) != size for part in flat):
            raise Rejected
        flat = list(chain.from_iterable(flat))
    if not set(map(type, flat)) <= PIXEL_TYPES:
        raise Rejected
    with np.errstate(over="ignore"):
        array = np.array(flat, dtype=np.float64).astype(np.float32)
    if not np.isfinite(array).all():
        raise Rejected
    return array.reshape(len(cells), *shape)


def problem(cell: object, kind: str, shape: tuple[int, ...] = ()) -> str | None:
    """Say why `cell` is refused in a column of type `kind`; None if it is accepted.

    `shape` is an image's (height, width[, channels]). It refuses what `column_arrays` rejects.
    """
    if kind == "image":
        return _image_problem(cell, shape)
    return None if cell is None else _PROBLEMS[kind](cell)


def shown(value: object, limit: int = 40) -> str:
    """Return `value` as JSON, cut to `limit` characters, for a message."""
    text = json.dumps(value, default=str)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _number_problem(cell: object) -> str | None:
    if type(cell) not in NUMBER_TYPES:
        return f"Expected a number or null, not {_noun(cell)} {shown(cell)}."
    return None if _finite(cell, 1.7976931348623157e308) else _NOT_FINITE


def _boolean_problem(cell: object) -> str | None:
    if type(cell) not in BOOLEAN_TYPES:
        return f"Expected true, false or null, not {_noun(cell)} {shown(cell)}."
    return None


def _category_problem(cell: object) -> str | None:
    if type(cell) not in TEXT_TYPES:
        return (
            "Expected a string or null: a category is named by its text, "
            f"not by {_noun(cell)} {shown(cell)}."
        )
    return None if _encodable(str(cell)) else _NOT_TEXT


def _text_problem(cell: object) -> str | None:
    if type(cell) not in TEXT_TYPES:
        return f"Expected a string or null, not {_noun(cell)} {shown(cell)}."
    return None if _encodable(str(cell)) else _NOT_TEXT


def _datetime_problem(cell: object) -> str | None:
    if type(cell) in TEXT_TYPES:
        try:
            _seconds(cell)
        except ValueError:
            pass
        else:
            return None
    return f"Expected an ISO 8601 date or time such as 2024-05-31T14:30:00Z, not {shown(cell)}."


def _image_problem(cell: object, shape: tuple[int, ...]) -> str | None:
    wanted = "×".join(map(str, shape))
    flat: list[Any] = [cell]
    for size in shape:
        for part in flat:
            if not isinstance(part, list):
                return f"Expected nested lists of {wanted} numbers, not {shown(part)}."
            if len(part) != size:
                return (
                    f"Expected nested lists of {wanted} numbers: one has {len(part)}, not {size}."
                )
        flat = list(chain.from_iterable(flat))
    for pixel in flat:
        if type(pixel) not in PIXEL_TYPES:
            return f"Expected nested lists of {wanted} numbers, but one is {shown(pixel)}."
        if not _finite(pixel, 3.4028234663852886e38):
            return _NOT_FINITE
    return None


_NOT_FINITE = "Too large or not finite; send null for a missing number."

_NOT_TEXT = "Holds half a surrogate pair, which is not text."

_PROBLEMS: dict[str, Callable[[object], str | None]] = {
    "number": _number_problem,
    "boolean": _boolean_problem,
    "category": _category_problem,
    "text": _text_problem,
    "datetime": _datetime_problem,
}


def _finite(cell: Any, largest: float) -> bool:
    try:
        return math.isfinite(cell) and abs(float(cell)) <= largest
    except OverflowError:
        return False


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _noun(cell: object) -> str:
    if isinstance(cell, bool):
        return "the boolean"
    if isinstance(cell, str):
        return "the string"
    if isinstance(cell, int | float):
        return "the number"
    return "the list" if isinstance(cell, list) else "the object"


def _seconds(cell: Any) -> float:
    if cell in _MISSING:
        return math.nan
    seconds = parse_iso(cell)
    if not FIRST <= seconds < END:
        raise Rejected
    return seconds
