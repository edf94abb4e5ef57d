"""Warnings about a typed dataset: what looks like a mistake in the table."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from models.data.columns import Column, ColumnType
from models.data.dataset import Dataset
from models.data.warnings import DataWarning, WarningCode

MANY_CATEGORIES = 64  # more different values than these are told
_MAX_COMPARED = 1000  # labels of a column that are compared with each other
_MIN_SENTINEL_SHARE = 0.005  # of the present cells that hold the same extreme value
_SENTINELS = frozenset(
    sign * float(text) for sign in (1, -1) for text in ("99", "999", "9999", "99999", "999999")
) | {-9.0, -1.0}
_MAX_EXAMPLES = 3

Values = np.ndarray[Any, Any]


def table_warnings(dataset: Dataset) -> tuple[DataWarning, ...]:
    """Return warnings about constant, equal, sentinel-like or very different values.

    Columns are looked at one by one, then compared by a hash of their cells; rows likewise.
    """
    found: list[DataWarning] = []
    hashes: dict[str, Values] = {}
    for column in dataset.columns:
        if column.type is ColumnType.IMAGE:
            continue
        values = dataset.values[column.name]
        found += _column_warnings(column, values)
        hashes[column.name] = pd.util.hash_array(values, categorize=True)
    found += _duplicate_columns(dataset, hashes)
    found += _duplicate_rows(dataset, hashes)
    return tuple(found)


def _column_warnings(column: Column, values: Values) -> Iterator[DataWarning]:
    if column.distinct == 1 and column.missing == 0 and len(values) > 1:
        message = "It has the same value in every row."
        yield DataWarning(WarningCode.CONSTANT, message, column.name)
    if column.type is ColumnType.CATEGORY:
        if column.distinct > MANY_CATEGORIES:
            message = f"It has {column.distinct:,} different values."
            yield DataWarning(WarningCode.HIGH_CARDINALITY, message, column.name)
        if column.distinct <= _MAX_COMPARED:
            yield from _similar_labels(column, values)
    elif column.type is ColumnType.NUMBER:
        yield from _sentinel(column, values)


def _similar_labels(column: Column, values: Values) -> Iterator[DataWarning]:
    counts = Counter(value for value in values if value is not None)
    alike: dict[str, list[str]] = {}
    for label in sorted(counts):
        alike.setdefault(re.sub(r"[\s_.,;:'\"()]+", "", label.casefold()) or label, []).append(
            label
        )
    groups = [labels for labels in alike.values() if len(labels) > 1]
    if groups:
        some = "; ".join(" and ".join(map(repr, labels)) for labels in groups[:_MAX_EXAMPLES])
        rows = sum(counts[label] for labels in groups for label in labels)
        message = f"Some values differ only in case, blanks or punctuation: {some}."
        yield DataWarning(WarningCode.SIMILAR_LABELS, message, column.name, rows)


def _sentinel(column: Column, values: Values) -> Iterator[DataWarning]:
    """Tell of an extreme value such as -999 that is frequent and far away from all others."""
    present = values[~np.isnan(values)]
    if column.distinct < 3:
        return
    for value in (present.min(), present.max()):
        rows = int((present == value).sum())
        others = present[present != value]
        gap = np.abs(others - value).min()
        is_far = gap > 0.5 * np.ptp(others)
        if value in _SENTINELS and is_far and rows >= max(2, _MIN_SENTINEL_SHARE * len(present)):
            message = (
                f"{value:g} lies far from all other values and may stand for a missing one;"
                f" read it as missing with options.na_values."
            )
            yield DataWarning(WarningCode.SENTINEL, message, column.name, rows)


def _duplicate_columns(dataset: Dataset, hashes: dict[str, Values]) -> Iterator[DataWarning]:
    first: dict[tuple[ColumnType, int], str] = {}
    for column in dataset.columns:
        if column.name not in hashes or column.distinct < 2:
            continue
        key = (column.type, hash(hashes[column.name].tobytes()))
        other = first.setdefault(key, column.name)
        if other != column.name:
            message = f"It has the same values as {other!r} in every row."
            yield DataWarning(WarningCode.DUPLICATE_COLUMN, message, column.name)


def _duplicate_rows(dataset: Dataset, hashes: dict[str, Values]) -> Iterator[DataWarning]:
    if len(hashes) < len(dataset.columns) or not hashes:
        return
    joined = np.zeros(dataset.rows, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for column in hashes.values():
            joined = joined * np.uint64(1_000_003) + column
    rows = dataset.rows - len(np.unique(joined))
    if rows:
        message = f"{rows:,} of {dataset.rows:,} rows repeat another row."
        yield DataWarning(WarningCode.DUPLICATE_ROWS, message, None, rows)
