"""The threshold of a binary version: from which probability on it answers the positive class."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from models.data.preparation.tasks import Task
from models.registry.certainty.rows import CalibrationRows
from models.registry.documents import Document
from models.registry.evidence.held_out import HeldOut
from models.trials.metrics import class_metrics, class_probabilities

Array = np.ndarray[Any, Any]

MIN_ROWS = 50
MAX_ROWS = 10_000  # that it is chosen on
SHOWN = ("accuracy", "balanced_accuracy", "precision", "recall", "f1")

ONE_CLASS = "The calibration rows are of one class."
NO_BETTER = "No threshold is better than 0.5 on rows that it was not chosen on."


@dataclass(frozen=True, slots=True)
class Threshold:
    """The threshold of a version, and how it was judged."""

    value: float | None = None  # None: the more probable class is answered
    metric: str | None = None  # that it was chosen for
    note: str | None = None  # why there is none although one was wanted
    # The mean metric of the halves that it was not chosen on, at 0.5 and with it.
    unseen_before: float | None = None
    unseen_after: float | None = None

    def document(self, held_out: HeldOut, positive: int) -> Document:
        """Return the evidence of it, with the metrics of the test rows at 0.5 and with it."""
        judged = {"before": self.unseen_before, "after": self.unseen_after}
        test = None
        if self.value is not None and len(held_out.truth) and np.isfinite(held_out.served).all():
            given = class_probabilities(held_out.served)
            scores = [
                class_metrics(held_out.truth, given, Task.BINARY, positive, threshold)
                for threshold in (None, self.value)
            ]
            names = ("before", "after")
            test = {
                name: {metric: found[metric] for metric in SHOWN}
                for name, found in zip(names, scores, strict=True)
            }
        return {
            "value": self.value,
            "metric": self.metric,
            "note": self.note,
            "unseen": None if self.unseen_before is None else judged,
            "test": test,
        }


def choose_threshold(rows: CalibrationRows, wanted: float | str, positive: int) -> Threshold:
    """Return the threshold `wanted`, or choose that which is best for a metric of this name.

    A chosen one is kept only if it is better than 0.5 on rows that it was not chosen on: each half
    of the calibration rows judges that of the other half.
    """
    if isinstance(wanted, float):
        return Threshold(wanted)
    if len(rows.truth) < MIN_ROWS:
        few = f"{len(rows.truth)} rows are too few to choose a threshold: {MIN_ROWS} are needed."
        return Threshold(metric=wanted, note=rows.note or few)
    order = np.random.default_rng(0).permutation(len(rows.truth))[:MAX_ROWS]
    halves = order[::2], order[1::2]
    if any(len(np.unique(rows.truth[half])) < 2 for half in halves):
        return Threshold(metric=wanted, note=ONE_CLASS)

    def best(seen: Array) -> float:
        is_positive = rows.truth[seen] == positive
        return _best(is_positive, rows.answers[seen, positive], wanted)

    def judged(thresholds: Sequence[float | None]) -> float:
        """Return the mean metric of both halves, each by the threshold in its place."""
        found = (
            class_metrics(rows.truth[half], rows.answers[half], Task.BINARY, positive, threshold)
            for half, threshold in zip(halves, thresholds, strict=True)
        )
        return fmean(scores[wanted] or 0.0 for scores in found)

    before = judged((None, None))
    after = judged((best(halves[1]), best(halves[0])))
    if not after > before:
        return Threshold(None, wanted, NO_BETTER, before, after)
    return Threshold(float(f"{best(order):.6g}"), wanted, None, before, after)


def _best(is_positive: Array, probabilities: Array, metric: str) -> float:
    """Return the threshold between two neighbours that is best; of equal ones nearest to 0.5."""
    order = np.argsort(-probabilities, kind="stable")
    given, right = probabilities[order], np.cumsum(is_positive[order])
    ends = np.flatnonzero(given[1:] < given[:-1])
    if not len(ends):
        return 0.5
    places = (given[ends] + given[ends + 1]) / 2
    inside, chosen = right[ends], ends + 1
    positives, rows = right[-1], len(given)
    rejected = rows - positives - (chosen - inside)
    match metric:
        case "f1":
            scores = 2 * inside / (positives + chosen)
        case "balanced_accuracy":
            scores = (inside / positives + rejected / (rows - positives)) / 2
        case _:
            scores = (inside + rejected) / rows
    best = places[scores >= scores.max() - 1e-12]
    return float(best[np.abs(best - 0.5).argmin()])
