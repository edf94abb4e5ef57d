"""How far the rows that a version answers lie from those that it was trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from models.data.columns import ColumnType
from models.monitoring.figures import rows_of
from models.registry.profile import FIRST_BIN, MISSING, OUTSIDE, TrainedColumn

Array = np.ndarray[Any, Any]

MIN_ROWS = 100  # below which nothing is said
MIN_PSI = 0.2  # from which on the index is usually called a shift; Siddiqi, 2006
MAX_OUTSIDE = 0.05  # share of values that training had not
FALSE_ALARMS = 0.001  # probability of one, over all columns of rows that are as in training

NO_DRIFT, DRIFT, NO_PROFILE, NOT_MEASURED = "no drift", "drift", "no profile", "not measured"
UNKNOWN = "unknown: the training profile cannot be read now"


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """One column of a version."""

    column: str
    type: str
    rows: int  # that were counted
    verdict: str  # `no drift`, `drift`, `not measured`, or how many rows are too few
    psi: float | None = None  # the population stability index against the training rows
    limit: float | None = None  # from which on it is a drift
    missing: float | None = None  # share of rows
    missing_in_training: float | None = None
    unseen: float | None = None  # share of rows with a category that training had not
    out_of_range: float | None = None  # share below the smallest or above the largest number


@dataclass(frozen=True, slots=True)
class Drift:
    """All columns of a version, and what they say together."""

    rows: int
    verdict: str
    columns: tuple[ColumnDrift, ...] = ()


def measure_drift(
    profile: Sequence[TrainedColumn] | None, counts: Mapping[str, Array], rows: int
) -> Drift:
    """Compare counts of `rows` rows, by column, with the training profile; None: there is none."""
    if profile is None:
        return Drift(rows, NO_PROFILE)
    measured = max(1, sum(column.is_measured for column in profile))
    columns = tuple(_measure(column, counts.get(column.name), measured) for column in profile)
    drifting = [found.column for found in columns if found.verdict == DRIFT]
    if drifting:
        return Drift(rows, f"drift in {', '.join(drifting)}", columns)
    return Drift(rows, NO_DRIFT if rows >= MIN_ROWS else _too_few(rows), columns)


def stability_index(trained: Array, found: Array) -> float:
    """Return the population stability index of two rows of counts, (bins,).

    It is the sum of (q - p) ln(q / p) over the shares of the bins. Half a row is added to each, so
    that an empty bin has a share. See Siddiqi, Credit Risk Scorecards, 2006.
    """
    p, q = ((counts + 0.5) / (counts.sum() + 0.5 * len(counts)) for counts in (trained, found))
    return float(((q - p) * np.log(q / p)).sum())


def index_limit(bins: int, trained: int, rows: int, columns: int) -> float:
    """Return the index from which on a column drifts: MIN_PSI, or more where rows are few.

    Without a shift the index is about chi-squared with bins - 1 degrees of freedom, times
    1 / trained + 1 / rows (Yurdakul, Statistical Properties of PSI, 2018); the quantile is that of
    Wilson and Hilferty, 1931.
    """
    freedom = max(1, bins - 1)
    spread = 2 / (9 * freedom)
    z = NormalDist().inv_cdf(1 - FALSE_ALARMS / columns)
    quantile: float = freedom * (1 - spread + z * spread**0.5) ** 3
    return max(MIN_PSI, quantile * (1 / max(1, trained) + 1 / max(1, rows)))


def _measure(column: TrainedColumn, counts: Array | None, columns: int) -> ColumnDrift:
    trained = np.array(column.counts)
    if not column.is_measured:
        return ColumnDrift(column.name, column.type, 0, NOT_MEASURED)
    if counts is None or len(counts) != len(trained) or not rows_of(counts):
        return ColumnDrift(column.name, column.type, 0, _too_few(0))
    rows, learned = rows_of(counts), rows_of(trained)
    bins = [MISSING, *range(FIRST_BIN, len(trained))]
    psi = stability_index(trained[bins], counts[bins])
    limit = index_limit(len(bins), learned, rows, columns)
    outside = float(counts[OUTSIDE]) / rows
    is_drift = psi >= limit or outside > MAX_OUTSIDE
    verdict = (DRIFT if is_drift else NO_DRIFT) if rows >= MIN_ROWS else _too_few(rows)
    is_category = column.type is ColumnType.CATEGORY
    return ColumnDrift(
        column.name,
        column.type,
        rows,
        verdict,
        psi,
        limit,
        missing=float(counts[MISSING]) / rows,
        missing_in_training=float(trained[MISSING]) / max(1, learned),
        unseen=outside if is_category and column.is_complete else None,
        out_of_range=None if is_category else outside,
    )


def _too_few(rows: int) -> str:
    return f"too few rows: {rows} of {MIN_ROWS}"
