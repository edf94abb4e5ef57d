"""The beginning of a search that learns: trials spread over the space."""

from models.oracles.encoding import Encoding, sobol_points
from models.oracles.sampling import Flat, SamplingOracle
from models.space.space import SearchSpace


class LearningOracle(SamplingOracle):
    """Begins with the default values and a Sobol sequence, then chooses by `_learned`.

    It learns as soon as `initial_points` trials have ended, whoever proposed them.
    """

    def __init__(
        self,
        name: str,
        space: SearchSpace,
        direction: str,
        limit: int | None,
        seed: int,
        initial_points: int,
    ) -> None:
        super().__init__(name, space, direction, limit, seed)
        self._initial_points = initial_points
        self._encoding = Encoding(space)

    def _learned(self, number: int) -> Flat | None:
        """Return values for trial `number`; None for values at random."""
        raise NotImplementedError

    def _choose(self, number: int) -> Flat | None:
        if not self._encoding.dimensions:
            return None
        if len(self._ranks) >= self._initial_points:
            return self._learned(number)
        if number == 0:
            return self._space.default()
        points = sobol_points(self._encoding.dimensions, self._seed_of("initial"), number)
        return self._encoding.decode(self._encoding.spread(points[-1:])[0])
