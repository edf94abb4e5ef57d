"""Keras Tuner's Hyperband oracle, without its tuner, files and locks.

Only `populate_space` is called, which decides the values. The bookkeeping around it
(`create_trial`, `update_trial`, `end_trial`) writes files, takes a lock that an exception leaves
locked, and keeps every oracle alive in a module-wide table. Scores are ranks: smaller is better.
Written against Keras Tuner 1.4.8.
"""

import hashlib
import random
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial

from models.oracles.oracle import Rank
from models.oracles.strategy import Hyperband
from models.space.hyperparameters import Value
from models.space.parameters import Combinations, Dimension, Float, Int
from models.space.space import SearchSpace

# Repeated draws of known values after which a space counts as exhausted. The 20 of Keras Tuner end
# a continuous space early if most draws fall on a branch of few combinations.
_MAX_COLLISIONS = 200
# Larger spaces are not searched to the last combination.
_MAX_ENUMERATED = 100_000

RUNNING, COMPLETED = "RUNNING", "COMPLETED"
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
    strategy: Hyperband, space: SearchSpace, seed: int, epochs: int
) -> "HyperbandSampler":
    """Make the sampler of a strategy; `epochs` is the default of `max_epochs`."""
    sampler = HyperbandSampler(
        max_epochs=strategy.max_epochs or epochs,
        factor=strategy.factor,
        hyperband_iterations=strategy.iterations,
        objective=keras_tuner.Objective("loss", "min"),
        hyperparameters=_hyperparameters(Codec(space)),
        seed=_derived(seed, strategy.name),
    )
    return sampler.bind(space, seed, strategy.min_epochs)


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


class HyperbandSampler(keras_tuner.oracles.HyperbandOracle):  # type: ignore[misc]
    """Keras Tuner's Hyperband, whose rounds can be saved; it draws no values twice.

    Every trial has random numbers of its own. Thus there is no random state to save, and jobs with
    close seeds share no trials.
    """

    trials: dict[str, Any]
    ongoing_trials: dict[str, Any]
    codec: Codec

    def bind(self, space: SearchSpace, seed: int, min_epochs: int) -> "HyperbandSampler":
        """Set the space to draw from, the seed of the job, and the shortest training."""
        self._bound_space, self.codec, self._job_seed = space, Codec(space), seed
        self._size = space.size()
        self._max_collisions = _MAX_COLLISIONS
        # Keras Tuner has the attribute, without an argument for it, and has begun a bracket.
        self.min_epochs = min_epochs
        self._brackets.clear()
        self._current_bracket = self.brackets - 1
        self._start_new_bracket()
        return self

    def prepare(self, number: int) -> None:
        """Seed the random numbers of trial `number`."""
        self._seed_state = _derived(self._job_seed, f"draw/{number}")

    def begin(self, key: str, values: Mapping[str, Any]) -> None:
        """Note the start of a trial."""
        hyperparameters = self.hyperparameters.copy()
        hyperparameters.values = dict(values)
        trial = Trial(hyperparameters, trial_id=key, status=RUNNING)
        self.trials[key] = self.ongoing_trials[key] = trial

    def end(self, key: str, rank: Rank) -> None:
        """Note the end of a trial."""
        trial = self.trials[key]
        self.ongoing_trials.pop(key, None)
        trial.status, trial.score = COMPLETED, rank

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
