"""The metrics of every trial, by scikit-learn, in the target's own units."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    mean_absolute_error,
    mean_squared_error,
    precision_recall_fscore_support,
    r2_score,
    recall_score,
    roc_auc_score,
)

from models.data.tasks import Task

Array = np.ndarray[Any, Any]
Metrics = Mapping[str, float | None]

# Probabilities are kept this far from 0 and 1, as Keras keeps them in its losses.
PROBABILITY_MARGIN = 1e-7


def regression_metrics(truth: Array, predictions: Array) -> Metrics:
    """`loss` (the mean squared error), `mse`, `mae`, `rmse` and `r2` of values of shape (rows,).

    `r2` is None where it has no meaning: one row, or the same true value in every row.
    """
    mse = float(mean_squared_error(truth, predictions))
    return {
        "loss": mse,
        "mse": mse,
        "mae": float(mean_absolute_error(truth, predictions)),
        "rmse": mse**0.5,
        "r2": float(r2_score(truth, predictions)) if np.ptp(truth) > 0 else None,
    }


def class_metrics(truth: Array, probabilities: Array, task: Task) -> Metrics:
    """The classification metrics of `models.trials.objective.METRICS`; `loss` is the log loss.

    `truth` holds class numbers, shape (rows,); `probabilities` has shape (rows, classes). For a
    binary task `precision`, `recall` and `f1` are those of class 1, the second label in order,
    otherwise the plain (macro) means over all classes, of which one that is never predicted, or
    that no row holds, has 0; `auc` of several classes is the mean of one against the rest, and
    None unless the rows hold every class. `balanced_accuracy` is the mean recall over the classes
    that the rows hold.
    """
    predicted = probabilities.argmax(axis=1)
    loss = log_loss(truth, probabilities)
    precision, recall, f1, _ = precision_recall_fscore_support(
        truth,
        predicted,
        labels=np.arange(probabilities.shape[1]),
        average="binary" if task is Task.BINARY else "macro",
        zero_division=0,
    )
    return {
        "loss": loss,
        "accuracy": float(accuracy_score(truth, predicted)),
        "balanced_accuracy": float(
            recall_score(
                truth, predicted, labels=np.unique(truth), average="macro", zero_division=0
            )
        ),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "auc": _auc(truth, probabilities),
        "log_loss": loss,
    }


def log_loss(truth: Array, probabilities: Array) -> float:
    """Mean of -log of the probability given to the true class, clipped to [1e-7, 1 - 1e-7]."""
    given = probabilities[np.arange(len(truth)), truth]
    return float(-np.log(np.clip(given, PROBABILITY_MARGIN, 1 - PROBABILITY_MARGIN)).mean())


def class_probabilities(outputs: Array) -> Array:
    """What a sigmoid (rows, 1) or softmax (rows, classes) gave, as float64 (rows, classes)."""
    outputs = outputs.astype(np.float64)
    if outputs.shape[1] == 1:
        return np.concatenate([1 - outputs, outputs], axis=1)
    normalized: Array = outputs / outputs.sum(axis=1, keepdims=True)
    return normalized


def _auc(truth: Array, probabilities: Array) -> float | None:
    classes = probabilities.shape[1]
    if len(np.unique(truth)) < classes:
        return None
    if classes == 2:
        return float(roc_auc_score(truth, probabilities[:, 1]))
    return float(roc_auc_score(truth, probabilities, multi_class="ovr", average="macro"))
