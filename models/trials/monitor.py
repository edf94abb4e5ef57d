"""The metric that a training monitors: it chooses the best epoch and ends training early."""

import math
from dataclasses import dataclass, replace

from models.data.preparation.tasks import Task
from models.data.preparation.weighting import ClassWeight
from models.errors import Invalid
from models.trials.metrics import Array, class_metrics, class_probabilities, weighted_log_loss
from models.trials.spec import METRICS, Direction, EarlyStopping, Objective

# They are the validation loss, or order epochs as it does.
_AS_LOSS = ("loss", "log_loss", "mse", "rmse", "r2")


@dataclass(frozen=True, slots=True)
class Monitor:
    """A metric of the validation rows after each epoch."""

    metric: str = "loss"
    direction: Direction = "min"
    by_class_weight: bool = False  # whether each row counts by the weight of its class

    @property
    def series(self) -> str:
        """Its name in the history of a run."""
        return "val_weighted_loss" if self.by_class_weight else f"val_{self.metric}"

    def loss(self, figure: float) -> float:
        """Return a number that is smaller for better figures."""
        return figure if self.direction == "min" else -figure

    def measure(
        self,
        task: Task,
        truth: Array,
        outputs: Array,
        weights: Array | None,
        positive: int | None = None,
    ) -> float:
        """Return the metric of a classification; NaN where it is undefined.

        `truth` holds class numbers and `weights` those of the rows, both of shape (rows,);
        `outputs` are those of the network, (rows, units). `positive` is as in `class_metrics`.
        """
        probabilities = class_probabilities(outputs)
        if self.by_class_weight and weights is not None:
            return weighted_log_loss(truth, probabilities, weights)
        figure = class_metrics(truth, probabilities, task, positive)[self.metric]
        return math.nan if figure is None else figure


VALIDATION_LOSS = Monitor()


def monitored_metric(
    task: Task,
    objective: Objective,
    early_stopping: EarlyStopping | None,
    class_weight: ClassWeight | None,
) -> Monitor:
    """Return the metric of `early_stopping`, or else the objective's.

    It is the validation loss for metrics that order epochs as the loss does, and for those that
    no epoch changes. With class weights, that loss is weighted as the training loss is.
    """
    asked = None if early_stopping is None else early_stopping.metric
    metric = asked or objective.metric
    if metric in _AS_LOSS or metric not in METRICS[task]:
        return monitored_loss(class_weight)
    return Monitor(metric, METRICS[task][metric])


def monitored_loss(class_weight: ClassWeight | None) -> Monitor:
    """Return the loss, weighted by class where `class_weight` asks for it."""
    return Monitor(by_class_weight=class_weight is not None)


def resolve_early_stopping(task: Task, asked: EarlyStopping | None) -> EarlyStopping | None:
    """Return `asked` with its metric's name without `val_`.

    Raises Invalid at `early_stopping.metric` for a metric that the task does not have.
    """
    if asked is None or asked.metric is None:
        return asked
    known = METRICS[task]
    name = asked.metric.removeprefix("val_")
    if name not in known:
        raise Invalid.at(
            "early_stopping.metric",
            f"{asked.metric!r} is not a metric of a {task} task; use one of: {', '.join(known)}.",
        )
    return replace(asked, metric=name)
