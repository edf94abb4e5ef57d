"""How well each single feature predicts the target, by rows that it was not fitted to."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.data.columns import ColumnType
from models.data.dataset import Dataset
from models.data.preparation.tasks import Task, has_value

MIN_CLASS_ROWS = 10  # of a class that counts
MIN_ROWS = 50  # with a value, for a score of their own

Array = np.ndarray[Any, Any]


def feature_scores(
    dataset: Dataset, target: str, features: Sequence[str], task: Task, rows: Array
) -> dict[str, float]:
    """Return a score for each of `features` but images: R², or the balanced accuracy of classes.

    Each half of `rows`, all of which have a target, is predicted from the other half. A number
    predicts by interpolation between its neighbours, or as the nearest one; a text by the rows
    with the same text. Missing cells are a value of their own, unless the score is better where
    there is a value.
    """
    truth = dataset.values[target][rows]
    is_regression = task is Task.REGRESSION
    if not is_regression:
        _, truth = np.unique(truth, return_inverse=True)
    first = np.random.default_rng(1).random(len(rows)) < 0.5
    scores = {}
    for name in features:
        if dataset.column(name).type is ColumnType.IMAGE:
            continue
        cells = dataset.values[name][rows]
        is_text = cells.dtype == object
        places = _text_places(cells) if is_text else _number_places(cells)
        answers = np.empty(len(rows))
        for part in (first, ~first):
            if not part.any() or part.all():
                return {}
            fit = _fit_numbers if is_regression else _fit_classes
            answers[part] = fit(places[~part], truth[~part], places[part], is_text)
        score = _r2 if is_regression else _accuracy
        scores[name] = score(truth, answers)
        present = has_value(cells)
        if MIN_ROWS <= present.sum() < len(rows):
            scores[name] = max(scores[name], score(truth[present], answers[present]))
    return scores


def _text_places(cells: Array) -> Array:
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(cell, len(numbers)) for cell in cells.tolist()], float)


def _number_places(cells: Array) -> Array:
    """Return the numbers; missing ones lie far below all others."""
    present = has_value(cells)
    if present.all():
        return cells
    known = cells[present]
    low, high = (known.min(), known.max()) if len(known) else (0.0, 0.0)
    with np.errstate(over="ignore"):
        return np.where(present, cells, low - (high - low) - 1)


def _fit_numbers(known: Array, truth: Array, asked: Array, is_text: bool) -> Array:
    places, inverse, counts = np.unique(known, return_inverse=True, return_counts=True)
    means = np.bincount(inverse, truth) / counts
    if not is_text:
        between: Array = np.interp(asked, places, means)
        return between
    place = np.searchsorted(places, asked).clip(max=len(places) - 1)
    answers: Array = np.where(places[place] == asked, means[place], truth.mean())
    return answers


def _fit_classes(known: Array, truth: Array, asked: Array, is_text: bool) -> Array:
    places, inverse = np.unique(known, return_inverse=True)
    classes = int(truth.max()) + 1
    pairs, counts = np.unique(inverse * classes + truth, return_counts=True)
    order = np.argsort(counts, kind="stable")
    winners = np.empty(len(places), dtype=np.int64)
    winners[pairs[order] // classes] = pairs[order] % classes  # the most frequent comes last
    right = np.searchsorted(places, asked).clip(max=len(places) - 1)
    if is_text:
        return np.where(places[right] == asked, winners[right], -1)
    left = np.maximum(right - 1, 0)
    with np.errstate(over="ignore"):
        is_left = np.abs(asked - places[left]) < np.abs(places[right] - asked)
    nearest: Array = winners[np.where(is_left, left, right)]
    return nearest


def _r2(truth: Array, answers: Array) -> float:
    unit = np.abs(truth).max()
    if not unit > 0:
        return 0.0
    truth, answers = truth / unit, answers / unit  # so that squares stay finite
    total = float(((truth - truth.mean()) ** 2).sum())
    return 1 - float(((truth - answers) ** 2).sum()) / total if total > 0 else 0.0


def _accuracy(truth: Array, answers: Array) -> float:
    """Return the mean recall of the classes with enough rows; 0 for fewer than two of them."""
    counts = np.bincount(truth)
    hits = np.bincount(truth, truth == answers)
    common = counts >= MIN_CLASS_ROWS
    return float((hits[common] / counts[common]).mean()) if common.sum() >= 2 else 0.0
