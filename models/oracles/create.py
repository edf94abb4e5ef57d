"""A strategy becomes an oracle, new or restored."""

import gc
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from models.oracles.manual import ManualOracle
from models.oracles.oracle import Observation, Oracle
from models.oracles.plan import plan, trial_limit
from models.oracles.strategy import Grid, Hyperband, Manual, Strategy
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
    `history` of one moment it goes on exactly as the oracle of that moment would. The history is
    in the order of proposal; trials in it with keys of another form are taken as by `learn`.
    Raises Invalid for a grid that is too large, ValueError where Hyperband has a history of its own
    trials but no state.
    """
    limit = trial_limit(strategy, max_trials)
    # The imports below take seconds (scikit-learn, TensorFlow): only the strategies that need them
    # wait for them.
    if isinstance(strategy, Manual):
        return ManualOracle(strategy, space, limit, history)
    if isinstance(strategy, Grid):
        from models.oracles.grid import GridOracle

        plan(strategy, space, max_trials, epochs)
        return GridOracle(strategy, space, limit, history)
    _import_keras_tuner()
    from models.oracles.hyperband import HyperbandOracle
    from models.oracles.sampling import SamplingOracle

    if isinstance(strategy, Hyperband):
        return HyperbandOracle(
            strategy, space, direction, seed, limit, epochs, state or {}, history
        )
    return SamplingOracle(strategy, space, direction, seed, limit, history)


@cache
def _import_keras_tuner() -> None:
    with without_import_noise():
        import models.oracles.hyperband
        import models.oracles.sampling  # noqa: F401
    # TensorFlow came with it: a million objects that the garbage collection need not look through
    # each time, which would take 0.3 s of the worker.
    gc.freeze()
