"""A Gaussian process over the unit cube, and the minimum of its lower confidence bound.

The process is that of Keras Tuner: a Matérn kernel of smoothness 5/2 with one length for all
dimensions, and normalised scores (Rasmussen and Williams, "Gaussian Processes for Machine
Learning", 2006, algorithm 2.1 and equation 4.17). Keras Tuner predicts one point at a time with
scikit-learn, thousands of times for each trial; here many points are predicted at once, and the
gradient is computed.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize, minimize_scalar
from scipy.spatial.distance import cdist

Array = np.ndarray[Any, Any]

_LENGTHS = np.geomspace(1e-3, 1e3, 19)  # outside of them the likelihood is flat
_CANDIDATES = 1000  # random points
_STARTS = 10  # best candidates, from which the bound is minimised
_ROOT5 = math.sqrt(5.0)


@dataclass(frozen=True, slots=True, eq=False)
class GaussianProcess:
    """A Gaussian process conditioned on scores; `fit` makes one."""

    _x: Array  # (points, dimensions)
    _length: float  # of the kernel
    _mean: float  # of the scores
    _scale: float  # standard deviation of the scores, 1 if they are equal
    _factor: tuple[Array, bool]  # Cholesky factor of the covariance, as SciPy has it
    _weights: Array  # (points,)

    @classmethod
    def fit(cls, x: Array, y: Array, length: float, noise: float) -> "GaussianProcess":
        """Condition a process on scores `y`, (points,), at `x`, (points, dimensions).

        `noise` is the variance of a normalised score around its mean.
        """
        mean, scale = float(np.mean(y)), float(np.std(y)) or 1.0
        covariance = _matern(cdist(x, x) / length)
        covariance[np.diag_indices_from(covariance)] += noise
        factor = cho_factor(covariance, lower=True)
        return cls(x, length, mean, scale, factor, cho_solve(factor, (y - mean) / scale))

    def predict(self, points: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation at `points`, (points, dimensions), each (points,)."""
        covariance = _matern(cdist(points, self._x) / self._length)
        half = solve_triangular(self._factor[0], covariance.T, lower=True, check_finite=False)
        variance = np.maximum(1.0 - np.einsum("ij,ij->j", half, half), 0.0)
        mean = covariance @ self._weights
        return self._mean + self._scale * mean, self._scale * np.sqrt(variance)

    def lowest(self, beta: float, random: np.random.RandomState) -> Array:
        """Search the point, (dimensions,), with the least `mean - beta * deviation`.

        The best of many random points are optimised together, independently of each other.
        """
        dimensions = self._x.shape[1]
        candidates = random.uniform(size=(_CANDIDATES, dimensions))
        mean, deviation = self.predict(candidates)
        starts = candidates[np.argsort(mean - beta * deviation, kind="stable")[:_STARTS]]
        inverse = cho_solve(self._factor, np.eye(len(self._x)))

        def bound(flat: Array) -> tuple[float, Array]:
            values, slopes = self._bound(flat.reshape(-1, dimensions), beta, inverse)
            return float(values.sum()), slopes.ravel()

        found = minimize(
            bound, starts.ravel(), jac=True, method="L-BFGS-B", bounds=[(0.0, 1.0)] * starts.size
        )
        ends = found.x.reshape(-1, dimensions)
        best: Array = ends[np.argmin(self._bound(ends, beta, inverse)[0])]
        return best

    def _bound(self, points: Array, beta: float, inverse: Array) -> tuple[Array, Array]:
        """Return the bound at `points`, in normalised scores, and its gradient."""
        apart = points[:, None, :] - self._x[None, :, :]
        scaled = _ROOT5 / self._length * np.sqrt(np.einsum("ijk,ijk->ij", apart, apart))
        decay = np.exp(-scaled)
        covariance = (1.0 + scaled + scaled**2 / 3.0) * decay
        slope = (-5.0 / (3.0 * self._length**2)) * ((1.0 + scaled) * decay)[:, :, None] * apart
        explained = covariance @ inverse
        variance = 1.0 - np.einsum("ij,ij->i", covariance, explained)
        deviation = np.sqrt(np.maximum(variance, 1e-12))
        pull = self._weights + beta * explained / deviation[:, None]
        values = covariance @ self._weights - beta * deviation
        return values, np.einsum("ij,ijk->ik", pull, slope)


def likeliest_length(x: Array, y: Array, noise: float) -> float:
    """Return the kernel's length that maximises the likelihood of scores `y` at `x`.

    The likelihood may have several maxima: the best length of a grid is refined.
    """
    distances = cdist(x, x)
    normalised = (y - np.mean(y)) / (np.std(y) or 1.0)

    def cost(logarithm: float) -> float:
        covariance = _matern(distances / math.exp(logarithm))
        covariance[np.diag_indices_from(covariance)] += noise
        factor = cho_factor(covariance, lower=True, overwrite_a=True, check_finite=False)
        fit = normalised @ cho_solve(factor, normalised, check_finite=False)
        return float(fit / 2.0 + np.log(np.diag(factor[0])).sum())

    logarithms = np.log(_LENGTHS)
    place = int(np.argmin([cost(each) for each in logarithms]))
    around = logarithms[max(place - 1, 0)], logarithms[min(place + 1, len(logarithms) - 1)]
    refined = minimize_scalar(cost, bounds=around, method="bounded", options={"xatol": 0.02})
    return math.exp(refined.x)


def _matern(distances: Array) -> Array:
    scaled = _ROOT5 * distances
    covariance: Array = (1.0 + scaled + scaled**2 / 3.0) * np.exp(-scaled)
    return covariance
