"""Keras Tuner's random, Bayesian and Hyperband oracles, without its tuner, files and locks.

Only `populate_space` is called, which decides the values; the bookkeeping around it
(`create_trial`, `update_trial`, `end_trial`) writes files, takes a lock that an exception leaves
locked, and keeps every oracle alive in a module-wide table. Written against Keras Tuner 1.4.8.
"""

import hashlib
import random
import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from models.oracles.encoding import Codec
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
        num_initial_points=strategy.num_initial_points,
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
    def populate_space(self, trial_id: str) -> dict[str, Any]:
        if self.exhausted:
            return {"status": STOPPED}
        # The matrices are small: threads would wait for each other, ten times as long as one
        # computes where trials keep the cores busy.
        with warnings.catch_warnings(), threadpool_limits(1):
            # A kernel length at its bound is no fault: some hyperparameters do not matter.
            warnings.simplefilter("ignore", ConvergenceWarning)
            answer: dict[str, Any] = super().populate_space(trial_id)
        if answer["status"] != RUNNING:
            return answer
        values = self._tidy(answer["values"])
        if self._duplicate(values):
            # The process expects most of what is known already: look where nobody looked.
            return self._random_populate_space()  # type: ignore[no-any-return]
        return {"status": RUNNING, "values": values}

    def _vectorize_trials(self) -> Any:
        # Running trials are given the score that the process expects of them. Keras Tuner asks
        # the process of the trial before, or one that was never fitted: fit the results first.
        if self.ongoing_trials:
            trials, ongoing = self.trials, self.ongoing_trials
            self.trials = {k: t for k, t in trials.items() if t.status == COMPLETED}
            self.ongoing_trials = {}
            self.gpr.fit(*super()._vectorize_trials())
            self.trials, self.ongoing_trials = trials, ongoing
        return super()._vectorize_trials()


class _HyperbandSampler(Sampler, keras_tuner.oracles.HyperbandOracle):  # type: ignore[misc]
    def _random_trial(self, trial_id: str, bracket: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = super()._random_trial(trial_id, bracket)
        if answer["status"] == RUNNING:
            return answer
        # No unseen values are left: an empty place, so that the bracket goes on with the rest.
        bracket["rounds"][0].append({"past_id": None, "id": trial_id})
        return {"status": EMPTY, "values": {}}
