"""Keras Tuner's random, Bayesian and Hyperband oracles, without its tuner, files and locks.

Only `populate_space` is called, which decides the values; the Bayesian oracle keeps its random
points and its mapping of values, with a Gaussian process of Luthier. The bookkeeping around it
(`create_trial`, `update_trial`, `end_trial`) writes files, takes a lock that an exception leaves
locked, and keeps every oracle alive in a module-wide table. Scores are losses: smaller is better.
Written against Keras Tuner 1.4.8.
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

from models.oracles.gaussian_process import GaussianProcess, likeliest_length
from models.oracles.oracle import FAILED as FAILED_RANK
from models.oracles.oracle import Observation, Oracle, Proposal, Rank
from models.oracles.strategy import Bayesian, Hyperband, Random
from models.space.hyperparameters import Value
from models.space.parameters import Combinations, Dimension, Float, Int
from models.space.space import SearchSpace

# Repeated draws of known values after which a space counts as exhausted. The 20 of Keras Tuner end
# a continuous space early if most draws fall on a branch of few combinations.
_MAX_COLLISIONS = 200
# Larger spaces are not searched to the last combination.
_MAX_ENUMERATED = 100_000

RUNNING, COMPLETED, FAILED = "RUNNING", "COMPLETED", "FAILED"
IDLE, STOPPED = "IDLE", "STOPPED"
EMPTY = "EMPTY"  # not of Keras Tuner: no unseen values are left for a place in a bracket

_ROUNDS = ("brackets", "current_bracket", "current_iteration")  # the state of Hyperband


class Codec:
    """Encodes a dimension of countable values as the index of a value, from 0.

    Keras Tuner's own steps lose the last value of 0 to 0.5 by 0.1 (`0.5 // 0.1` is 4), and its
    choices turn booleans into 0 and 1.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.dimensions = {dimension.name: dimension for dimension in space.dimensions}
        self._options = {dimension.name: _indexed(dimension) for dimension in space.dimensions}

    def indices(self, name: str) -> int | None:
        """Return the number of values of a dimension; None if its numbers are searched as such."""
        options = self._options[name]
        return None if options is None else len(options)

    def encoded(self, name: str, value: Value) -> int | float:
        """Encode one value of the dimension `name`."""
        options = self._options[name]
        if options is not None:
            return options.index(value)
        assert isinstance(value, int | float)
        return float(value) if isinstance(self.dimensions[name].parameter, Float) else value

    def encode(self, flat: Mapping[str, Value]) -> dict[str, int | float]:
        """Encode the values of the active dimensions."""
        return {name: self.encoded(name, flat[name]) for name in self.dimensions if name in flat}

    def decode(self, numbers: Mapping[str, Any]) -> dict[str, Value]:
        """Decode the values of the active dimensions; other names are ignored."""
        return {
            name: self._decoded(dimension, numbers[name])
            for name, dimension in self.dimensions.items()
            if name in numbers
        }

    def _decoded(self, dimension: Dimension, number: Any) -> Value:
        options, parameter = self._options[dimension.name], dimension.parameter
        if options is not None:
            return options[int(number)]
        assert isinstance(parameter, Int | Float)
        # Keras Tuner overshoots the end of a log range: by rounding, whole numbers by one.
        within = min(max(number, parameter.min), parameter.max)
        return int(within) if isinstance(parameter, Int) else float(within)


def _indexed(dimension: Dimension) -> tuple[Value, ...] | None:
    parameter = dimension.parameter
    if isinstance(parameter, Int) and parameter.sampling == "log" and parameter.step is None:
        return None if parameter.min < parameter.max else (parameter.min,)
    return parameter.options()


def make_sampler(
    strategy: Random | Bayesian | Hyperband, space: SearchSpace, seed: int, epochs: int
) -> "Sampler":
    """Make the sampler of a strategy; `epochs` is the default of Hyperband's `max_epochs`."""
    shared = {
        "objective": keras_tuner.Objective("loss", "min"),
        "hyperparameters": _hyperparameters(Codec(space)),
        "seed": _derived(seed, strategy.name),
    }
    sampler: Sampler
    if isinstance(strategy, Bayesian):
        initial = strategy.num_initial_points or 10
        sampler = _BayesianSampler(num_initial_points=initial, alpha=1e-4, beta=2.6, **shared)
    elif isinstance(strategy, Hyperband):
        sampler = HyperbandSampler(
            max_epochs=strategy.max_epochs or epochs,
            factor=strategy.factor,
            hyperband_iterations=strategy.iterations,
            **shared,
        )
    else:
        sampler = _RandomSampler(**shared)
    return sampler.bind(space, seed)


