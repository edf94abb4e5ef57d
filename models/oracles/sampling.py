"""Oracles that choose each trial's values anew, and none of them twice."""

import hashlib
import random
from collections.abc import Mapping

from models.oracles.oracle import Observation, Oracle, Proposal, Rank
from models.space.drawing import draw_flat
from models.space.hyperparameters import Value
from models.space.parameters import Combinations
from models.space.space import SearchSpace

Flat = Mapping[str, Value]
"""The values of the active dimensions of one trial."""

# Repeated draws of known values after which a space counts as exhausted. Few would end a continuous
# space early if most draws fall on a branch of few combinations.
_MAX_DRAWS = 200
# Larger spaces are not searched to the last combination.
_MAX_ENUMERATED = 100_000


class SamplingOracle(Oracle):
    """Proposes values that no trial had; a countable space may be exhausted.

    A subclass chooses by `_choose`. Every trial has random numbers of its own, from the job's seed
    and its number. Thus there is no random state to save, and jobs with close seeds share no
    trials.
    """

    def __init__(
        self, name: str, space: SearchSpace, direction: str, limit: int | None, seed: int
    ) -> None:
        super().__init__(name, space, direction, limit)
        self._seed = seed
        self._size = space.size()
        self._flat: dict[str, Flat] = {}  # by key, of the trials that lie in the space
        self._ranks: dict[str, Rank] = {}  # by key, of those of them that have ended
        self._tried: set[frozenset[tuple[str, Value]]] = set()

    def _choose(self, number: int) -> Flat | None:
        """Return values for trial `number`; None for values at random."""
        raise NotImplementedError

    def _propose(self) -> Proposal | None:
        flat = None
        if self._size is None or len(self._tried) < self._size:
            flat = self._choose(self._next)
            if flat is None or self._is_known(flat):
                flat = self._unseen()
        if flat is None:
            self._ended = True
            return None
        key = self._key(self._next)
        self._next += 1
        self._note(key, flat)
        return Proposal(key, self._space.resolve(flat))

    def _seed_of(self, purpose: str) -> int:
        """Return a seed of 32 bits."""
        digest = hashlib.sha256(f"{self._seed}/{purpose}".encode()).digest()
        return int.from_bytes(digest[:4], "big")

    def _is_known(self, flat: Flat) -> bool:
        return frozenset(flat.items()) in self._tried

    def _unseen(self) -> Flat | None:
        """Draw values at random that no trial had; None if there are none left."""
        generator = random.Random(self._seed_of(f"draw/{self._next}"))
        draws = (draw_flat(self._space, generator) for _ in range(_MAX_DRAWS))
        found = next((flat for flat in draws if not self._is_known(flat)), None)
        if found is not None or self._size is None or self._size > _MAX_ENUMERATED:
            return found
        combinations = Combinations(
            self._space.dimensions, lambda each: each.parameter.options() or ()
        )
        order = generator.sample(range(self._size), self._size)
        rest = (combinations.at(index) for index in order)
        return next((flat for flat in rest if not self._is_known(flat)), None)

    def _begin(self, observation: Observation, *, own: bool) -> None:
        if self._space.covers(observation.values):
            self._note(observation.key, self._space.flatten(observation.values))

    def _discard(self, observation: Observation, *, own: bool) -> None:
        if self._space.covers(observation.values):
            self._tried.add(frozenset(self._space.flatten(observation.values).items()))

    def _note(self, key: str, flat: Flat) -> None:
        self._flat[key] = flat
        self._tried.add(frozenset(flat.items()))

    def _end(self, key: str, rank: Rank) -> None:
        if key in self._flat:
            self._ranks[key] = rank


class RandomOracle(SamplingOracle):
    """Draws every hyperparameter independently, whatever the results."""

    def _choose(self, number: int) -> None:
        return None
