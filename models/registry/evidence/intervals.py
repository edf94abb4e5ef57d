"""Metrics of a version's answers, and their bootstrap intervals.

The intervals are percentiles over resamples of the rows (Efron, *Bootstrap methods: another look at
the jackknife*, Annals of Statistics 7, 1979). Every metric is computed from sums over rows, so that
one matrix product serves all resamples.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from scipy.stats import rankdata

from models.data.dataset import Dataset
from models.data.encoding.preprocessing import TargetEncoder
from models.data.preparation.parts import Rows
from models.data.preparation.splitting import numbered
from models.data.preparation.tasks import Task, has_value
from models.trials.metrics import (
    Metrics,
    class_metrics,
    class_probabilities,
    log_losses,
    predicted_classes,
    regression_metrics,
)
from models.trials.spec import METRICS

Array = np.ndarray[Any, Any]
Interval = list[float]  # low and high
Intervals = dict[str, Interval | None]

CONFIDENCE = 0.95
RESAMPLES = 1000
FEW_UNITS = 30  # rows or groups, below which an interval comes with a warning
_MAX_UNITS = 5000  # that are drawn; of more, random blocks are
_LEAST_DEFINED = 0.5  # of the resamples, for an interval


@dataclass(frozen=True, slots=True, eq=False)
class Resamples:
    """Draws of rows with replacement: the same ones for every answer, so that answers pair up.

    A unit is a row, a group of rows, or a block of several if there are more than 5,000. Blocks are
    random, which leaves the variance of a sum as it is.
    """

    members: Any  # sparse (units, rows): 1 for the rows of a unit
    counts: Array  # float64 (resamples, units): how often each unit was drawn
    rows: int
    units: int  # rows or groups, before they were put into blocks
    is_grouped: bool

    @classmethod
    def draw(
        cls, rows: int, seed: int, groups: Array | None = None, number: int = RESAMPLES
    ) -> "Resamples":
        """Draw `number` times from as many rows; `groups`, (rows,) numbers, stay whole."""
        generator = np.random.default_rng([seed, 2])
        unit = np.arange(rows) if groups is None else numbered(groups)
        units = int(unit.max(initial=-1)) + 1
        blocks = min(units, _MAX_UNITS)
        if units > blocks:
            unit = (generator.permutation(units) % blocks)[unit]
        drawn = generator.integers(blocks, size=(number, blocks))
        places = drawn + np.arange(number)[:, None] * blocks
        counts = np.bincount(places.ravel(), minlength=number * blocks).astype(np.float64)
        members = sparse.csr_matrix((np.ones(rows), (unit, np.arange(rows))), (blocks, rows))
        return cls(members, counts.reshape(number, blocks), rows, units, groups is not None)

    def sums(self, columns: Array) -> Array:
        """Return the sums of (rows, columns) over each resample: (resamples, columns)."""
        totals: Array = self.counts @ (self.members @ columns)
        return totals

    def class_counts(self, numbers: Array, classes: int, counted: Array) -> Array:
        """Count the `counted` rows, (rows,) bool, by class: (resamples, classes)."""
        places = (np.arange(self.rows), numbers)
        by_row = sparse.csr_matrix((counted.astype(np.float64), places), (self.rows, classes))
        found: Array = ((self.members @ by_row).T @ self.counts.T).T
        return found

    @property
    def note(self) -> str | None:
        """Say why intervals mean little, or why there are none."""
        what = ("group" if self.is_grouped else "row") + ("" if self.units == 1 else "s")
        if self.units < 2:
            return f"{self.units} held-out {what} cannot give an interval."
        if self.units < FEW_UNITS:
            return f"Only {self.units} held-out {what}: the intervals are rough, likely too narrow."
        return None


@dataclass(frozen=True, slots=True)
class Scoring:
    """The metrics of `models.trials.spec.METRICS` for answers in the target's own units.

    Answers are predictions (rows, 1), or probabilities (rows, classes) in the encoder's order.
    """

    encoder: TargetEncoder
    positive: int | None  # class that precision, recall and f1 count
    threshold: float | None = None  # from which probability on it is answered

    @property
    def task(self) -> Task:
        """The task of the target."""
        return self.encoder.task

    def truth(self, values: Array) -> Array:
        """Return the target's values, as in the dataset, as float64 or as class numbers."""
        if self.task is Task.REGRESSION:
            return values.astype(np.float64)
        return self.encoder.encode(values)

    def metrics(self, truth: Array, answers: Array) -> Metrics:
        """Return every metric; all are None if an answer is not finite."""
        if not np.isfinite(answers).all():
            return dict.fromkeys(METRICS[self.task])
        if self.task is Task.REGRESSION:
            with np.errstate(over="ignore", invalid="ignore"):
                found = regression_metrics(truth, answers[:, 0].astype(np.float64))
            # The square of an error may be too large for a number.
            return {name: value if _is_finite(value) else None for name, value in found.items()}
        given = class_probabilities(answers)
        return class_metrics(truth, given, self.task, self.positive, self.threshold)

    def resampled(
        self, truth: Array, answers: Array, draws: Resamples, names: Sequence[str] | None = None
    ) -> dict[str, Array]:
        """Return metrics of each resample, (resamples,), NaN where undefined.

        They are all, or those of `names`. All are NaN if an answer is not finite.
        """
        wanted = list(METRICS[self.task]) if names is None else list(names)
        if not np.isfinite(answers).all():
            return dict.fromkeys(wanted, np.full(len(draws.counts), np.nan))
        with np.errstate(all="ignore"):
            if self.task is Task.REGRESSION:
                found = _regression(truth, answers[:, 0].astype(np.float64), draws)
            else:
                found = self._classification(truth, class_probabilities(answers), draws, wanted)
        return {name: found[name] for name in wanted}

    def intervals(self, truth: Array, answers: Array, draws: Resamples) -> Intervals:
        """Return the interval of each metric; None where it cannot be had."""
        if draws.units < 2:
            return dict.fromkeys(METRICS[self.task])
        resampled = self.resampled(truth, answers, draws)
        return {name: interval_of(values) for name, values in resampled.items()}

    def _classification(
        self, truth: Array, probabilities: Array, draws: Resamples, wanted: Sequence[str]
    ) -> dict[str, Array]:
        found: dict[str, Array] = {}
        rows, classes = probabilities.shape
        if {"loss", "log_loss"} & set(wanted):
            losses = log_losses(truth, probabilities)
            summed = draws.sums(np.column_stack([np.ones(rows), losses]))
            found["loss"] = found["log_loss"] = summed[:, 1] / summed[:, 0]
        if set(wanted) <= found.keys():
            return found
        everyone = np.ones(rows, dtype=bool)
        held = draws.class_counts(truth, classes, everyone)
        if "auc" in wanted:
            found["auc"] = _areas(truth, probabilities, draws, held)
        if set(wanted) <= found.keys():
            return found
        predicted = predicted_classes(probabilities, self.positive, self.threshold)
        chosen = draws.class_counts(predicted, classes, everyone)
        right = draws.class_counts(truth, classes, predicted == truth)
        return found | _counted(held, chosen, right, self._averaged)

    @property
    def _averaged(self) -> slice:
        """The classes that precision, recall and f1 are means over."""
        positive = self.positive
        if positive is None and self.task is Task.BINARY:
            positive = 1
        return slice(None) if positive is None else slice(positive, positive + 1)


