"""The process, against scikit-learn's and against integrals."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from models.oracles.gaussian_process import GaussianProcess, Kernel, fit_kernel, log_improvement

NUMBERS = np.array([True, True, True])


@pytest.fixture
def random():
    return np.random.RandomState(3)


@pytest.fixture
def scores(random):
    """40 points of three dimensions with noisy scores of a bowl; the last one says nothing."""
    x = random.uniform(size=(40, 3))
    y = ((x[:, :2] - [0.3, 0.6]) ** 2).sum(axis=1) + 0.01 * random.normal(size=40)
    return x, (y - y.mean()) / y.std()


def test_its_predictions_are_those_of_scikit_learn(scores, random):
    x, y = scores
    points = random.uniform(size=(50, 3))
    kernel = Kernel(NUMBERS, np.array([4.0, 1.0, 0.25]), 1.5, 1e-3)
    mean, deviation = GaussianProcess.condition(kernel, x, y).predict(points)
    matern = ConstantKernel(1.5) * Matern(nu=2.5, length_scale=[0.5, 1.0, 2.0])
    reference = GaussianProcessRegressor(matern, alpha=1e-3, optimizer=None).fit(x, y)
    for mine, other in zip(
        (mean, deviation), reference.predict(points, return_std=True), strict=True
    ):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-7)


def test_its_kernel_predicts_like_the_most_likely_one(scores, random):
    """Priors keep it from the very maximum, which hardly changes what it predicts."""
    x, y = scores
    points = random.uniform(size=(200, 3))
    whole = ConstantKernel(1.0) * Matern(nu=2.5, length_scale=[1.0] * 3) + WhiteKernel(0.1)
    reference = GaussianProcessRegressor(whole, n_restarts_optimizer=3, random_state=0).fit(x, y)
    mean, _ = GaussianProcess.condition(fit_kernel(x, y, NUMBERS), x, y).predict(points)
    assert np.corrcoef(mean, reference.predict(points))[0, 1] > 0.98


def test_a_dimension_that_says_nothing_gets_a_small_weight(scores):
    x, y = scores
    kernel = fit_kernel(x, y, NUMBERS)
    assert kernel.weights[2] < kernel.weights[:2].min() / 3


def test_categories_are_equal_or_not():
    kernel = Kernel(np.array([False]), np.array([2.0]), 1.0, 1e-3)
    between = kernel.between(np.array([[0.0], [1.0], [5.0]]), np.array([[0.0], [1.0]]))
    assert between[0, 0] == between[1, 1] == 1.0
    assert between[0, 1] == between[2, 0] == between[2, 1] < 0.5


@pytest.mark.parametrize("z", [-30.0, -6.0, -4.9, -1.0, 0.0, 3.0])
def test_the_logarithm_of_the_expected_improvement(z):
    mean, deviation = 1.0, 0.5
    best = mean + z * deviation
    # Scaled by the density at the best, which is as small as 1e-196.
    integral, _ = quad(lambda t: t * np.exp(-0.5 * (t**2 - 2 * z * t)), 0, 40 + 2 * abs(z))
    expected = np.log(integral) + np.log(deviation) + norm.logpdf(z)
    (found,) = log_improvement(np.array([mean]), np.array([deviation]), best)
    assert found == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("count", [1, 3])
def test_equal_scores_and_equal_points_do_no_harm(count):
    x, y = np.full((count, 2), 0.5), np.zeros(count)
    kernel = fit_kernel(x, y, NUMBERS[:2])
    process = GaussianProcess.condition(kernel, x, y)
    mean, deviation = process.predict(x)
    np.testing.assert_allclose(mean, 0.0, atol=1e-9)
    assert np.isfinite(deviation).all()
    assert np.isfinite(process.log_improvement(x, 0.0)).all()
