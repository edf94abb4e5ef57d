"""Cells of a request to the arrays that a version's graph takes."""

from collections.abc import Sequence
from itertools import chain
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data.cells.reader import CellError, Reader, shown
from models.data.columns import MAX_CHARACTERS, ColumnType

Array = NDArray[Any]
Cells = Sequence[object] | Array

_NUMBERS: frozenset[type] = frozenset((int, float, NoneType))
_LARGEST_PIXEL = float(np.finfo(np.float32).max)


class Rejected(ValueError):
    """A column holds a cell that its type does not allow; `problem` says which and why."""


def column_array(
    kind: ColumnType, cells: Cells, read: Reader | None, shape: tuple[int, ...]
) -> Array:
    """Return the array of the cells of one column, with one row a cell.

    Numbers, booleans and datetimes become float64 (rows, 1) with NaN for missing, texts objects
    (rows, 1) with "" for missing, images float32 (rows, *shape). `read` is the column's
    `cell_reader`, None for images. Raises Rejected for a cell that the column does not allow.
    """
    cells = as_list(cells)
    if kind is ColumnType.IMAGE or read is None:
        return _images(cells, shape)
    try:
        if kind.is_text:
            texts = np.empty((len(cells), 1), dtype=object)
            listed: list[Any] = [read(cell) or "" for cell in cells]
            is_prose = kind is ColumnType.TEXT
            texts[:, 0] = [text[:MAX_CHARACTERS] for text in listed] if is_prose else listed
            return texts
        return np.array([read(cell) for cell in cells], dtype=np.float64)[:, None]
    except (CellError, OverflowError):
        raise Rejected from None


def as_list(cells: Cells) -> Sequence[object]:
    """Return the cells of an array as JSON values; a list as it is."""
    return cells.tolist() if isinstance(cells, np.ndarray) else cells


def plain_numbers(columns: Sequence[Cells]) -> Array | None:
    """Return columns of JSON numbers and null as float64 (columns, rows, 1), NaN for null.

    One conversion for many columns; None unless every cell is a finite number or null. A NaN of
    an array is null.
    """
    if all(map(_is_numeric, columns)):
        block = np.array(columns, dtype=np.float64)
        return None if np.isinf(block).any() else block[:, :, None]
    lists = list(map(as_list, columns))
    if not _NUMBERS.issuperset(map(type, chain.from_iterable(lists))):
        return None
    try:
        block = np.array(lists, dtype=np.float64)
    except OverflowError:
        return None
    finite = np.isfinite(block)
    if not finite.all():
        missing = sum(cells.count(None) for cells in lists)
        if block.size - np.count_nonzero(finite) != missing:
            return None
    return block[:, :, None]


def _is_numeric(cells: Cells) -> bool:
    return isinstance(cells, np.ndarray) and cells.ndim == 1 and cells.dtype.kind in "fiu"


def problem(cell: object, read: Reader | None, shape: tuple[int, ...] = ()) -> str | None:
    """Say why a column refuses `cell`; None if it is accepted.

    `shape` is an image's (height, width[, channels]). It refuses what `column_array` rejects.
    """
    if read is None:
        return _image_problem(cell, shape)
    try:
        read(cell)
    except CellError as error:
        return f"{shown(cell)} {error}; send null for a missing value."
    return None


def _images(cells: Sequence[object], shape: tuple[int, ...]) -> Array:
    """Convert nested lists of numbers to float32 (rows, *shape).

    Raises Rejected for another shape, a cell that is no number or one that float32 cannot hold.
    """
    flat: list[Any] = list(cells)
    for size in shape:
        if any(not isinstance(part, list) or len(part) != size for part in flat):
            raise Rejected
        flat = list(chain.from_iterable(flat))
    if not {int, float}.issuperset(map(type, flat)):
        raise Rejected
    try:
        with np.errstate(over="ignore"):
            array = np.array(flat, dtype=np.float64).astype(np.float32)
    except OverflowError:
        raise Rejected from None
    if not np.isfinite(array).all():
        raise Rejected
    return array.reshape(len(cells), *shape)


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
        if type(pixel) not in (int, float):
            return f"Expected nested lists of {wanted} numbers, but one is {shown(pixel)}."
        if not abs(pixel) <= _LARGEST_PIXEL:
            return f"{shown(pixel)} is infinite or too large for a pixel."
    return None
