"""Random and Bayesian search."""

from collections.abc import Mapping

from models.oracles.keras_tuner import COMPLETED, FAILED, RUNNING, Sampler
from models.oracles.oracle import Observation, Oracle, Proposal
from models.space.hyperparameters import Value
from models.space.space import SearchSpace


class SamplingOracle(Oracle):
    """Draws trials from `sampler`, no values twice; a countable space may be exhausted."""

    def __init__(
        self, name: str, space: SearchSpace, direction: str, limit: int | None, sampler: Sampler
    ) -> None:
        super().__init__(name, space, direction, limit)
        self._sampler = sampler
        self._inside: set[str] = set()  # keys whose values lie in the space

    def _propose(self) -> Proposal | None:
        key = self._key(self._next)
        self._sampler.prepare(self._next)
        answer = self._sampler.populate_space(key)
        if answer["status"] != RUNNING:
            self._ended = True
            return None
        self._next += 1
        flat = self._sampler.codec.decode(answer["values"])
        self._start(key, flat)
        return Proposal(key, self._space.resolve(flat))

    def _begin(self, observation: Observation, *, own: bool) -> None:
        if self._space.covers(observation.values):
            self._start(observation.key, self._space.flatten(observation.values))

    def _start(self, key: str, flat: Mapping[str, Value]) -> None:
        self._inside.add(key)
        self._sampler.begin(key, self._sampler.codec.encode(flat))
        self._sampler.avoid(flat)

    def _end(self, key: str, loss: float | None) -> None:
        if key in self._inside:
            self._sampler.end(key, FAILED if loss is None else COMPLETED, loss)
