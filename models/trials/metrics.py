"""The metrics of every trial, in the target's own units.

The definitions are scikit-learn's. Its functions check and convert their arguments for each metric
again: together they take 6 ms for 100 rows, longer than such a trial trains.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from models.data.preparation.tasks import Task

Array = np.ndarray[Any, Any]
Metrics = Mapping[str, float | None]

# Probabilities are kept this far from 0 and 1, as Keras keeps them in its losses.
PROBABILITY_MARGIN = 1e-7


def regression_metrics(truth: Array, predictions: Array) -> Metrics:
    """Return `loss` (the mean squared error), `mse`, `mae`, `rmse` and `r2` of values (rows,).

    `r2` is None where it is undefined: one row, or the same true value in every row. Raises
    ValueError for predictions that are not finite.
    """
    if not np.isfinite(predictions).all():
        raise ValueError("A prediction is not finite.")
    errors = truth - predictions
    squares = errors**2
    mse = float(squares.mean())
    return {
        "loss": mse,
        "mse": mse,
        "mae": float(np.abs(errors).mean()),
        "rmse": mse**0.5,
        "r2": (
            float(1 - squares.sum() / ((truth - truth.mean()) ** 2).sum())
            if np.ptp(truth) > 0
            else None
        ),
    }


def class_metrics(
    truth: Array,
    probabilities: Array,
    task: Task,
    positive: int | None = None,
    threshold: float | None = None,
) -> Metrics:
    """Return the classification metrics of `models.trials.spec.METRICS`; `loss` is log loss.

    `truth` holds class numbers, shape (rows,); `probabilities` has shape (rows, classes).
    `precision`, `recall` and `f1` are those of the class `positive`. Without it they are those of
    class 1 for a binary task and otherwise the plain (macro) means over all classes; a class that
    is never predicted, or that no row has, counts as 0. `auc` of several classes is the mean of one
    against the rest, and None unless the rows have every class. `balanced_accuracy` is the mean
    recall over the classes that the rows have. `threshold` is that of `predicted_classes`.
    """
    classes = probabilities.shape[1]
    predicted = predicted_classes(probabilities, positive, threshold)
    held, given, right = (
        np.bincount(numbers, minlength=classes)
        for numbers in (truth, predicted, truth[predicted == truth])
    )
    precision, recall = _shares(right, given), _shares(right, held)
    f1 = _shares(2 * right, held + given)
    if positive is None and task is Task.BINARY:
        positive = 1
    averaged = slice(None) if positive is None else slice(positive, positive + 1)
    loss = log_loss(truth, probabilities)
    return {
        "loss": loss,
        "accuracy": float(right.sum() / len(truth)),
        "balanced_accuracy": float(recall[held > 0].mean()),
        "precision": float(precision[averaged].mean()),
        "recall": float(recall[averaged].mean()),
        "f1": float(f1[averaged].mean()),
        "auc": _auc(truth, probabilities) if held.all() else None,
        "log_loss": loss,
    }


def predicted_classes(
    probabilities: Array, positive: int | None = None, threshold: float | None = None
) -> Array:
    """Return the number of the answered class of each row, (rows,).

    It is the most probable one. With a threshold, which two classes may have, it is `positive`, or
    class 1, where its probability is at least the threshold.
    """
    if threshold is None:
        winners: Array = probabilities.argmax(axis=1)
        return winners
    column = 1 if positive is None else positive
    return np.where(probabilities[:, column] >= threshold, column, 1 - column)


def log_losses(truth: Array, probabilities: Array) -> Array:
    """Return -log of the true class's probability, clipped to [1e-7, 1 - 1e-7], of each row."""
    given = probabilities[np.arange(len(truth)), truth]
    losses: Array = -np.log(np.clip(given, PROBABILITY_MARGIN, 1 - PROBABILITY_MARGIN))
    return losses


def log_loss(truth: Array, probabilities: Array) -> float:
    """Return the mean of `log_losses`."""
    return float(log_losses(truth, probabilities).mean())


def weighted_log_loss(truth: Array, probabilities: Array, weights: Array) -> float:
    """Return the log loss as the mean by the `weights` of the rows, shape (rows,)."""
    return float(np.average(log_losses(truth, probabilities), weights=weights))


def class_probabilities(outputs: Array) -> Array:
    """Return the outputs of a sigmoid (rows, 1) or softmax as float64 (rows, classes)."""
    outputs = outputs.astype(np.float64)
    if outputs.shape[1] == 1:
        return np.concatenate([1 - outputs, outputs], axis=1)
    normalized: Array = outputs / outputs.sum(axis=1, keepdims=True)
    return normalized


def _shares(parts: Array, wholes: Array) -> Array:
    """Return each part divided by its whole; 0 where the whole is 0."""
    return parts / np.maximum(wholes, 1)


def _auc(truth: Array, probabilities: Array) -> float:
    """Return the area under the curve of class 1 of two, or the mean of one against the rest."""
    classes = probabilities.shape[1]
    measured = [1] if classes == 2 else range(classes)
    return float(np.mean([_area(truth == number, probabilities[:, number]) for number in measured]))


def _area(is_class: Array, scores: Array) -> float:
    """Return the share of pairs of a row of the class and another where the first scores higher.

    Pairs with equal scores count half (Hanley and McNeil, 1982).
    """
    order = scores.argsort()
    ordered = scores[order]
    ends = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]) + 1, len(ordered))
    # Rows of the class, and others, up to each score.
    inside = np.cumsum(is_class[order])[ends - 1]
    outside = ends - inside
    added = np.diff(inside, prepend=0)
    below = outside - np.diff(outside, prepend=0) / 2
    return float((added * below).sum() / (inside[-1] * outside[-1]))
