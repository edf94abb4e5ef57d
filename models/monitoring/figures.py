"""Counts of the requests that one version has answered, which add up over processes and time."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.registry.profile import FIRST_BIN, MISSING

Array = np.ndarray[Any, Any]

# Bins of latencies: each is 10 % wider than the one before, so that percentiles are 5 % off.
SHORTEST = 1e-5  # seconds
RATIO = 1.1
BINS = 200  # the last begins at half an hour
_SUMS = ("requests", "rows", "refused", "failed", "logged", "dropped")


def _no_latencies() -> Array:
    return np.zeros(BINS, dtype=np.int64)


@dataclass(slots=True, eq=False)
class Figures:
    """Counts of some requests to one version."""

    requests: int = 0  # answered or not
    rows: int = 0  # answered
    refused: int = 0  # requests whose rows or options did not fit
    failed: int = 0  # requests that the service could not answer
    logged: int = 0
    dropped: int = 0  # of those to be logged
    latency: Array = field(default_factory=_no_latencies)  # answered requests by bin, (BINS,)
    columns: dict[str, Array] = field(default_factory=dict)  # as `TrainedColumn.count` counts

    @property
    def errors(self) -> int:
        """Requests without an answer."""
        return self.refused + self.failed

    @property
    def error_rate(self) -> float | None:
        """Their share; None without requests."""
        return self.errors / self.requests if self.requests else None

    @property
    def observed(self) -> int:
        """Rows whose columns were counted."""
        return max(map(rows_of, self.columns.values()), default=0)

    def add(self, other: "Figures") -> None:
        """Add the counts of other requests to the same version."""
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.latency += other.latency
        for name, counts in other.columns.items():
            self.count_column(name, counts)

    def count_column(self, name: str, counts: Array) -> None:
        """Add counts of some rows of one column."""
        before = self.columns.get(name)
        if before is None or len(before) != len(counts):
            self.columns[name] = counts
        else:
            self.columns[name] = before + counts

    def count_latencies(self, seconds: Sequence[float]) -> None:
        """Add the seconds that some requests took."""
        times = np.maximum(np.array(seconds, dtype=np.float64), SHORTEST)
        bins = (np.log(times / SHORTEST) / math.log(RATIO)).astype(np.int64)
        self.latency += np.bincount(np.minimum(bins, BINS - 1), minlength=BINS)

    def percentile(self, share: float) -> float | None:
        """Return the seconds within which this share of requests was answered; None without any.

        It is the middle of a bin, and so about 5 % off at most.
        """
        total = int(self.latency.sum())
        if not total:
            return None
        reached = np.cumsum(self.latency) >= math.ceil(share * total)
        return float(SHORTEST * RATIO ** (int(reached.argmax()) + 0.5))

    @property
    def latency_ms(self) -> dict[str, float | None]:
        """The median and the 99th percentile in milliseconds."""
        seconds = {"p50": self.percentile(0.5), "p99": self.percentile(0.99)}
        return {name: None if value is None else 1000 * value for name, value in seconds.items()}

    def to_row(self) -> dict[str, Any]:
        """Return the columns of a row of `prediction_figures`; `from_row` is the inverse."""
        bins = np.flatnonzero(self.latency).tolist()
        return {name: getattr(self, name) for name in _SUMS} | {
            "latency": {str(place): int(self.latency[place]) for place in bins},
            "columns": {name: counts.tolist() for name, counts in self.columns.items()},
        }

    @classmethod
    def from_row(cls, row: Mapping[Any, Any]) -> "Figures":
        """Read a row of `prediction_figures`."""
        found = cls()
        for name in _SUMS:
            setattr(found, name, int(row[name]))
        for place, number in (row["latency"] or {}).items():
            found.latency[int(place)] += number
        for name, counts in (row["columns"] or {}).items():
            found.columns[name] = np.array(counts, dtype=np.int64)
        return found


def total(parts: Iterable[Figures]) -> Figures:
    """Return the sum of figures of one version."""
    found = Figures()
    for part in parts:
        found.add(part)
    return found


def rows_of(counts: Array) -> int:
    """Return how many rows the counts of a column are of."""
    return int(counts[MISSING] + counts[FIRST_BIN:].sum()) if len(counts) else 0
