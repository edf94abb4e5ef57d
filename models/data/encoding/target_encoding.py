"""The target encoding of categories that have more values than places."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.preprocessing import TargetEncoder as MeanEncoder

from models.data.encoding.cross_fitting import parts, standardise
from models.data.encoding.features import Array
from models.data.spelling import MISSING_TEXTS

MAX_ENCODED = 20_000  # values of one column with numbers of their own, the most frequent
MIN_ROWS = 2  # that such a value needs
UNSEEN = -1  # the row of `table` of a rare or unseen value
SMOOTHING = 10.0  # rows of the mean that are added to those of a value


@dataclass(frozen=True, slots=True)
class EncodedFeature:
    """A category as numbers: the mean target of the rows that hold its value, standardised.

    There is one number for each column of `cross_fitting.target_columns`.
    """

    name: str
    values: tuple[str, ...]  # with numbers of their own, sorted
    numbers: tuple[tuple[float, ...], ...]  # of each value
    missing: tuple[float, ...]  # of a missing cell
    other: tuple[float, ...]  # of a rare or unseen value

    @property
    def codes(self) -> dict[str, int]:
        """The row of `table` of every value and of every spelling of a missing one."""
        return _codes(self.values)

    @property
    def table(self) -> Array:
        """The numbers of values, missing and unseen: float32 (values + 2, numbers)."""
        return np.array([*self.numbers, self.missing, self.other], dtype=np.float32)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One name per number."""
        return tuple(f"{self.name}~{number}" for number in range(len(self.other)))

    def transform(self, values: Array) -> Array:
        """Convert (rows,) str or None to (rows, numbers) float32."""
        encoded: Array = self.table[_look_up(values, self.codes)]
        return encoded

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "EncodedFeature":
        """Read a feature of `preprocessing.json`."""
        return cls(
            name=document["name"],
            values=tuple(document["values"]),
            numbers=tuple(map(tuple, document["numbers"])),
            missing=tuple(document["missing"]),
            other=tuple(document["other"]),
        )


def fit_encoding(
    name: str, values: Array, targets: Array, seed: int
) -> tuple[EncodedFeature, Array]:
    """Fit to (rows,) str or None and the targets, (rows, numbers) float64.

    Return the feature, for all other rows, and the cross-fitted numbers of these rows, float32
    (rows, numbers); `seed` divides the rows.
    """
    counts = pd.Series(values).value_counts()
    counts = counts[counts >= MIN_ROWS]
    ranked = sorted(counts.index, key=lambda text: (-counts[text], text))[:MAX_ENCODED]
    kept = tuple(sorted(ranked))
    codes = _look_up(values, _codes(kept))
    crossed = np.empty(targets.shape)
    codes[codes == UNSEEN] = len(kept) + 1
    for train, rows in parts(len(codes), seed):
        crossed[rows] = _means(codes[train], targets[train], len(kept) + 2)[codes[rows]]
    mean, scale = standardise(crossed)
    table = (_means(codes, targets, len(kept) + 2) - mean) / scale
    *numbers, missing, other = (tuple(row) for row in table.tolist())
    feature = EncodedFeature(name, kept, tuple(numbers), missing, other)
    return feature, ((crossed - mean) / scale).astype(np.float32)


def _codes(kept: tuple[str, ...]) -> dict[str, int]:
    """Number the values, then a missing cell; a rare or unseen value is -1, the last."""
    codes = dict.fromkeys(MISSING_TEXTS, len(kept))
    codes.update({text: code for code, text in enumerate(kept)})
    return codes


def _look_up(values: Array, codes: Mapping[str, int]) -> Array:
    return np.fromiter((codes.get(value or "", UNSEEN) for value in values), np.int64, len(values))


def _means(codes: Array, targets: Array, count: int) -> Array:
    """Return smoothed mean targets, (count, numbers); a code that is not there has the mean."""
    if not len(codes):
        return np.zeros((count, targets.shape[1]))
    encoder = MeanEncoder(categories=[np.arange(count)], target_type="continuous", smooth=SMOOTHING)
    columns = [
        encoder.fit(codes[:, None], column).transform(np.arange(count)[:, None])
        for column in targets.T
    ]
    return np.hstack(columns)
