"""Conclusions from the scores of a version: is it better than trees, was its search optimistic?"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from models.data.preparation.tasks import Task
from models.registry.documents import UNDECIDED, Document
from models.registry.evidence.baselines import Baseline
from models.registry.evidence.intervals import (
    Interval,
    Intervals,
    Resamples,
    Scoring,
    interval_of,
)
from models.trials.metrics import Metrics
from models.trials.spec import METRICS, Objective

Array = np.ndarray[Any, Any]
BetterThanTrees = bool | str | None  # true, false, "undecided", or none

_WORDS = {
    "loss": "log loss",
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R²",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "auc": "AUC",
    "log_loss": "log loss",
}


@dataclass(frozen=True, slots=True)
class TreesComparison:
    """A version beside boosted trees on the same rows, by one metric."""

    better_than_trees: BetterThanTrees  # None where there is nothing to compare
    conclusion: str  # in a sentence
    metric: str | None = None
    score: float | None = None  # of the version
    trees: float | None = None
    difference: float | None = None  # above 0 if the version is better
    interval: Interval | None = None  # of the difference


def measured_by(task: Task, objective: Objective) -> Objective:
    """Return the objective in a form that compares answers.

    It is the loss for one that is not about answers, such as `parameters`. A mean squared error
    becomes its root, which orders answers alike and has the target's unit.
    """
    if objective.metric not in METRICS[task]:
        objective = Objective("loss", "min")
    is_squared = task is Task.REGRESSION and objective.metric in ("loss", "mse")
    return replace(objective, metric="rmse") if is_squared else objective


def compare_with_trees(
    scoring: Scoring,
    objective: Objective,
    truth: Array,
    answers: Array,
    trees: Baseline,
    draws: Resamples,
    learned: int,
) -> TreesComparison:
    """Say whether the answers of a version are better than those of `trees`, by paired resamples.

    It is undecided while the 95 % interval of the difference contains 0. `learned` is the number of
    rows that the version learned from.
    """
    if trees.answers is None:
        return TreesComparison(None, f"There are no boosted trees to compare with. {trees.note}")
    name = objective.metric
    score = scoring.metrics(truth, answers)[name]
    other = scoring.metrics(truth, trees.answers)[name]
    if score is None or other is None:
        reason = f"The {_WORDS[name]} is undefined on these rows."
        return TreesComparison(None, f"Boosted trees cannot be compared with. {reason}")
    sign = 1 if objective.is_minimized else -1
    pairs = [
        scoring.resampled(truth, each, draws, [name])[name] for each in (trees.answers, answers)
    ]
    interval = interval_of(sign * (pairs[0] - pairs[1])) if draws.units > 1 else None
    better: BetterThanTrees = UNDECIDED
    if interval is not None and interval[0] > 0:
        better = True
    elif interval is not None and interval[1] < 0:
        better = False
    return TreesComparison(
        better_than_trees=better,
        conclusion=_sentence(better, _WORDS[name], score, other, interval)
        + _shortage(trees.rows, learned),
        metric=name,
        score=score,
        trees=other,
        difference=sign * (other - score),
        interval=interval,
    )


def optimism_document(
    objective: Objective, search: Metrics | None, test: Metrics | None, intervals: Intervals | None
) -> Document | None:
    """Put the score that won the search beside the test score; None without one of them.

    The winner was chosen by the first, which is therefore too good on average. `gap` is above 0
    where the test score is the worse one.
    """
    found, confirmed = ((each or {}).get(objective.metric) for each in (search, test))
    if found is None or confirmed is None:
        return None
    return {
        "metric": objective.metric,
        "search": found,
        "test": confirmed,
        "interval": (intervals or {}).get(objective.metric),
        "gap": objective.loss(confirmed) - objective.loss(found),
    }


def _sentence(
    better: BetterThanTrees, metric: str, score: float, trees: float, interval: Interval | None
) -> str:
    if better is False:
        claim, first, second = "A gradient-boosted tree is better on the test rows", trees, score
        interval = interval and [-interval[1], -interval[0]]
    elif better is True:
        claim, first, second = (
            "This version is better than gradient-boosted trees on the test rows",
            score,
            trees,
        )
    else:
        claim, first, second = (
            "The test rows do not tell whether this version or gradient-boosted trees are better",
            score,
            trees,
        )
    shown = "" if interval is None else f"{_number(interval[0], 3)} to {_number(interval[1], 3)}"
    bounds = f" (95 % interval of the difference {shown})" if shown else ""
    return f"{claim}: {metric} {_number(first)} against {_number(second)}{bounds}."


def _shortage(trees: int, learned: int) -> str:
    if trees >= learned:
        return ""
    return f" The trees learned from {trees:,} of its {learned:,} training rows."


def _number(value: float, digits: int = 4) -> str:
    return f"{value:,.{digits}g}" if value == 0 or 1e-4 <= abs(value) < 1e3 else _long(value)


def _long(value: float) -> str:
    return f"{value:,.0f}" if 1e3 <= abs(value) < 1e9 else f"{value:.2e}"
