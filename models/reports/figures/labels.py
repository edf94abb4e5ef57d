"""Numbers, times, metrics and their units in words."""

from datetime import UTC, datetime

from models.data.preparation.tasks import Task
from models.jobs.model import Job
from models.trials.spec import CLASS_METRICS, NETWORK_METRICS

_PARTS = {"holdout": "validation", "cv": "cross-validated", "train": "training"}
_NETWORK_METRICS = {"parameters": "parameters", "latency_ms": "latency of one row (ms)"}
_METRICS_OF_CLASSES = {
    "loss": "log loss (nats)",
    "log_loss": "log loss (nats)",
    "accuracy": "accuracy (share of rows)",
    "balanced_accuracy": "balanced accuracy (share of rows)",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "auc": "area under the ROC curve",
}


def metric_label(metric: str, task: Task, target: str, positive: str | None = None) -> str:
    """Name a metric with its unit, which for a regression is the target's own.

    `positive` is the class that precision, recall and F1 count, if it is one.
    """
    if metric in _NETWORK_METRICS:
        return _NETWORK_METRICS[metric]
    if task is not Task.REGRESSION:
        label = _METRICS_OF_CLASSES.get(metric, metric)
        is_counted = positive is not None and metric in CLASS_METRICS
        return f"{label} of class {shortened(positive or '')}" if is_counted else label
    known = {
        "loss": f"mean squared error (unit of {target}, squared)",
        "mse": f"mean squared error (unit of {target}, squared)",
        "mae": f"mean absolute error (unit of {target})",
        "rmse": f"root mean squared error (unit of {target})",
        "r2": "R²",
    }
    return known.get(metric, metric)


def score_label(job: Job, target: str | None = None) -> str:
    """Say what a job's scores are, with their unit; `target` may be a shortened name."""
    spec = job.spec
    part = _PARTS.get(spec.evaluation.method, spec.evaluation.method)
    objective, named = spec.objective, target or spec.target
    label = metric_label(objective.metric, spec.task, named, objective.positive_class)
    return label if objective.metric in NETWORK_METRICS else f"{part} {label}"


def better_is(job: Job) -> str:
    """Say which way a job's scores improve."""
    return "lower is better" if job.spec.objective.is_minimized else "higher is better"


def number(value: float | None) -> str:
    """Write four significant digits; a dash for None."""
    if value is None:
        return "–"
    if value == 0 or 1e-4 <= abs(value) < 1e6:
        return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return f"{value:.3e}"


def moment(value: datetime | None) -> str:
    """Write a time in UTC, to the second."""
    return "–" if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def shortened(text: str, limit: int = 28) -> str:
    """Cut a text to `limit` characters on one line."""
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else f"{flat[: limit - 1]}…"
