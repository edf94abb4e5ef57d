"""Keras Tuner's random, Bayesian and Hyperband oracles, without its tuner, files and locks.

Only `populate_space` is called, which decides the values; of the Bayesian oracle only its random
points and its mapping of values, as the process is ours. The bookkeeping around it (`create_trial`,
`update_trial`, `end_trial`) writes files, takes a lock that an exception leaves locked, and keeps
every oracle alive in a module-wide table. Written against Keras Tuner 1.4.8.
"""

import functools
import hashlib
import random
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial
from threadpoolctl import ThreadpoolController

from models.oracles.encoding import Codec
from models.oracles.gaussian_process import GaussianProcess, likeliest_length
from models.oracles.grid import Combinations
from models.oracles.strategy import Bayesian, Hyperband
from models.space.hyperparameters import Value
from models.space.parameters import Float, Int
from models.space.space import SearchSpace

# Draws of known values in a row until a space counts as exhausted. Keras Tuner's 20 ends a
# continuous space early where most draws fall on a branch of few combinations.
_MAX_COLLISIONS = 200
# Spaces up to this size are searched to the last combination.
_ENUMERABLE = 100_000

RUNNING, COMPLETED, FAILED = "RUNNING", "COMPLETED", "FAILED"
IDLE, STOPPED = "IDLE", "STOPPED"
EMPTY = "EMPTY"  # ours: a place in a Hyperband bracket that nothing unseen is left for


def random_sampler(space: SearchSpace, direction: str, seed: int) -> "Sampler":
    """Keras Tuner's random search."""
    return _RandomSampler(**_shared(space, direction, seed, "random")).bind(space, seed)


def bayesian_sampler(
    strategy: Bayesian, space: SearchSpace, direction: str, seed: int
) -> "Sampler":
    """Keras Tuner's search by Gaussian process, acquisition by lower confidence bound."""
    return _BayesianSampler(
        num_initial_points=strategy.initial_points(len(space.dimensions)),
        alpha=strategy.alpha,
        beta=strategy.beta,
        **_shared(space, direction, seed, "bayesian"),
    ).bind(space, seed)


def hyperband_sampler(
    strategy: Hyperband, space: SearchSpace, direction: str, seed: int, epochs: int
) -> "Sampler":
    """Keras Tuner's Hyperband; `epochs` are those of a trial that reaches the end."""
    return _HyperbandSampler(
        max_epochs=strategy.max_epochs or epochs,
        factor=strategy.factor,
        hyperband_iterations=strategy.iterations,
        **_shared(space, direction, seed, "hyperband"),
    ).bind(space, seed)


def _shared(space: SearchSpace, direction: str, seed: int, purpose: str) -> dict[str, Any]:
    return {
        "objective": keras_tuner.Objective("score", direction),
        "hyperparameters": _hyperparameters(Codec(space)),
        "seed": _derived(seed, purpose),
    }


def _hyperparameters(codec: Codec) -> keras_tuner.HyperParameters:
    """The dimensions of a space, parents first."""
    hyperparameters = keras_tuner.HyperParameters()
    for name, dimension in codec.dimensions.items():
        with ExitStack() as scopes:
            for condition in dimension.when:
                values = [codec.encoded(condition.parent, value) for value in condition.values]
                scopes.enter_context(hyperparameters.conditional_scope(condition.parent, values))
            indices, parameter = codec.indices(name), dimension.parameter
            if indices is not None:
                hyperparameters.Int(name, 0, indices - 1)
            elif isinstance(parameter, Int):
                hyperparameters.Int(name, parameter.min, parameter.max, sampling="log")
            elif isinstance(parameter, Float):
                low, high, sampling = parameter.min, parameter.max, parameter.sampling
                hyperparameters.Float(name, low, high, sampling=sampling)
    if not codec.dimensions:
        # Hyperband takes a combination of no values for a sign that the space is exhausted.
        hyperparameters.Fixed("nothing", 0)
    return hyperparameters


