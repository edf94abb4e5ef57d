"""The losses in NumPy: gradients to train by, figures of an epoch, and network outputs.

`scores`, (units, rows), are the outputs of the last layer before its activation. As in Keras,
cross-entropies are computed from these and not from probabilities, which may round to 0.
"""

from typing import Protocol

import numpy as np

from models.data.preparation.tasks import Task
from models.networks.outputs import Outputs
from models.space.hyperparameters import TrialValues, value
from models.trials.trainers.base import Array, Floats
from models.trials.trainers.numpy.activations import sigmoid

RowWeights = Floats | None  # None is 1 for every row

_ZERO = np.float32(0)


class Loss(Protocol):
    """A loss to train by, and the figures of its task: the task's own loss, and its companion."""

    def gradient(self, scores: Floats, truth: Array, weights: RowWeights = None) -> Floats:
        """Return the gradient of the mean loss by `scores`; `truth` and `weights` are (rows,).

        As Keras does, a mean of weighted losses is divided by the rows, not by their weights.
        """
        ...

    def figures(
        self, scores: Floats, truth: Array, weights: RowWeights = None
    ) -> tuple[float, float]:
        """Return the mean of the task's weighted losses and, unweighted, of the companion."""
        ...

    def answers(self, scores: Floats) -> Floats:
        """Return the network's outputs, (rows, units)."""
        ...

    def merge(self, scores: Floats) -> Floats:
        """Return the scores of a mean answer, (units, rows), from (units, members, rows)."""
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

    def merge(self, scores: Floats) -> Floats:
        """See `Loss`."""
        merged: Floats = scores.mean(axis=1)
        return merged


class AbsoluteError(SquaredError):
    """Trains by the mean absolute error."""

    def gradient(self, scores: Floats, truth: Array, weights: RowWeights = None) -> Floats:
        """See `Loss`."""
        slope: Floats = np.sign(scores - truth)
        return _mean_gradient(slope, weights)


class HuberError(SquaredError):
    """Trains by half the squared error up to `delta`, and linearly beyond (Huber, 1964)."""

    def __init__(self, delta: float) -> None:
        self._delta = np.float32(delta)

    def gradient(self, scores: Floats, truth: Array, weights: RowWeights = None) -> Floats:
        """See `Loss`."""
        slope: Floats = np.clip(scores - truth, -self._delta, self._delta)
        return _mean_gradient(slope, weights)


class QuantileError(SquaredError):
    """Trains for a quantile of the target (Koenker and Bassett, 1978)."""

    def __init__(self, quantile: float) -> None:
        self._above, self._below = np.float32(1 - quantile), np.float32(-quantile)

    def gradient(self, scores: Floats, truth: Array, weights: RowWeights = None) -> Floats:
        """See `Loss`."""
        slope: Floats = np.where(scores > truth, self._above, self._below)
        return _mean_gradient(slope, weights)


class PoissonError(SquaredError):
    """Trains for the rate of counts: the exponential of a score, in means of the target."""

    def __init__(self, mean: float) -> None:
        self._mean = np.float32(mean)

    def gradient(self, scores: Floats, truth: Array, weights: RowWeights = None) -> Floats:
        """See `Loss`."""
        counts = (truth / self._mean + np.float32(1)).astype(np.float32, copy=False)
        slope: Floats = np.exp(scores) - counts
        return _mean_gradient(slope, weights)

    def figures(
        self, scores: Floats, truth: Array, weights: RowWeights = None
    ) -> tuple[float, float]:
        """See `Loss`."""
        return super().figures(self._scaled(scores), truth, weights)

    def answers(self, scores: Floats) -> Floats:
        """See `Loss`."""
        return super().answers(self._scaled(scores))

    def merge(self, scores: Floats) -> Floats:
        """See `Loss`."""
        return _log_of_mean(scores)

    def _scaled(self, scores: Floats) -> Floats:
        return np.exp(scores) * self._mean - self._mean


class BinaryCrossEntropy:
    """Cross-entropy of two classes, beside it the accuracy.

    It trains towards probabilities of `smoothing / 2` and 1 less that, in place of 0 and 1.
    """

    def __init__(self, smoothing: float = 0.0) -> None:
        self._smoothing = np.float32(smoothing)

    def gradient(self, scores: Floats, truth: Array, weights: RowWeights = None) -> Floats:
        """See `Loss`."""
        error: Floats = _probability(scores) - self._smooth(truth)
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

    def merge(self, scores: Floats) -> Floats:
        """See `Loss`: the logarithm of the odds of the mean probability."""
        positive = -np.logaddexp(_ZERO, -scores)
        return _log_of_mean(positive) - _log_of_mean(positive - scores)

    def _smooth(self, truth: Array) -> Array:
        if not self._smoothing:
            return truth
        return truth * (np.float32(1) - self._smoothing) + self._smoothing / np.float32(2)


class CrossEntropy:
    """Cross-entropy of class numbers, beside it the accuracy.

    It trains towards probabilities of which a share `smoothing` is spread evenly over all classes
    (Szegedy et al., 2016).
    """

    def __init__(self, smoothing: float = 0.0) -> None:
        self._smoothing = smoothing

    def gradient(self, scores: Floats, truth: Array, weights: RowWeights = None) -> Floats:
        """See `Loss`."""
        shares = _shares(scores)
        rows = truth.size
        shares[truth, np.arange(rows)] -= np.float32(1 - self._smoothing)
        if self._smoothing:
            np.subtract(shares, np.float32(self._smoothing / len(shares)), out=shares)
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

    def merge(self, scores: Floats) -> Floats:
        """See `Loss`: the logarithms of the mean probabilities."""
        above = scores - scores.max(axis=0)
        return _log_of_mean(above - np.log(np.exp(above).sum(axis=0)))


LOSSES = ("mse", "mae", "huber", "quantile", "poisson")  # of a regression


def create_loss(outputs: Outputs, values: TrialValues) -> Loss:
    """Create the loss that `values` name for the task of `outputs`."""
    task = outputs.task
    if task is Task.BINARY:
        return BinaryCrossEntropy(float(value(values, "label_smoothing")))
    if task is Task.MULTICLASS:
        return CrossEntropy(float(value(values, "label_smoothing")))
    match value(values, "loss"):
        case "mae":
            return AbsoluteError()
        case "huber":
            return HuberError(float(value(values, "huber_delta")))
        case "quantile":
            return QuantileError(float(value(values, "quantile")))
        case "poisson":
            return PoissonError(outputs.mean)
        case _:
            return SquaredError()


def _mean_gradient(slope: Floats, weights: RowWeights) -> Floats:
    """Divide the slopes of single rows, (1, rows), by their number, in place."""
    np.multiply(slope, np.float32(1 / slope.size), out=slope)
    return _weighted(slope, weights)


def _weighted(values: Floats, weights: RowWeights) -> Floats:
    """Multiply (…, rows) in place."""
    if weights is not None:
        np.multiply(values, weights, out=values)
    return values


def _log_of_mean(logs: Floats) -> Floats:
    """Return the logarithm of the mean over the second of three axes."""
    largest = logs.max(axis=1)
    merged: Floats = np.log(np.exp(logs - largest[:, None]).mean(axis=1)) + largest
    return merged


def _probability(scores: Floats) -> Floats:
    result = np.empty_like(scores)
    sigmoid(scores, result)
    return result


def _shares(scores: Floats) -> Floats:
    result: Floats = np.exp(scores - scores.max(axis=0))
    np.divide(result, result.sum(axis=0), out=result)
    return result
