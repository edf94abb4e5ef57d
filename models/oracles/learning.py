"""The beginning of a search that learns: strong trials, then some spread over the space."""

from models.oracles.encoding import Encoding, sobol_points
from models.oracles.sampling import Flat, SamplingOracle
from models.space.schema import first_trials
from models.space.space import SearchSpace


class LearningOracle(SamplingOracle):
    """Begins with strong trials and a Sobol sequence, then chooses by `_learned`.

    Strong are those of `first_trials`; in another space than the default one the default values.

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
        self._first = [space.nearest(values) for values in first_trials(space) or ({},)]

    def _learned(self, number: int) -> Flat | None:
        """Return values for trial `number`; None for values at random."""
        raise NotImplementedError

    def _choose(self, number: int) -> Flat | None:
        if not self._encoding.dimensions:
            return None
        if len(self._ranks) >= self._initial_points:
            return self._learned(number)
        if number < len(self._first):
            return self._first[number]
        points = sobol_points(self._encoding.dimensions, self._seed_of("initial"), number)
        return self._encoding.decode(self._encoding.spread(points[-1:])[0])
