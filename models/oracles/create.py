"""The oracle of a strategy, new or restored."""

import gc
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from models.oracles.enumerated import GridOracle, ManualOracle
from models.oracles.oracle import Observation, Oracle
from models.oracles.plan import plan, trial_limit
from models.oracles.strategy import Bayesian, Grid, Hyperband, Manual, Strategy
from models.space.space import SearchSpace
from models.telemetry import without_import_noise


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
    oracle = _new(strategy, space, direction, seed, max_trials, epochs)
    oracle.restore(state or {}, history)
    return oracle


def _new(
    strategy: Strategy,
    space: SearchSpace,
    direction: str,
    seed: int,
    max_trials: int | None,
    epochs: int,
) -> Oracle:
    limit = trial_limit(strategy, max_trials)
    if isinstance(strategy, Manual):
        return ManualOracle(strategy, space, direction, limit)
    if isinstance(strategy, Grid):
        plan(strategy, space, max_trials, epochs)
        return GridOracle(strategy, space, direction, limit)
    # Imports TensorFlow, which takes seconds: only the strategies that need it wait for it.
    _import_keras_tuner()
    from models.oracles import keras_tuner as samplers
    from models.oracles.hyperband import HyperbandOracle
    from models.oracles.sampling import SamplingOracle

    arguments = (strategy.name, space, direction, limit)
    if isinstance(strategy, Hyperband):
        schedule = samplers.hyperband_sampler(strategy, space, seed, epochs)
        return HyperbandOracle(*arguments, schedule)
    if isinstance(strategy, Bayesian):
        return SamplingOracle(*arguments, samplers.bayesian_sampler(strategy, space, seed))
    return SamplingOracle(*arguments, samplers.random_sampler(space, seed))


@cache
def _import_keras_tuner() -> None:
    with without_import_noise():
        import models.oracles.keras_tuner  # noqa: F401
    # TensorFlow comes with a million objects. The garbage collector need not traverse them each
    # time, which would take 0.3 s of the worker.
    gc.freeze()
