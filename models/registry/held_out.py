"""How good a version is on the test rows, and how good a guess without a network would be."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from models.data.tasks import Task
from models.registry.onnx_answers import OnnxAnswers
from models.trials.data import LoadedData, PreparedFold
from models.trials.metrics import (
    Metrics,
    class_metrics,
    class_probabilities,
    regression_metrics,
)
from models.trials.objective import METRICS

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Metrics on rows that neither training nor tuning saw; None where there are no such rows."""

    rows: int
    metrics: Metrics | None
    baseline: Metrics | None  # of always giving the training rows' mean or class shares


def measure_held_out(
    data: LoadedData, target: str, fold: PreparedFold, onnx: OnnxAnswers
) -> HeldOut:
    """Score the ONNX graph, which is what will be served, on the test rows of `data`.

    The baseline knows the rows that `fold` was trained on: it predicts their mean, or their
    majority class with the class shares as probabilities.
    """
    rows = data.split.test
    if not len(rows):
        return HeldOut(0, None, None)
    truth = data.dataset.values[target][rows]
    answers = onnx(data.dataset, rows, data.features)
    return HeldOut(
        rows=len(rows),
        metrics=_score(fold, truth, answers),
        baseline=_score(fold, truth, _guess(fold, len(rows))),
    )


def _score(fold: PreparedFold, truth: Array, answers: Array) -> Metrics:
    task = fold.training.outputs.task
    if not np.isfinite(answers).all():
        return dict.fromkeys(METRICS[task])
    if task is Task.REGRESSION:
        return regression_metrics(truth.astype(np.float64), answers[:, 0].astype(np.float64))
    return class_metrics(fold.encoder.encode(truth), class_probabilities(answers), task)


def _guess(fold: PreparedFold, rows: int) -> Array:
    if fold.training.outputs.task is Task.REGRESSION:
        return np.full((rows, 1), fold.training_truth.astype(np.float64).mean())
    counts = np.bincount(fold.training.y_train, minlength=len(fold.encoder.classes))
    return np.tile(counts / counts.sum(), (rows, 1))
