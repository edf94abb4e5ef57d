"""The manual and the grid strategy, whose trials are known beforehand."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from models.oracles.oracle import Observation, Oracle, Proposal
from models.space.hyperparameters import TrialValues
from models.space.parameters import Combinations
from models.space.space import SearchSpace


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


def _identity(values: TrialValues) -> str:
    return json.dumps(values, sort_keys=True)
