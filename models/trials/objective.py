"""The metric that ranks trials."""

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
    """A metric on the validation rows and whether less or more of it is better."""

    metric: str  # without "val_"
    direction: Direction

    def is_worse(self, score: float, other: float) -> bool:
        """Whether the first score is not as good as the other."""
        return score > other if self.direction == "min" else score < other


def resolve_objective(
    task: Task, metric: str = "val_loss", direction: str | None = None
) -> Objective:
    """The objective meant by a metric's name, with or without `val_`.

    The direction follows from the metric; one that is given must agree, since the worst trial would
    win otherwise. Raises Invalid at `objective.metric` or `objective.direction`.
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
