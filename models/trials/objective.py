"""The metric that ranks trials, and the comparison of scores."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from models.data.preparation.tasks import Task
from models.errors import Invalid

Direction = Literal["min", "max"]

_REGRESSION: Mapping[str, Direction] = {
    "loss": "min",
    "mse": "min",
    "mae": "min",
    "rmse": "min",
    "r2": "max",
}
_CLASSIFICATION: Mapping[str, Direction] = {
    "loss": "min",
    "accuracy": "max",
    "balanced_accuracy": "max",
    "precision": "max",
    "recall": "max",
    "f1": "max",
    "auc": "max",
    "log_loss": "min",
}
METRICS: Mapping[Task, Mapping[str, Direction]] = {
    Task.REGRESSION: _REGRESSION,
    Task.BINARY: _CLASSIFICATION,
    Task.MULTICLASS: _CLASSIFICATION,
}


@dataclass(frozen=True, slots=True)
class Objective:
    """A metric on the validation rows, and whether less or more of it is better.

    A score may be None, for a trial that has none.
    """

    metric: str  # without "val_"
    direction: Direction

    @property
    def is_minimized(self) -> bool:
        """Whether smaller scores are better."""
        return self.direction == "min"

    def is_better(self, score: float | None, other: float | None) -> bool:
        """Return whether the first score is better; any score is better than none."""
        return self.loss(score) < self.loss(other)

    def best(self, *scores: float | None) -> float | None:
        """Return the best of some scores, at least one; None if all are None."""
        return min(scores, key=self.loss)

    def loss(self, score: float | None) -> float:
        """Return a number that is smaller for better scores: a key to sort by; inf for None."""
        if score is None:
            return math.inf
        return score if self.is_minimized else -score


def resolve_objective(
    task: Task, metric: str = "val_loss", direction: str | None = None
) -> Objective:
    """Return the objective that a metric's name means, with or without `val_`.

    The direction follows from the metric. A `direction` that does not agree is refused, since the
    worst trial would win. Raises Invalid at `objective.metric` or `objective.direction`.
    """
    known = METRICS[task]
    name = metric.removeprefix("val_")
    if name not in known:
        raise Invalid.at(
            "objective.metric",
            f"{metric!r} is not a metric of a {task} task; use one of: {', '.join(known)}.",
        )
    better = known[name]
    if direction not in (None, better):
        raise Invalid.at(
            "objective.direction",
            f"{direction!r} would choose the worst trial: {name} is better at its {better}imum.",
        )
    return Objective(name, better)
