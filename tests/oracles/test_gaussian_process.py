"""The process, against scikit-learn's."""

import math

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern

from models.oracles.gaussian_process import GaussianProcess, likeliest_length

NOISE = 1e-4


@pytest.fixture
def random():
    return np.random.RandomState(3)


@pytest.fixture
def scores(random):
    """40 points of three dimensions, with the scores of a bowl."""
    x = random.uniform(size=(40, 3))
    return x, 100.0 + 7.0 * ((x - [0.3, 0.6, 0.9]) ** 2).sum(axis=1)


def reference(x, y, **kernel):
    return GaussianProcessRegressor(
        Matern(nu=2.5, **kernel), alpha=NOISE, normalize_y=True, n_restarts_optimizer=5
    ).fit(x, y)


def test_its_predictions_are_those_of_scikit_learn(scores, random):
    x, y = scores
    points = random.uniform(size=(50, 3))
    mean, deviation = GaussianProcess.fit(x, y, 0.7, NOISE).predict(points)
    expected = reference(x, y, length_scale=0.7, length_scale_bounds="fixed")
    for mine, other in zip(
        (mean, deviation), expected.predict(points, return_std=True), strict=True
    ):
        np.testing.assert_allclose(mine, other, rtol=1e-6)


def test_its_length_is_as_likely_as_the_one_of_scikit_learn(scores):
    x, y = scores
    found = reference(x, y)
    likelihood = found.log_marginal_likelihood([math.log(likeliest_length(x, y, NOISE))])
    assert likelihood >= found.log_marginal_likelihood_value_ - 0.01


@pytest.mark.parametrize("beta", [0.0, 2.6])
def test_nowhere_is_the_bound_lower(scores, random, beta):
    x, y = scores
    process = GaussianProcess.fit(x, y, 0.7, NOISE)
    mean, deviation = process.predict(random.uniform(size=(20_000, 3)))
    lowest = process.lowest(beta, random)
    assert ((lowest >= 0) & (lowest <= 1)).all()
    (own_mean,), (own_deviation,) = process.predict(lowest[None])
    assert own_mean - beta * own_deviation <= (mean - beta * deviation).min()


@pytest.mark.parametrize("count", [1, 3])
def test_equal_scores_and_equal_points_do_no_harm(random, count):
    x, y = np.full((count, 2), 0.5), np.full(count, 4.0)
    length = likeliest_length(x, y, NOISE)
    mean, deviation = GaussianProcess.fit(x, y, length, NOISE).predict(x)
    np.testing.assert_allclose(mean, 4.0)
    assert np.isfinite(deviation).all()
    assert np.isfinite(GaussianProcess.fit(x, y, length, NOISE).lowest(2.6, random)).all()
