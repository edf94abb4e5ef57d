"""The losses of the tasks in NumPy: gradients, figures of an epoch, and network outputs.

`scores`, (units, rows), are the outputs of the last layer before its activation. As in Keras,
cross-entropies are computed from these and not from probabilities, which may round to 0.
"""

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from models.data.preparation.tasks import Task
from models.trials.trainers.base import Array, Floats
from models.trials.trainers.numpy.activations import sigmoid

RowWeights = Floats | None  # None is 1 for every row

_ZERO = np.float32(0)


class Loss(Protocol):
    """The loss of a task and its companion metric."""

    def gradient(self, scores: Floats, truth: Array, weights: RowWeights = None) -> Floats:
        """Return the gradient of the mean loss by `scores`; `truth` and `weights` are (rows,).

        As Keras does, a mean of weighted losses is divided by the rows, not by their weights.
        """
        ...

    def figures(
        self, scores: Floats, truth: Array, weights: RowWeights = None
    ) -> tuple[float, float]:
        """Return the mean of the weighted losses and, unweighted, of the companion metric."""
        ...

    def answers(self, scores: Floats) -> Floats:
        """Return the network's outputs, (rows, units)."""
        ...


class SquaredError:
    """Mean squared error, beside it the mean absolute error."""

    def gradient(self, scores: Floats, truth: Array, weights: RowWeights = None) -> Floats:
        """See `Loss`."""
        error: Floats = scores - truth
        np.multiply(error, np.float32(2 / error.size), out=error)
        return _weighted(error, weights)

    def figures(
        self, scores: Floats, truth: Array, weights: RowWeights = None
    ) -> tuple[float, float]:
        """See `Loss`."""
        error = scores - truth
        loss = _weighted(error * error, weights)
        return float(np.mean(loss)), float(np.mean(np.absolute(error)))

    def answers(self, scores: Floats) -> Floats:
        """See `Loss`."""
        return scores.T.copy()


class BinaryCrossEntropy:
    """Cross-entropy of two classes, beside it the accuracy."""

    def gradient(self, scores: Floats, truth: Array, weights: RowWeights = None) -> Floats:
        """See `Loss`."""
        error: Floats = _probability(scores) - truth
        np.multiply(error, np.float32(1 / error.size), out=error)
        return _weighted(error, weights)

    def figures(
        self, scores: Floats, truth: Array, weights: RowWeights = None
    ) -> tuple[float, float]:
        """See `Loss`."""
        loss = np.maximum(scores, _ZERO) - scores * truth + np.log1p(np.exp(-np.absolute(scores)))
        right = (_probability(scores) > np.float32(0.5)) == truth
        return float(np.mean(_weighted(loss, weights))), float(np.mean(right))

    def answers(self, scores: Floats) -> Floats:
        """See `Loss`."""
        return _probability(scores).T.copy()


class CrossEntropy:
    """Cross-entropy of class numbers, beside it the accuracy."""

    def gradient(self, scores: Floats, truth: Array, weights: RowWeights = None) -> Floats:
        """See `Loss`."""
        shares = _shares(scores)
        rows = truth.size
        shares[truth, np.arange(rows)] -= np.float32(1)
        np.multiply(shares, np.float32(1 / rows), out=shares)
        return _weighted(shares, weights)

    def figures(
        self, scores: Floats, truth: Array, weights: RowWeights = None
    ) -> tuple[float, float]:
        """See `Loss`."""
        above = scores - scores.max(axis=0)
        loss = np.log(np.exp(above).sum(axis=0)) - above[truth, np.arange(truth.size)]
        right = scores.argmax(axis=0) == truth
        return float(np.mean(_weighted(loss, weights))), float(np.mean(right))

    def answers(self, scores: Floats) -> Floats:
        """See `Loss`."""
        return _shares(scores).T.copy()


LOSSES: Mapping[Task, Loss] = {
    Task.REGRESSION: SquaredError(),
    Task.BINARY: BinaryCrossEntropy(),
    Task.MULTICLASS: CrossEntropy(),
}


def _weighted(values: Floats, weights: RowWeights) -> Floats:
    """Multiply (…, rows) in place."""
    if weights is not None:
        np.multiply(values, weights, out=values)
    return values


def _probability(scores: Floats) -> Floats:
    result = np.empty_like(scores)
    sigmoid(scores, result)
    return result


def _shares(scores: Floats) -> Floats:
    result: Floats = np.exp(scores - scores.max(axis=0))
    np.divide(result, result.sum(axis=0), out=result)
    return result
