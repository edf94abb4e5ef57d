"""The error of predictions, and of always predicting the same."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import log_loss, roc_auc_score, root_mean_squared_error

from benchmarks.quality.tables import Case

# Probabilities of float32 have no more digits; a row whose class has none costs 16, not infinity.
_LEAST_SHARE = 1e-7
_ECE_BINS = 10

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Score:
    """How predictions of the test rows compare with the truth."""

    error: float  # root mean squared error of a regression, log-loss of classes
    auc: float | None = None  # of classes; the mean over one class against the others
    ece: float | None = None  # of classes: how far probabilities are from the share of hits


def measure(case: Case, predictions: Array) -> Score:
    """Return the score of predictions for the test rows of a case.

    `predictions` are numbers (rows), or probabilities (rows, classes) in the order of
    `case.classes`. Raises ValueError if a prediction is not finite or the shape is another one.
    """
    target = case.parts()[3]
    classes = case.classes
    shape = (len(target), len(classes)) if classes else (len(target),)
    if predictions.shape != shape:
        raise ValueError(f"predictions of shape {predictions.shape}, not {shape}")
    if not np.isfinite(predictions).all():
        raise ValueError("a prediction is not finite")
    if not classes:
        return Score(float(root_mean_squared_error(target, predictions)))
    shares = np.maximum(predictions.astype(float), _LEAST_SHARE)
    shares /= shares.sum(axis=1, keepdims=True)
    error = float(log_loss(target, shares, labels=classes))
    return Score(error, _auc(target, shares, classes), _ece(target, shares, classes))


def measure_baseline(case: Case) -> float:
    """Return the error of always predicting the mean, or the shares of the classes."""
    _, known, _, target = case.parts()
    if not case.classes:
        return measure(case, np.full(len(target), known.mean())).error
    shares = known.value_counts(normalize=True)[case.classes].to_numpy()
    return measure(case, np.tile(shares, (len(target), 1))).error


def _auc(target: "pd.Series[Any]", shares: Array, classes: list[str]) -> float:
    if len(classes) == 2:
        return float(roc_auc_score(target == classes[1], shares[:, 1]))
    return float(roc_auc_score(target, shares, multi_class="ovr", labels=classes))


def _ece(target: "pd.Series[Any]", shares: Array, classes: list[str]) -> float:
    """Return the expected calibration error of the most probable class, over equally full bins.

    Source: Naeini, Cooper and Hauskrecht (AAAI 2015), with bins of Nguyen and O'Connor (2015).
    """
    hits = np.array(classes)[shares.argmax(axis=1)] == target.to_numpy()
    order = shares.max(axis=1).argsort(kind="stable")
    bins = np.array_split(order, min(_ECE_BINS, len(order)))
    gaps = [abs(shares.max(axis=1)[rows].mean() - hits[rows].mean()) for rows in bins]
    return float(np.average(gaps, weights=[len(rows) for rows in bins]))
