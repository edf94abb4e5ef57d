"""A random forest over the values of trials, and what it loses without each of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestRegressor

Array = np.ndarray[Any, Any]

TREES = 200
_REPEATS = 10
_SHUFFLED_ROWS = 20_000  # at most, over the repeats of one hyperparameter


def shuffled_losses(tables: Sequence[Array], scores: Sequence[float]) -> tuple[float | None, Array]:
    """Out-of-bag R² of a forest that foresees the ranks of `scores`, and how it suffers.

    Each of `tables`, shape (trials, width), may hold NaN. The losses have shape (tables, repeats):
    the R² lost when the rows of that table alone are shuffled. The R² is None, and the losses are
    0, where all scores are equal. The same input gives the same answer.
    """
    x = np.concatenate(tables, axis=1).astype(np.float32)
    y = _ranks(scores)
    repeats = max(1, min(_REPEATS, _SHUFFLED_ROWS // len(y)))
    if np.ptp(y) == 0:
        return None, np.zeros((len(tables), repeats))
    forest = RandomForestRegressor(TREES, random_state=0).fit(x, y)
    outside = _out_of_bag(forest, len(y))
    r2 = _r2(y, _predict(forest, outside, x[None])[0], outside)
    generator = np.random.default_rng(0)
    losses, first = [], 0
    for table in tables:
        width = table.shape[1]
        shuffled = np.repeat(x[None], repeats, axis=0)
        for copy in shuffled:
            order = generator.permutation(len(y))
            copy[:, first : first + width] = copy[order, first : first + width]
        answers = _predict(forest, outside, shuffled)
        losses.append([r2 - _r2(y, answer, outside) for answer in answers])
        first += width
    return r2, np.array(losses)


def _ranks(scores: Sequence[float]) -> Array:
    """From 0 to 1; equal scores share the mean of their ranks."""
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    middles = counts.cumsum() - (counts + 1) / 2
    ranks: Array = middles[places] / max(1, len(places) - 1)
    return ranks


def _out_of_bag(forest: RandomForestRegressor, rows: int) -> Array:
    """Whether a tree did not learn from a row, shape (trees, rows)."""
    outside = np.ones((len(forest.estimators_), rows), dtype=bool)
    for tree, learned in enumerate(forest.estimators_samples_):
        outside[tree, learned] = False
    return outside


def _predict(forest: RandomForestRegressor, outside: Array, x: Array) -> Array:
    """The mean over the trees that did not learn from a row; x (repeats, rows, columns)."""
    repeats, rows, columns = x.shape
    total = np.zeros((repeats, rows))
    for tree, mask in zip(forest.estimators_, outside, strict=True):
        # The forest has checked the values already; every tree would do so again.
        answers = tree.predict(x.reshape(-1, columns), check_input=False)
        total += answers.reshape(repeats, rows) * mask
    mean: Array = total / np.maximum(1, outside.sum(axis=0))
    return mean


def _r2(truth: Array, predicted: Array, outside: Array) -> float:
    known = outside.any(axis=0)
    residual = ((truth[known] - predicted[known]) ** 2).sum()
    return float(1 - residual / ((truth[known] - truth[known].mean()) ** 2).sum())
