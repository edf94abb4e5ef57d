"""How good a version is on the test rows, and how good a guess without a network would be."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.data.preparation.tasks import Task
from models.registry.documents import HeldOutDocument
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

MOST_ROWS = 10_000  # kept in held_out.json
MOST_PROBABILITIES = 1_000_000  # kept there, over all rows and classes
_DIGITS = 7  # significant ones kept of an answer: a float32 has no more


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Metrics on rows that neither training nor tuning saw; None where there are no such rows."""

    rows: int
    metrics: Metrics | None
    baseline: Metrics | None  # of always giving the training rows' mean or class shares
    answers: HeldOutDocument


def measure_held_out(
    data: LoadedData, target: str, fold: PreparedFold, onnx: OnnxAnswers
) -> HeldOut:
    """Score the ONNX graph, which is what will be served, on the test rows of `data`.

    The baseline knows the rows that `fold` was trained on: it predicts their mean, or their
    majority class with the class shares as probabilities.
    """
    rows = data.split.test
    if not len(rows):
        return HeldOut(0, None, None, _nothing_held_out(fold, target))
    truth = data.dataset.values[target][rows]
    answers = onnx(data.dataset, rows, data.features)
    return HeldOut(
        rows=len(rows),
        metrics=_score(fold, truth, answers),
        baseline=_score(fold, truth, _guess(fold, len(rows))),
        answers=answers_document(fold, target, rows, truth, answers),
    )


def answers_document(
    fold: PreparedFold, target: str, rows: Array, truth: Array, answers: Array
) -> HeldOutDocument:
    """The content of held_out.json for the test rows with these numbers, shape (rows,).

    Of many rows, MOST_ROWS at equal distances are kept, or fewer where there are so many classes
    that their probabilities would number more than MOST_PROBABILITIES.
    """
    most = min(MOST_ROWS, max(1, MOST_PROBABILITIES // answers.shape[1]))
    kept = np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(np.int64)
    document = _nothing_held_out(fold, target)
    document["rows"] = len(rows)
    document["note"] = (
        f"{len(kept)} of {len(rows)} rows are kept." if len(kept) < len(rows) else None
    )
    document["row_numbers"] = rows[kept].tolist()
    if document["classes"] is None:
        document["truth"] = truth[kept].astype(np.float64).tolist()
        document["predictions"] = [_rounded(answer) for answer in answers[kept, 0].tolist()]
    else:
        numbers = fold.encoder.encode(truth[kept])
        document["truth"] = [document["classes"][number] for number in numbers]
        document["probabilities"] = [
            [_rounded(share) for share in row] for row in answers[kept].tolist()
        ]
    return document


def _nothing_held_out(fold: PreparedFold, target: str) -> HeldOutDocument:
    task = fold.training.outputs.task
    is_regression = task is Task.REGRESSION
    return {
        "task": task.value,
        "target": target,
        "classes": None if is_regression else list(fold.encoder.classes),
        "rows": 0,
        "note": "No rows were held out for a test.",
        "row_numbers": [],
        "truth": [],
        "predictions": [] if is_regression else None,
        "probabilities": None if is_regression else [],
    }


def _rounded(value: float) -> float | None:
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None


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
