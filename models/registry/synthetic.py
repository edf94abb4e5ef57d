"""Rows that training data seldom holds: missing cells, unseen categories, far-off numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.data.columns import ColumnType
from models.data.dataset import Dataset

# Standard deviations. Farther out, float32 rounding alone moves sound networks by more than the
# 1e-4 allowed: of 90 networks trained on the diabetes data, one by 2.4e-4 at 100 deviations, none
# by more than 6e-5 at 10.
FAR = 10.0
UNSEEN = "\u2020 never seen in training"
_FAR_SECONDS = 50 * 365.25 * 86400


Array = np.ndarray[Any, Any]


def synthetic_rows(dataset: Dataset, rows: Array, features: Sequence[str]) -> Dataset:
    """Copies of the first two `rows` in which one column is unusual, and one with all missing.

    A number is missing, or 10 standard deviations to either side of its mean; a boolean is
    missing; a category is missing or unseen; a datetime is missing or 50 years off; an image is
    all zero or all at the largest value. Columns beyond `features` stay as they are.
    """
    base = np.asarray(rows[:2])
    changes: list[tuple[str, Any]] = []
    for name in features:
        kind, cells = dataset.column(name).type, dataset.values[name][rows]
        changes += [(name, value) for value in _unusual(kind, cells)]
    blocks = len(changes) + 1
    built = {
        name: np.concatenate([values[base]] * blocks) for name, values in dataset.values.items()
    }
    for block, (name, value) in enumerate(changes):
        built[name][block * len(base) : (block + 1) * len(base)] = value
    for name in features:
        missing = _missing(dataset.column(name).type)
        if missing is not _NEVER:
            built[name][-len(base) :] = missing
    return Dataset(dataset.columns, built)


_NEVER = object()


def _missing(kind: ColumnType) -> Any:
    if kind is ColumnType.IMAGE:
        return _NEVER
    return None if kind is ColumnType.CATEGORY else np.nan


def _unusual(kind: ColumnType, values: Array) -> list[Any]:
    match kind:
        case ColumnType.CATEGORY:
            return [None, UNSEEN]
        case ColumnType.IMAGE:
            return [0, values.max()]
        case ColumnType.BOOLEAN:
            return [np.nan]
    known = values[~np.isnan(values)]
    centre = known.mean() if known.size else 0.0
    if kind is ColumnType.DATETIME:
        return [np.nan, centre - _FAR_SECONDS, centre + _FAR_SECONDS]
    spread = known.std() if known.size else 0.0
    return [np.nan, centre - FAR * (spread or 1.0), centre + FAR * (spread or 1.0)]
