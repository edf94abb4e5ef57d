"""Random and Bayesian search."""

from collections.abc import Mapping, Sequence

from models.oracles.encoding import Codec
from models.oracles.keras_tuner import (
    COMPLETED,
    FAILED,
    RUNNING,
    bayesian_sampler,
    random_sampler,
)
from models.oracles.oracle import Observation, Proposal
from models.oracles.stepwise import StepwiseOracle
from models.oracles.strategy import Bayesian, Random
from models.space.hyperparameters import Value
from models.space.space import SearchSpace


class SamplingOracle(StepwiseOracle):
    """Proposes no values twice; a countable space may come to its end."""

    def __init__(
        self,
        strategy: Random | Bayesian,
        space: SearchSpace,
        direction: str,
        seed: int,
        limit: int | None,
        history: Sequence[Observation],
    ) -> None:
        super().__init__(strategy.name, space, limit)
        self._codec = Codec(space)
        if isinstance(strategy, Bayesian):
            self._sampler = bayesian_sampler(strategy, space, direction, seed)
        else:
            self._sampler = random_sampler(space, direction, seed)
        self._inside: set[str] = set()  # keys whose values lie in the space
        self._restore(history)

    def _propose(self) -> Proposal | None:
        key = self._key(self._next)
        self._sampler.prepare(self._next)
        answer = self._sampler.populate_space(key)
        if answer["status"] != RUNNING:
            self._ended = True
            return None
        self._next += 1
        flat = self._codec.decode(answer["values"])
        self._begin(key, flat)
        return Proposal(key, self._space.resolve(flat))

    def _enter(self, key: str, told: Observation, *, own: bool) -> None:
        if self._space.covers(told.values):
            self._begin(key, self._space.flatten(told.values))

    def _begin(self, key: str, flat: Mapping[str, Value]) -> None:
        self._inside.add(key)
        self._sampler.begin(key, self._codec.encode(flat))
        self._sampler.avoid(flat)

    def _score(self, key: str, score: float | None) -> None:
        if key in self._inside:
            self._sampler.end(key, FAILED if score is None else COMPLETED, score)
