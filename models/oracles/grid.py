"""Every combination of the search space once, in a fixed order."""

import json
from collections.abc import Mapping, Sequence

from sklearn.model_selection import ParameterGrid

from models.oracles.oracle import Observation, Proposal
from models.oracles.stepwise import StepwiseOracle
from models.oracles.strategy import Grid
from models.space.combinations import blocks
from models.space.hyperparameters import TrialValues, Value
from models.space.space import SearchSpace


class Combinations:
    """The active combinations of a space by index; conditions become sub-grids of scikit-learn.

    A range without a step gives `points` values; None is for spaces that have none.
    """

    def __init__(self, space: SearchSpace, points: int | None = None) -> None:
        self._grid = ParameterGrid(
            [
                {name: list(values) for name, values in block.items()}
                for block in blocks(
                    space.dimensions,
                    lambda dimension: (
                        dimension.parameter.options() or ()
                        if points is None
                        else dimension.parameter.points(points)
                    ),
                )
            ]
        )
        self.count = len(self._grid)

    def at(self, index: int) -> Mapping[str, Value]:
        """The values of the active dimensions of combination `index`."""
        values: dict[str, Value] = self._grid[index]
        return values


class GridOracle(StepwiseOracle):
    """Proposes each combination that nobody tried before."""

    def __init__(
        self, strategy: Grid, space: SearchSpace, limit: int | None, history: Sequence[Observation]
    ) -> None:
        super().__init__(strategy.name, space, limit)
        self._combinations = Combinations(space, strategy.points)
        self._tried: set[str] = set()
        self._restore(history)

    def _propose(self) -> Proposal | None:
        while self._next < self._combinations.count:
            number = self._next
            self._next += 1
            values = self._space.resolve(self._combinations.at(number))
            if _identity(values) not in self._tried:
                return Proposal(self._key(number), values)
        self._ended = True
        return None

    def _enter(self, key: str, told: Observation, *, own: bool) -> None:
        if not own:
            self._tried.add(_identity(told.values))

    def _score(self, key: str, score: float | None) -> None:
        pass


def _identity(values: TrialValues) -> str:
    return json.dumps(values, sort_keys=True)