def _hyperparameters(codec: Codec) -> keras_tuner.HyperParameters:
    """Return the dimensions of a space in the form of Keras Tuner."""
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
        # For Hyperband a combination without values means that the space is exhausted.
        hyperparameters.Fixed("nothing", 0)
    return hyperparameters


def _derived(seed: int, purpose: str) -> int:
    """Return a seed from 1 to 2**32 - 1; Keras Tuner replaces 0 by a random one."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:4], "big") or 1


class Sampler(keras_tuner.Oracle):  # type: ignore[misc]
    """Draws values that were not tried; every trial has random numbers of its own.

    Thus there is no random state to save, and jobs with close seeds share no trials.
    """

    trials: dict[str, Any]
    ongoing_trials: dict[str, Any]
    codec: Codec

    def bind(self, space: SearchSpace, seed: int) -> "Sampler":
        """Set the space to draw from and the seed of the job."""
        self._bound_space, self.codec, self._job_seed = space, Codec(space), seed
        self._size = space.size()
        self._max_collisions = _MAX_COLLISIONS
        return self

    def prepare(self, number: int) -> None:
        """Seed the random numbers of trial `number`."""
        self._seed_state = _derived(self._job_seed, f"draw/{number}")
        self._random_state = np.random.RandomState(
            _derived(self._job_seed, f"acquisition/{number}")
        )

    def begin(self, key: str, values: Mapping[str, Any]) -> None:
        """Note the start of a trial."""
        hyperparameters = self.hyperparameters.copy()
        hyperparameters.values = dict(values)
        trial = Trial(hyperparameters, trial_id=key, status=RUNNING)
        self.trials[key] = self.ongoing_trials[key] = trial

    def end(self, key: str, status: str, loss: Any) -> None:
        """Note the end of a trial, with a loss if its status is COMPLETED."""
        trial = self.trials[key]
        self.ongoing_trials.pop(key, None)
        trial.status, trial.score = status, loss

    def avoid(self, flat: Mapping[str, Value]) -> None:
        """Never draw these values again."""
        self._tried_so_far.add(self._compute_values_hash(self.codec.encode(flat)))

    @property
    def exhausted(self) -> bool:
        """Whether every combination of a countable space was tried."""
        return self._size is not None and len(self._tried_so_far) >= self._size

    def _random_values(self) -> dict[str, Any] | None:
        if self.exhausted:
            return None
        values: dict[str, Any] | None = super()._random_values()
        return self._left_over() if values is None else self._tidy(values)

    def _tidy(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values as a trial that was restored from the database has them."""
        return {**values, **self.codec.encode(self.codec.decode(values))}

    def _left_over(self) -> dict[str, Any] | None:
        if self._size is None or self._size > _MAX_ENUMERATED:
            return None
        dimensions = self._bound_space.dimensions
        combinations = Combinations(dimensions, lambda each: each.parameter.options() or ())
        order = random.Random(self._seed_state).sample(range(self._size), self._size)
        encoded = (self.codec.encode(combinations.at(index)) for index in order)
        return next((values for values in encoded if not self._duplicate(values)), None)


class _RandomSampler(Sampler, keras_tuner.oracles.RandomSearchOracle):  # type: ignore[misc]
    pass


