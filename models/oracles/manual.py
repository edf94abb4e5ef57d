"""The user's own trials, in their order."""

from collections.abc import Sequence

from models.oracles.oracle import Observation, Proposal
from models.oracles.stepwise import StepwiseOracle
from models.oracles.strategy import Manual
from models.space.space import SearchSpace


class ManualOracle(StepwiseOracle):
    """Proposes each trial of the strategy once, equal ones as often as they are listed."""

    def __init__(
        self,
        strategy: Manual,
        space: SearchSpace,
        limit: int | None,
        history: Sequence[Observation],
    ) -> None:
        super().__init__(strategy.name, space, limit)
        self._trials = strategy.trials
        self._restore(history)
        self._ended = self._next >= len(self._trials)

    def _propose(self) -> Proposal | None:
        number = self._next
        self._next += 1
        self._ended = self._next >= len(self._trials)
        return Proposal(self._key(number), self._space.check(self._trials[number]))

    def _enter(self, key: str, told: Observation, *, own: bool) -> None:
        pass

    def _score(self, key: str, score: float | None) -> None:
        pass
