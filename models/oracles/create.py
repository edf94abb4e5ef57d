"""The oracle of a strategy, new or restored, and the oracles that need no library."""

import gc
import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from models.oracles.oracle import Observation, Oracle, Proposal
from models.oracles.sampling import RandomOracle
from models.oracles.strategy import (
    TPE,
    Bayesian,
    Grid,
    Hyperband,
    Manual,
    Random,
    Strategy,
    decide,
    plan,
    trial_limit,
)
from models.space.hyperparameters import TrialValues
from models.space.parameters import Combinations
from models.space.space import SearchSpace
from models.telemetry import without_import_noise


class ManualOracle(Oracle):
    """Proposes each trial of the strategy in order, equal ones as often as they are listed."""

    def __init__(
        self,
        name: str,
        space: SearchSpace,
        direction: str,
        limit: int | None,
        trials: Sequence[Mapping[str, Any]],
    ) -> None:
        super().__init__(name, space, direction, limit)
        self._trials = trials

    @property
    def finished(self) -> bool:
        """Whether all trials, or as many as the limit, are proposed."""
        return super().finished or self._next >= len(self._trials)

    def _propose(self) -> Proposal:
        number = self._next
        self._next += 1
        return Proposal(self._key(number), self._space.check(self._trials[number]))


class GridOracle(Oracle):
    """Proposes each combination that was not tried before, in a fixed order."""

    def __init__(
        self, name: str, space: SearchSpace, direction: str, limit: int | None, points: int
    ) -> None:
        super().__init__(name, space, direction, limit)
        self._grid = Combinations(space.dimensions, lambda each: each.parameter.points(points))
        self._tried: set[str] = set()

    def _propose(self) -> Proposal | None:
        while self._next < self._grid.count:
            number = self._next
            self._next += 1
            values = self._space.resolve(self._grid.at(number))
            if _identity(values) not in self._tried:
                return Proposal(self._key(number), values)
        self._ended = True
        return None

    def _begin(self, observation: Observation, *, own: bool) -> None:
        if not own:
            self._tried.add(_identity(observation.values))

    def _discard(self, observation: Observation, *, own: bool) -> None:
        self._tried.add(_identity(observation.values))


def _identity(values: TrialValues) -> str:
    return json.dumps(values, sort_keys=True)


def create_oracle(
    strategy: Strategy,
    space: SearchSpace,
    direction: str,
    seed: int,
    max_trials: int | None,
    epochs: int,
    state: Mapping[str, Any] | None = None,
    history: Sequence[Observation] = (),
) -> Oracle:
    """Make the oracle of `strategy`.

    `direction` is "min" or "max"; `epochs` is the budget of one trial. With the `state` and the
    `history`, in order of proposal, of one moment it continues exactly like the oracle of that
    moment; trials with keys of another form are taken as by `add`. Raises Invalid for a grid that
    is too large, and Unreadable for a state that cannot be restored.
    """
    strategy = decide(strategy, space, max_trials)
    arguments = (strategy.name, space, direction, trial_limit(strategy, max_trials))
    oracle: Oracle
    if isinstance(strategy, Manual):
        oracle = ManualOracle(*arguments, strategy.trials)
    elif isinstance(strategy, Grid):
        plan(strategy, space, max_trials, epochs)
        oracle = GridOracle(*arguments, strategy.points)
    elif isinstance(strategy, Random):
        oracle = RandomOracle(*arguments, seed)
    elif isinstance(strategy, Bayesian):
        from models.oracles.bayesian import BayesianOracle

        oracle = BayesianOracle(*arguments, seed, _initial_points(strategy))
    elif isinstance(strategy, TPE):
        from models.oracles.tpe import TPEOracle

        oracle = TPEOracle(*arguments, seed, _initial_points(strategy))
    else:
        assert isinstance(strategy, Hyperband)
        # Imports TensorFlow, which takes seconds: only Hyperband waits for it.
        _import_keras_tuner()
        from models.oracles.hyperband import HyperbandOracle
        from models.oracles.keras_tuner import make_sampler

        oracle = HyperbandOracle(*arguments, make_sampler(strategy, space, seed, epochs))
    oracle.restore(state or {}, history)
    return oracle


def _initial_points(strategy: Bayesian | TPE) -> int:
    assert strategy.num_initial_points is not None
    return strategy.num_initial_points


@cache
def _import_keras_tuner() -> None:
    with without_import_noise():
        import models.oracles.keras_tuner  # noqa: F401
    # TensorFlow comes with a million objects. The garbage collector need not traverse them each
    # time, which would take 0.3 s of the worker.
    gc.freeze()
