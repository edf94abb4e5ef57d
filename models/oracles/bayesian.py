"""Bayesian optimisation: the values with the largest expected improvement."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata
from threadpoolctl import ThreadpoolController

from models.oracles.gaussian_process import GaussianProcess, Kernel, fit_kernel
from models.oracles.learning import LearningOracle
from models.oracles.oracle import Rank
from models.oracles.sampling import Flat

Array = np.ndarray[Any, Any]

_MAX_FITTED = 200  # trials that the kernel is fitted to
_MAX_TRIALS = 400  # trials that a process is conditioned on
_CANDIDATES = 400  # points everywhere
_CENTRES = 5  # best trials, around which points are tried
_NEAR = 40  # points around each centre
_CLIMBERS = 8  # best points, from which the search climbs
_CLIMBS = 8  # points around each of them in a round
_MAX_RATIO = 1e300  # of a loss to the median, above the best
_STEPS = (0.15, 0.08, 0.04, 0.02)  # widths of the rounds of climbing


class BayesianOracle(LearningOracle):
    """Maximises the expected improvement of a Gaussian process over the trials.

    Scores are warped, so that neither failures, which count as the worst, nor huge scores blind it.
    Running trials are taken to score as the process expects.
    """

    def __init__(self, *arguments: Any) -> None:
        """See `LearningOracle`."""
        super().__init__(*arguments)
        self._points: dict[str, Array] = {}  # by key
        self._fitted: tuple[tuple[str, ...], Kernel | None] = ((), None)

    def _learned(self, number: int) -> Flat | None:
        ended = [key for key in self._flat if key in self._ranks]
        # The matrices are small: if trials keep the cores busy, threads wait for each other ten
        # times as long as one computes.
        with _blas().limit(limits=1):
            return self._most_promising(number, ended)

    def _most_promising(self, number: int, ended: list[str]) -> Flat | None:
        generator = np.random.default_rng(self._seed_of(f"acquisition/{number}"))
        kernel = self._kernel(ended)
        x, y = self._observed(ended)
        process = GaussianProcess.condition(kernel, x, y)
        if running := [key for key in self._flat if key not in self._ranks]:
            waiting = self._at(running)
            x, y = np.vstack([x, waiting]), np.concatenate([y, process.predict(waiting)[0]])
            process = GaussianProcess.condition(kernel, x, y)
        means = process.fitted(y)
        best = float(means.min())
        centres = x[np.argsort(means, kind="stable")[:_CENTRES]]
        points = self._encoding.spread(generator.random((_CANDIDATES, self._encoding.dimensions)))
        points = np.vstack(
            [points, self._around(np.repeat(centres, _NEAR, axis=0), 0.1, generator)]
        )
        values = process.log_improvement(points, best)
        for width in _STEPS:
            top = np.argsort(-values, kind="stable")[:_CLIMBERS]
            near = self._around(np.repeat(points[top], _CLIMBS, axis=0), width, generator)
            points = np.vstack([points[top], near])
            values = np.concatenate([values[top], process.log_improvement(near, best)])
        for place in np.argsort(-values, kind="stable"):
            flat = self._encoding.decode(points[place])
            if not self._is_known(flat):
                return flat
        return None

    def _around(self, points: Array, width: float, generator: np.random.Generator) -> Array:
        """Return a neighbour of each point: some dimensions are moved, at least one."""
        encoding = self._encoding
        count, dimensions = points.shape
        moved = generator.random((count, dimensions)) < min(1.0, 2.0 / dimensions)
        moved[np.arange(count), generator.integers(dimensions, size=count)] = True
        away = generator.normal(size=(count, dimensions)) * width
        least = np.where(np.abs(away) < encoding.steps, encoding.steps * np.sign(away), away)
        other = encoding.spread(generator.random((count, dimensions)))
        new = np.where(encoding.ordered, points + least, other)
        return encoding.snap(np.where(moved, new, points))

    def _kernel(self, ended: list[str]) -> Kernel:
        """Return the kernel, fitted again whenever there are a tenth more trials.

        It depends only on the history, so that a restored oracle finds the same.
        """
        keys = tuple(ended[: _last_fit(len(ended))])
        if keys != self._fitted[0] or self._fitted[1] is None:
            x, y = self._observed(list(keys))
            some = np.argsort(y, kind="stable")
            if len(some) > _MAX_FITTED:
                some = some[np.linspace(0, len(some) - 1, _MAX_FITTED).round().astype(int)]
            self._fitted = keys, fit_kernel(x[some], y[some], self._encoding.ordered)
        assert self._fitted[1] is not None
        return self._fitted[1]

    def _observed(self, keys: list[str]) -> tuple[Array, Array]:
        """Return the points and the normal scores of trials: the best and the newest ones."""
        y = warped_scores([self._ranks[key] for key in keys])
        if len(keys) > _MAX_TRIALS:
            half = _MAX_TRIALS // 2
            best = np.argsort(y[:-half], kind="stable")[:half]
            chosen = np.concatenate([np.sort(best), np.arange(len(keys) - half, len(keys))])
            keys, y = [keys[place] for place in chosen], y[chosen]
        return self._at(keys), y

    def _at(self, keys: list[str]) -> Array:
        for key in keys:
            if key not in self._points:
                self._points[key] = self._encoding.encode(self._flat[key])
        return np.stack([self._points[key] for key in keys])


def warped_scores(ranks: Sequence[Rank]) -> Array:
    """Return scores for a process, (trials,), smaller for better ranks and without outliers.

    They are means of two: the normal quantile of the place, which is blind to the size of
    differences, and the loss, of which what lies above the median enters by its logarithm. Trials
    that failed or violate constraints have the worst loss of the others.
    """
    order = {rank: place for place, rank in enumerate(sorted(set(ranks)))}
    places = rankdata([order[rank] for rank in ranks])
    quantiles = ndtri((places - 0.5) / len(ranks))
    scored = np.array([violation == 0.0 for violation, _ in ranks])
    if not scored.any():
        return quantiles  # type: ignore[no-any-return]
    losses = np.array([loss for _, loss in ranks])[scored] / 8.0  # so that differences are finite
    above = losses - losses.min()
    scale = np.median(above) or above[above > 0].min(initial=np.inf)
    with np.errstate(over="ignore"):
        ratios = np.minimum(above / scale, _MAX_RATIO) - 1.0
    values = np.full(len(ranks), -np.inf)
    values[scored] = np.where(ratios > 0, np.log1p(np.maximum(ratios, 0.0)), ratios)
    values[~scored] = values.max()
    return (quantiles + (values - values.mean()) / (values.std() or 1.0)) / 2.0  # type: ignore[no-any-return]


def _last_fit(count: int) -> int:
    """Return the largest of the sizes, each a tenth above the last, that is at most `count`."""
    size = 1
    while (following := max(size + 1, size * 11 // 10)) <= count:
        size = following
    return size


@functools.cache
def _blas() -> ThreadpoolController:
    """Return the controller of the BLAS threads; finding the libraries takes milliseconds."""
    return ThreadpoolController()
