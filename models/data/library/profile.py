"""Datasets described for people and for JSON: a profile of each column, and the first rows."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields
from types import NoneType
from typing import Any

import numpy as np

from models.data.columns import Column, ColumnType, of_type
from models.data.dataset import Dataset
from models.data.datetimes import format_rfc3339

MAX_FREQUENT_VALUES = 5
HISTOGRAM_BINS = 20
_SCALE = 2.0**32


@dataclass(frozen=True, slots=True)
class FrequentValue:
    """A value of a column and how many cells hold it."""

    value: str | bool
    count: int


_value = of_type(str, bool)
_whole = of_type(int)
_scalar = of_type(int, float, str, NoneType)
_real = of_type(int, float)


def _read_frequent(items: Any) -> tuple[FrequentValue, ...] | None:
    if items is None:
        return None
    return tuple(
        FrequentValue(_value(item["value"]), _whole(item["count"])) for item in of_type(list)(items)
    )


def _read_tuple(read: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...] | None]:
    """Make a reader of a list, or of None, whose items `read` reads."""
    return lambda items: None if items is None else tuple(map(read, of_type(list)(items)))


@dataclass(frozen=True, slots=True)
class ColumnProfile(Column):
    """A column with figures of its values; those that its type does not have are None."""

    frequent: tuple[FrequentValue, ...] | None = None  # of categories and booleans
    min: int | float | str | None = None  # of numbers, and of datetimes as RFC 3339 text
    max: int | float | str | None = None
    mean: float | None = None  # of numbers
    quartiles: tuple[float, ...] | None = None  # of numbers: 25 %, 50 % and 75 %
    histogram: tuple[int, ...] | None = None  # cells in bins of equal width from min to max

    readers = {
        **Column.readers,
        "frequent": _read_frequent,
        "min": _scalar,
        "max": _scalar,
        "mean": of_type(int, float, NoneType),
        "quartiles": _read_tuple(_real),
        "histogram": _read_tuple(_whole),
    }


def profile(dataset: Dataset) -> tuple[ColumnProfile, ...]:
    """Describe every column of a dataset.

    Minimum, maximum, mean, quartiles and histogram are None if every cell is missing. Of a category
    the five most frequent values are counted.
    """
    return tuple(_describe(column, dataset.values[column.name]) for column in dataset.columns)


def preview(dataset: Dataset, rows: int) -> list[dict[str, Any]]:
    """Return the first `rows` rows as JSON objects.

    A missing cell is null, a datetime RFC 3339 text, an image nested lists; whole numbers are
    integers.
    """
    count = max(0, min(rows, dataset.rows))
    cells = {
        column.name: json_cells(column, dataset.values[column.name][:count])
        for column in dataset.columns
    }
    return [{name: column[row] for name, column in cells.items()} for row in range(count)]


def _describe(column: Column, values: np.ndarray[Any, Any]) -> ColumnProfile:
    figures: dict[str, Any] = {}
    if column.type in (ColumnType.CATEGORY, ColumnType.BOOLEAN):
        figures = {"frequent": _frequent(column, values)}
    elif column.type in (ColumnType.NUMBER, ColumnType.DATETIME):
        figures = _range(column, values[~np.isnan(values)])
    return ColumnProfile(**_fields(column), **figures)


def _fields(column: Column) -> dict[str, Any]:
    return {field.name: getattr(column, field.name) for field in fields(Column)}


def _frequent(column: Column, values: np.ndarray[Any, Any]) -> tuple[FrequentValue, ...]:
    if column.type is ColumnType.BOOLEAN:
        false, true = column.spelling.words or (False, True)
        counts = Counter({true: int((values == 1).sum()), false: int((values == 0).sum())})
        ranked: list[tuple[Any, int]] = [item for item in counts.most_common() if item[1]]
    else:
        present = Counter(value for value in values if value is not None)
        # Ties are ordered by text, so that the answer does not depend on the order of rows.
        ranked = sorted(present.items(), key=lambda item: (-item[1], item[0]))
    return tuple(FrequentValue(*item) for item in ranked[:MAX_FREQUENT_VALUES])


def _range(column: Column, present: np.ndarray[Any, Any]) -> dict[str, Any]:
    if not len(present):
        return {}
    low, high = json_cells(column, np.array([present.min(), present.max()]))
    figures = {"min": low, "max": high, "histogram": _histogram(present)}
    if column.type is ColumnType.DATETIME:
        return figures
    # Scaled by a power of two, so that sums and differences of the largest floats stay finite.
    scaled = present / _SCALE
    quartiles = np.quantile(scaled, (0.25, 0.5, 0.75)) * _SCALE
    return figures | {
        "mean": float(np.mean(scaled)) * _SCALE,
        "quartiles": tuple(quartiles.tolist()),
    }


def _histogram(present: np.ndarray[Any, Any]) -> tuple[int, ...]:
    """Count numbers in bins of equal width; one bin if all of them are equal."""
    scaled = present / _SCALE
    low = scaled.min()
    width = scaled.max() - low
    if not width:
        return (len(scaled),)
    places = np.minimum((scaled - low) / width * HISTOGRAM_BINS, HISTOGRAM_BINS - 1)
    return tuple(np.bincount(places.astype(np.int64), minlength=HISTOGRAM_BINS).tolist())


def json_cells(column: Column, values: np.ndarray[Any, Any]) -> list[Any]:
    """Return values of a column as a row to predict may have them; see `preview`."""
    match column.type:
        case ColumnType.NUMBER:
            return [_number(value) for value in values.tolist()]
        case ColumnType.BOOLEAN:
            words = column.spelling.words or (False, True)
            return [None if np.isnan(value) else words[int(value)] for value in values]
        case ColumnType.DATETIME:
            return [None if np.isnan(value) else format_rfc3339(float(value)) for value in values]
    cells: list[Any] = values.tolist()
    return cells


def _number(number: float) -> float | int | None:
    if math.isnan(number):
        return None
    return int(number) if number.is_integer() and abs(number) < 2**53 else number