def _derived(seed: int, purpose: str) -> int:
    """A number from 1 to 2**32 - 1: Keras Tuner replaces a seed of 0 by a random one."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:4], "big") or 1


class Sampler(keras_tuner.Oracle):  # type: ignore[misc]
    """Draws values that were not tried; every trial has random numbers of its own.

    So nothing random is left to be saved, and jobs whose seeds lie close share no trials.
    """

    trials: dict[str, Any]
    ongoing_trials: dict[str, Any]

    def bind(self, space: SearchSpace, seed: int) -> "Sampler":
        """Say which space is drawn from, with the seed of the job."""
        self._bound_space, self._codec, self._job_seed = space, Codec(space), seed
        self._size = space.size()
        self._max_collisions = _MAX_COLLISIONS
        return self

    def prepare(self, number: int) -> None:
        """Set the random numbers for trial `number`."""
        self._seed_state = _derived(self._job_seed, f"draw/{number}")
        self._random_state = np.random.RandomState(
            _derived(self._job_seed, f"acquisition/{number}")
        )

    def begin(self, key: str, values: Mapping[str, Any]) -> None:
        """A trial of these values begins."""
        hyperparameters = self.hyperparameters.copy()
        hyperparameters.values = dict(values)
        trial = Trial(hyperparameters, trial_id=key, status=RUNNING)
        self.trials[key] = self.ongoing_trials[key] = trial

    def end(self, key: str, status: str, score: float | None) -> None:
        """A trial ends, with a score if its status is COMPLETED."""
        trial = self.trials[key]
        self.ongoing_trials.pop(key, None)
        trial.status, trial.score = status, score

    def avoid(self, flat: Mapping[str, Value]) -> None:
        """Never draw these values again."""
        self._tried_so_far.add(self._compute_values_hash(self._codec.encode(flat)))

    @property
    def exhausted(self) -> bool:
        """Whether every combination of a countable space is known."""
        return self._size is not None and len(self._tried_so_far) >= self._size

    def _random_values(self) -> dict[str, Any] | None:
        if self.exhausted:
            return None
        values: dict[str, Any] | None = super()._random_values()
        return self._left_over() if values is None else self._tidy(values)

    def _tidy(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values as a trial restored from the database has them."""
        return {**values, **self._codec.encode(self._codec.decode(values))}

    def _left_over(self) -> dict[str, Any] | None:
        if self._size is None or self._size > _ENUMERABLE:
            return None
        combinations = Combinations(self._bound_space)
        order = random.Random(self._seed_state).sample(range(self._size), self._size)
        encoded = (self._codec.encode(combinations.at(index)) for index in order)
        return next((values for values in encoded if not self._duplicate(values)), None)


class _RandomSampler(Sampler, keras_tuner.oracles.RandomSearchOracle):  # type: ignore[misc]
    pass


class _BayesianSampler(Sampler, keras_tuner.oracles.BayesianOptimizationOracle):  # type: ignore[misc]
    def bind(self, space: SearchSpace, seed: int) -> Sampler:
        self._points: dict[str, Sequence[float]] = {}  # in the unit cube, by trial
        self._fitted: tuple[tuple[str, ...], float] = ((), 0.0)  # trials, and what they gave
        return super().bind(space, seed)

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        if self.exhausted:
            return {"status": STOPPED}
        completed = [key for key, trial in self.trials.items() if trial.status == COMPLETED]
        if len(completed) < self.num_initial_points or not self._nonfixed_space():
            return self._random_populate_space()  # type: ignore[no-any-return]
        # The matrices are small: threads would wait for each other, ten times as long as one
        # computes where trials keep the cores busy.
        with _blas().limit(limits=1):
            point = self._most_promising(completed)
        values = self._tidy(self._vector_to_values(point))
        if self._duplicate(values):
            # The process expects most of what is known already: look where nobody looked.
            return self._random_populate_space()  # type: ignore[no-any-return]
        return {"status": RUNNING, "values": values}

    def _most_promising(self, completed: Sequence[str]) -> Any:
        """Where in the unit cube the bound is lowest, once running trials have a guessed score."""
        x, y = self._vectors(completed)
        length = self._length(completed, x, y)
        process = GaussianProcess(x, y, length, self.alpha)
        if self.ongoing_trials:
            running, _ = self._vectors(list(self.ongoing_trials))
            mean, deviation = process.predict(running)
            x, y = np.vstack([x, running]), np.concatenate([y, mean + deviation])
            process = GaussianProcess(x, y, length, self.alpha)
        return process.lowest(self.beta, self._random_state)

    def _length(self, completed: Sequence[str], x: Any, y: Any) -> float:
        """The kernel's length by the first trials: found anew when there are a tenth more.

        It follows from the history alone, so that a restored oracle finds the same.
        """
        count = _last_fit(len(completed))
        keys = tuple(completed[:count])
        if keys != self._fitted[0]:
            self._fitted = keys, likeliest_length(x[:count], y[:count], self.alpha)
        return self._fitted[1]

    def _vectors(self, keys: Sequence[str]) -> tuple[Any, Any]:
        """Points in the unit cube and scores, of which the least is the best; 0 while running."""
        sign = -1.0 if self.objective.direction == "max" else 1.0
        scores = [sign * (self.trials[key].score or 0.0) for key in keys]
        return np.array([self._point(key) for key in keys]), np.array(scores)

    def _point(self, key: str) -> Sequence[float]:
        if key not in self._points:
            values = self.trials[key].hyperparameters.values
            self._points[key] = [
                # A dimension that is not active has its default, as in Keras Tuner.
                dimension.value_to_prob(values.get(dimension.name, dimension.default))
                for dimension in self._nonfixed_space()
            ]
        return self._points[key]


def _last_fit(count: int) -> int:
    """The last of the sizes, each a tenth above the one before, that `count` has reached."""
    size = 1
    while (following := max(size + 1, size * 11 // 10)) <= count:
        size = following
    return size


@functools.cache
def _blas() -> ThreadpoolController:
    """Limits the threads of NumPy's and SciPy's BLAS; to look for them takes milliseconds."""
    return ThreadpoolController()


class _HyperbandSampler(Sampler, keras_tuner.oracles.HyperbandOracle):  # type: ignore[misc]
    def _random_trial(self, trial_id: str, bracket: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = super()._random_trial(trial_id, bracket)
        if answer["status"] == RUNNING:
            return answer
        # No unseen values are left: an empty place, so that the bracket goes on with the rest.
        bracket["rounds"][0].append({"past_id": None, "id": trial_id})
        return {"status": EMPTY, "values": {}}