class _BayesianSampler(Sampler, keras_tuner.oracles.BayesianOptimizationOracle):  # type: ignore[misc]
    def bind(self, space: SearchSpace, seed: int) -> "Sampler":
        self._points: dict[str, Sequence[float]] = {}  # in the unit cube, by trial
        self._fitted: tuple[tuple[str, ...], float] = ((), 0.0)  # trials, and what they gave
        return super().bind(space, seed)

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        if self.exhausted:
            return {"status": STOPPED}
        completed = [key for key, trial in self.trials.items() if trial.status == COMPLETED]
        if len(completed) < self.num_initial_points or not self._nonfixed_space():
            return self._random_populate_space()  # type: ignore[no-any-return]
        # The matrices are small: if trials keep the cores busy, threads wait for each other ten
        # times as long as one computes.
        with _blas().limit(limits=1):
            point = self._most_promising(completed)
        values = self._tidy(self._vector_to_values(point))
        if self._duplicate(values):
            # The process expects most of a point that was tried: draw another at random.
            return self._random_populate_space()  # type: ignore[no-any-return]
        return {"status": RUNNING, "values": values}

    def _most_promising(self, completed: Sequence[str]) -> Any:
        """Return the point of the unit cube with the lowest bound; running trials get a guess."""
        x, y = self._vectors(completed)
        length = self._length(completed, x, y)
        process = GaussianProcess.fit(x, y, length, self.alpha)
        if self.ongoing_trials:
            running, _ = self._vectors(list(self.ongoing_trials))
            mean, deviation = process.predict(running)
            x, y = np.vstack([x, running]), np.concatenate([y, mean + deviation])
            process = GaussianProcess.fit(x, y, length, self.alpha)
        return process.lowest(self.beta, self._random_state)

    def _length(self, completed: Sequence[str], x: Any, y: Any) -> float:
        """Return the kernel's length, fitted again whenever there are a tenth more trials.

        It depends only on the history, so that a restored oracle finds the same.
        """
        count = _last_fit(len(completed))
        keys = tuple(completed[:count])
        if keys != self._fitted[0]:
            self._fitted = keys, likeliest_length(x[:count], y[:count], self.alpha)
        return self._fitted[1]

    def _vectors(self, keys: Sequence[str]) -> tuple[Any, Any]:
        """Return points in the unit cube and their losses, 0 for running trials."""
        losses = [self.trials[key].score or 0.0 for key in keys]
        return np.array([self._point(key) for key in keys]), np.array(losses)

    def _point(self, key: str) -> Sequence[float]:
        if key not in self._points:
            values = self.trials[key].hyperparameters.values
            self._points[key] = [
                # An inactive dimension has its default, as in Keras Tuner.
                dimension.value_to_prob(values.get(dimension.name, dimension.default))
                for dimension in self._nonfixed_space()
            ]
        return self._points[key]


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


class HyperbandSampler(Sampler, keras_tuner.oracles.HyperbandOracle):  # type: ignore[misc]
    """Keras Tuner's Hyperband, whose rounds can be saved."""

    @property
    def brackets(self) -> int:
        """Number of brackets of one iteration."""
        return int(self._get_num_brackets())

    @property
    def rounds(self) -> dict[str, Any]:
        """The open brackets with the keys of their trials."""
        return {name: getattr(self, f"_{name}") for name in _ROUNDS}

    def load_rounds(self, rounds: Mapping[str, Any]) -> None:
        """Continue from saved `rounds`."""
        for name in _ROUNDS:
            setattr(self, f"_{name}", rounds[name])

    def _random_trial(self, trial_id: str, bracket: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = super()._random_trial(trial_id, bracket)
        if answer["status"] == RUNNING:
            return answer
        # No unseen values are left: leave the place empty, so that the bracket continues.
        bracket["rounds"][0].append({"past_id": None, "id": trial_id})
        return {"status": EMPTY, "values": {}}


class SamplingOracle(Oracle):
    """Draws trials from `sampler`, no values twice; a countable space may be exhausted."""

    def __init__(
        self, name: str, space: SearchSpace, direction: str, limit: int | None, sampler: Sampler
    ) -> None:
        super().__init__(name, space, direction, limit)
        self._sampler = sampler
        self._inside: set[str] = set()  # keys whose values lie in the space

    def _propose(self) -> Proposal | None:
        key = self._key(self._next)
        self._sampler.prepare(self._next)
        answer = self._sampler.populate_space(key)
        if answer["status"] != RUNNING:
            self._ended = True
            return None
        self._next += 1
        flat = self._sampler.codec.decode(answer["values"])
        self._start(key, flat)
        return Proposal(key, self._space.resolve(flat))

    def _begin(self, observation: Observation, *, own: bool) -> None:
        if self._space.covers(observation.values):
            self._start(observation.key, self._space.flatten(observation.values))

    def _discard(self, observation: Observation, *, own: bool) -> None:
        if self._space.covers(observation.values):
            self._sampler.avoid(self._space.flatten(observation.values))

    def _start(self, key: str, flat: Mapping[str, Value]) -> None:
        self._inside.add(key)
        self._sampler.begin(key, self._sampler.codec.encode(flat))
        self._sampler.avoid(flat)

    def _end(self, key: str, rank: Rank) -> None:
        if key in self._inside:
            failed = rank == FAILED_RANK
            self._sampler.end(key, FAILED if failed else COMPLETED, None if failed else rank[1])