def interval_of(values: Array) -> Interval | None:
    """Return the 95 % percentile interval of (resamples,); None if most are undefined."""
    known = values[np.isfinite(values)]
    if len(known) < _LEAST_DEFINED * len(values):
        return None
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(known, [tail, 100 - tail]).tolist()
    return [rounded(low), rounded(high)]


def rounded(value: float) -> float:
    """Keep the seven significant digits that an answer in float32 has."""
    return float(f"{value:.7g}")


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def group_numbers(dataset: Dataset, rows: Rows, group: str | None) -> Array | None:
    """Return a number for the group of each of `rows`; None if rows are not grouped.

    A row without a group is a group of its own. A dataset without the column has none.
    """
    if group is None or group not in dataset.names:
        return None
    values = dataset.values[group][rows]
    present = has_value(values)
    numbers = np.empty(len(rows), dtype=np.int64)
    numbers[present] = numbered(values[present])
    numbers[~present] = len(rows) + np.arange(np.count_nonzero(~present))
    return numbers


def _regression(truth: Array, predictions: Array, draws: Resamples) -> Mapping[str, Array]:
    errors = truth - predictions
    # Around the mean: the squares of large numbers would drown the differences.
    spread = truth - truth.mean()
    columns = [np.ones(len(truth)), errors**2, np.abs(errors), spread, spread**2]
    weight, squares, absolute, first, second = draws.sums(np.column_stack(columns)).T
    total = second - first**2 / weight
    defined = total > 1e-12 * second
    mse = squares / weight
    return {
        "loss": mse,
        "mse": mse,
        "mae": absolute / weight,
        "rmse": np.sqrt(mse),
        "r2": np.where(defined, 1 - squares / np.where(defined, total, 1.0), np.nan),
    }


def _counted(held: Array, chosen: Array, right: Array, averaged: slice) -> dict[str, Array]:
    """Return the metrics of counts by class, (resamples, classes) each."""
    precision, recall = right / np.maximum(1, chosen), right / np.maximum(1, held)
    f1 = 2 * right / np.maximum(1, held + chosen)
    return {
        "accuracy": right.sum(axis=1) / held.sum(axis=1),
        "balanced_accuracy": recall.sum(axis=1) / (held > 0).sum(axis=1),
        "precision": precision[:, averaged].mean(axis=1),
        "recall": recall[:, averaged].mean(axis=1),
        "f1": f1[:, averaged].mean(axis=1),
    }


def _areas(truth: Array, probabilities: Array, draws: Resamples, held: Array) -> Array:
    """Return the area under the ROC curve, (resamples,), as `class_metrics` defines it.

    A resample's area follows from the placements of all rows: to first order, as in DeLong et al.,
    *Comparing the areas under two or more correlated ROC curves*, Biometrics 44, 1988.
    """
    classes = probabilities.shape[1]
    measured = [1] if classes == 2 else range(classes)
    areas = [_area(truth == number, probabilities[:, number], draws) for number in measured]
    mean: Array = np.where((held > 0).all(axis=1), np.mean(areas, axis=0), np.nan)
    return mean


def _area(is_class: Array, scores: Array, draws: Resamples) -> Array:
    inside, outside = np.count_nonzero(is_class), np.count_nonzero(~is_class)
    if not inside or not outside:
        return np.full(len(draws.counts), np.nan)
    placement = rankdata(scores)
    placement[is_class] = (placement[is_class] - rankdata(scores[is_class])) / outside
    placement[~is_class] = 1 - (placement[~is_class] - rankdata(scores[~is_class])) / inside
    columns = [is_class, is_class * placement, ~is_class, ~is_class * placement]
    held, above, others, below = draws.sums(np.column_stack(columns).astype(np.float64)).T
    area: Array = above / held + below / others - placement[is_class].mean()
    return np.clip(area, 0.0, 1.0)
