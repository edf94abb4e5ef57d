"""Datasets described for people and for JSON."""

from collections import Counter
from typing import Any

import numpy as np

from models.data.columns import Column, ColumnType
from models.data.dataset import Dataset
from models.data.datetimes import format_rfc3339

FREQUENT_VALUES = 5


def profile(dataset: Dataset) -> list[dict[str, Any]]:
    """One JSON object a column: name, type, missing, distinct and what its type has besides.

    Numbers and datetimes have min and max, numbers also mean (null if every cell is missing);
    categories and booleans the five most frequent values with counts; images a shape; ignored
    columns the reason.
    """
    return [_describe(column, dataset.values[column.name]) for column in dataset.columns]


def preview(dataset: Dataset, rows: int) -> list[dict[str, Any]]:
    """The first `rows` rows as JSON objects: missing is null, a datetime RFC 3339 text.

    Whole numbers are integers; an image is nested lists.
    """
    count = max(0, min(rows, dataset.rows))
    cells = {
        column.name: _json_cells(column.type, dataset.values[column.name][:count])
        for column in dataset.columns
    }
    return [{name: column[row] for name, column in cells.items()} for row in range(count)]


def _describe(column: Column, values: np.ndarray[Any, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": column.name,
        "type": column.type.value,
        "missing": column.missing,
        "distinct": column.distinct,
    }
    if column.type is ColumnType.IMAGE:
        described["shape"] = list(column.shape)
    elif column.type is ColumnType.IGNORED:
        described["reason"] = column.reason or None
    elif column.type in (ColumnType.CATEGORY, ColumnType.BOOLEAN):
        described["frequent"] = _frequent(column.type, values)
    else:
        described |= _range(column.type, values)
    return described


def _frequent(column_type: ColumnType, values: np.ndarray[Any, Any]) -> list[dict[str, Any]]:
    if column_type is ColumnType.BOOLEAN:
        counts = Counter({flag: int((values == flag).sum()) for flag in (True, False)})
        ranked: list[tuple[Any, int]] = [item for item in counts.most_common() if item[1]]
    else:
        present = Counter(value for value in values if value is not None)
        # Ties in order of the text, so that the answer does not depend on the order of rows.
        ranked = sorted(present.items(), key=lambda item: (-item[1], item[0]))[:FREQUENT_VALUES]
    return [{"value": value, "count": count} for value, count in ranked]


def _range(column_type: ColumnType, values: np.ndarray[Any, Any]) -> dict[str, Any]:
    present = values[~np.isnan(values)]
    if column_type is ColumnType.DATETIME:
        ends = (present.min(), present.max()) if len(present) else (np.nan, np.nan)
        low, high = _json_cells(column_type, np.array(ends))
        return {"min": low, "max": high}
    if not len(present):
        return {"min": None, "max": None, "mean": None}
    # Scaled by a power of two, so that the sum of the largest floats stays finite.
    mean = float(np.mean(present / 2.0**32)) * 2.0**32
    return {"min": _number(present.min()), "max": _number(present.max()), "mean": mean}


def _json_cells(column_type: ColumnType, values: np.ndarray[Any, Any]) -> list[Any]:
    if column_type is ColumnType.NUMBER:
        return [_number(value) for value in values]
    if column_type is ColumnType.BOOLEAN:
        return [None if np.isnan(value) else bool(value) for value in values]
    if column_type is ColumnType.DATETIME:
        return [None if np.isnan(value) else format_rfc3339(float(value)) for value in values]
    cells: list[Any] = values.tolist()
    return cells


def _number(value: Any) -> float | int | None:
    number = float(value)
    if np.isnan(number):
        return None
    return int(number) if number.is_integer() and abs(number) < 2**53 else number
