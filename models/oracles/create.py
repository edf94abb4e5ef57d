"""The oracle of a strategy, new or restored."""

import gc
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from models.oracles.enumerated import GridOracle, ManualOracle
from models.oracles.oracle import Observation, Oracle
from models.oracles.strategy import Grid, Manual, Strategy, plan, trial_limit
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
    arguments = (strategy.name, space, direction, trial_limit(strategy, max_trials))
    oracle: Oracle
    if isinstance(strategy, Manual):
        oracle = ManualOracle(*arguments, strategy.trials)
    elif isinstance(strategy, Grid):
        plan(strategy, space, max_trials, epochs)
        oracle = GridOracle(*arguments, strategy.points)
    else:
        # Imports TensorFlow, which takes seconds: only the strategies that need it wait for it.
        _import_keras_tuner()
        from models.oracles.hyperband import HyperbandOracle
        from models.oracles.keras_tuner import HyperbandSampler, SamplingOracle, make_sampler

        sampler = make_sampler(strategy, space, seed, epochs)
        if isinstance(sampler, HyperbandSampler):
            oracle = HyperbandOracle(*arguments, sampler)
        else:
            oracle = SamplingOracle(*arguments, sampler)
    oracle.restore(state or {}, history)
    return oracle


@cache
def _import_keras_tuner() -> None:
    with without_import_noise():
        import models.oracles.keras_tuner  # noqa: F401
    # TensorFlow comes with a million objects. The garbage collector need not traverse them each
    # time, which would take 0.3 s of the worker.
    gc.freeze()
