"""A Gaussian process over points of a cube, with a length for each dimension.

The kernel is a Matérn kernel of smoothness 5/2 (Rasmussen and Williams, "Gaussian Processes for
Machine Learning", 2006). Categories are equal or at distance 1. Lengths, variance and noise are the
most probable ones given the scores (maximum a posteriori), with priors as in Optuna's `GPSampler`.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize
from scipy.special import log_ndtr

Array = np.ndarray[Any, Any]

_ROOT5 = math.sqrt(5.0)
_MIN_NOISE = 1e-6
_MAX_STEPS = 40  # of the optimiser; the last ones hardly change a proposal


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """The parameters of a process."""

    ordered: Array  # (dimensions,): whether a dimension is a number, else a category
    weights: Array  # (dimensions,): inverse squares of the lengths
    variance: float
    noise: float  # variance of a score around its mean

    def between(self, points: Array, others: Array) -> Array:
        """Return the covariances, (points, others)."""
        scale = np.sqrt(self.weights)
        left, right = points[:, self.ordered], others[:, self.ordered]
        left, right = left * scale[self.ordered], right * scale[self.ordered]
        squares = (left**2).sum(1)[:, None] + (right**2).sum(1)[None, :] - 2.0 * left @ right.T
        for place in np.flatnonzero(~self.ordered):
            squares += self.weights[place] * (points[:, place, None] != others[None, :, place])
        return self.variance * _matern(np.sqrt(np.maximum(squares, 0.0)))


@dataclass(frozen=True, slots=True, eq=False)
class GaussianProcess:
    """A process conditioned on scores; `condition` makes one."""

    _kernel: Kernel
    _x: Array  # (points, dimensions)
    _factor: Array  # lower Cholesky factor of the covariance
    _alpha: Array  # (points,)

    @classmethod
    def condition(cls, kernel: Kernel, x: Array, y: Array) -> "GaussianProcess":
        """Condition a process of mean 0 on scores `y`, (points,), at `x`."""
        covariance = kernel.between(x, x)
        covariance[np.diag_indices_from(covariance)] += kernel.noise
        factor = cho_factor(covariance, lower=True, overwrite_a=True, check_finite=False)
        return cls(kernel, x, factor[0], cho_solve(factor, y, check_finite=False))

    def predict(self, points: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation, without noise, at `points`: (points,) each."""
        covariance = self._kernel.between(points, self._x)
        half = solve_triangular(self._factor, covariance.T, lower=True, check_finite=False)
        variance = self._kernel.variance - np.einsum("ij,ij->j", half, half)
        return covariance @ self._alpha, np.sqrt(np.maximum(variance, 1e-12))

    def fitted(self, y: Array) -> Array:
        """Return the mean at the points that the process was conditioned on, with scores `y`."""
        return y - self._kernel.noise * self._alpha

    def log_improvement(self, points: Array, best: float) -> Array:
        """Return the logarithm of the expected improvement below `best` at `points`."""
        mean, deviation = self.predict(points)
        return log_improvement(mean, deviation, best)


def log_improvement(mean: Array, deviation: Array, best: float) -> Array:
    """Return log E[max(best - y, 0)] of normal `y`, stable far from `best` (Ament et al., 2023)."""
    z = (best - mean) / deviation
    density = -0.5 * z**2 - 0.5 * math.log(2.0 * math.pi)
    near = np.maximum(z, -5.0)
    direct = np.exp(-0.5 * near**2) / math.sqrt(2.0 * math.pi) + near * np.exp(log_ndtr(near))
    # 1 + z * Phi(z) / phi(z) tends to 1 / z**2.
    far = density - 2.0 * np.log(np.maximum(-z, 5.0)) - 3.0 / np.maximum(-z, 5.0) ** 2
    return np.log(deviation) + np.where(z > -5.0, np.log(direct), far)


def fit_kernel(x: Array, y: Array, ordered: Array) -> Kernel:
    """Return the most probable kernel for normalised scores `y`, (points,), at `x`."""
    apart = np.where(
        ordered[:, None, None],
        (x.T[:, :, None] - x.T[:, None, :]) ** 2,
        x.T[:, :, None] != x.T[:, None, :],
    ).astype(float)
    dimensions, count = apart.shape[0], len(y)
    flat = apart.reshape(dimensions, -1)

    def cost(logarithms: Array) -> tuple[float, Array]:
        parameters = np.exp(logarithms)
        weights, variance, noise = parameters[:-2], parameters[-2], parameters[-1] + _MIN_NOISE
        distance = np.sqrt(np.maximum((weights @ flat).reshape(count, count), 0.0))
        decay = np.exp(-_ROOT5 * distance)
        shape = (1.0 + _ROOT5 * distance + 5.0 / 3.0 * distance**2) * decay
        covariance = variance * shape
        covariance[np.diag_indices(count)] += noise
        factor = cho_factor(covariance, lower=True, check_finite=False)
        alpha = cho_solve(factor, y, check_finite=False)
        inverse = cho_solve(factor, np.eye(count), check_finite=False)
        pull = 0.5 * (inverse - np.outer(alpha, alpha))
        slope = pull * (-5.0 / 6.0 * variance * (1.0 + _ROOT5 * distance) * decay)
        gradient = np.empty_like(logarithms)
        gradient[:-2] = weights * (flat @ slope.ravel())
        gradient[-2] = variance * np.sum(pull * shape)
        gradient[-1] = parameters[-1] * np.trace(pull)
        likelihood = 0.5 * y @ alpha + np.log(np.diag(factor[0])).sum()
        prior, prior_gradient = _prior(parameters)
        return float(likelihood + prior), gradient + prior_gradient * parameters

    start = np.log(np.concatenate([np.full(dimensions, 1.0), [1.0, 0.01]]))
    bounds = [(-9.0, 7.0)] * dimensions + [(-4.0, 3.0), (-12.0, 1.0)]
    found = minimize(
        cost, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _MAX_STEPS}
    )
    parameters = np.exp(found.x)
    return Kernel(ordered, parameters[:-2], parameters[-2], parameters[-1] + _MIN_NOISE)


def _prior(parameters: Array) -> tuple[float, Array]:
    """Return the negative logarithm of the prior, and its gradient."""
    weights, variance, noise = parameters[:-2], parameters[-2], parameters[-1]
    cost = np.sum(0.1 / weights + 0.1 * weights)
    gradient = np.empty_like(parameters)
    gradient[:-2] = 0.1 - 0.1 / weights**2
    # Gamma distributions of shape 2 and rate 1, and of shape 1.1 and rate 30.
    cost += variance - math.log(variance) + 30.0 * noise - 0.1 * math.log(noise)
    gradient[-2] = 1.0 - 1.0 / variance
    gradient[-1] = 30.0 - 0.1 / noise
    return float(cost), gradient


def _matern(distance: Array) -> Array:
    scaled = _ROOT5 * distance
    covariance: Array = (1.0 + scaled + scaled**2 / 3.0) * np.exp(-scaled)
    return covariance
