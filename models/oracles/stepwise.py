"""The part that all oracles share: keys, limits, and which trials still run."""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from models.errors import Conflict, NotFound
from models.oracles.oracle import Observation, Proposal
from models.space.space import SearchSpace


class StepwiseOracle(ABC):
    """An oracle that decides one proposal at a time.

    `limit` is the most trials it proposes, those of the history included; None is no limit.
    """

    def __init__(self, name: str, space: SearchSpace, limit: int | None) -> None:
        self._name = name
        self._space = space
        self._limit = limit
        self._own = 0  # trials proposed
        self._next = 0  # number of the next own key
        self._running: set[str] = set()
        self._told: set[str] = set()
        self._ended = False

    @property
    def finished(self) -> bool:
        """Whether no `ask` will propose anything again."""
        return self._ended or (self._limit is not None and self._own >= self._limit)

    def ask(self, n: int) -> list[Proposal]:
        """Propose up to `n` trials."""
        proposals: list[Proposal] = []
        while len(proposals) < n and not self.finished:
            proposal = self._propose()
            if proposal is None:
                break
            self._own += 1
            self._running.add(proposal.key)
            proposals.append(proposal)
        return proposals

    def tell(self, key: str, score: float | None) -> None:
        """Take in the score of a trial."""
        if key in self._told:
            raise Conflict(f"Trial {key!r} was told before.")
        if key not in self._running:
            raise NotFound("trial", key)
        self._running.remove(key)
        self._told.add(key)
        self._score(key, _finite(score))

    def learn(self, told: Observation) -> None:
        """Take in a trial that the oracle did not propose."""
        if self._number(told.key) is not None:
            raise Conflict(f"The key {told.key!r} is kept for the oracle's own trials.")
        self._remember(told)

    def state(self) -> dict[str, Any]:
        """Nothing by default: the history tells it all."""
        return {}

    def _restore(self, history: Iterable[Observation]) -> None:
        """Take in the past trials, in the order in which they were proposed."""
        for told in history:
            number = self._number(told.key)
            if number is not None:
                self._own += 1
                self._next = max(self._next, number + 1)
            self._remember(told)

    def _remember(self, told: Observation) -> None:
        if told.key in self._running or told.key in self._told:
            raise Conflict(f"Trial {told.key!r} is known already.")
        (self._running if told.running else self._told).add(told.key)
        self._enter(told.key, told, own=self._number(told.key) is not None)
        if not told.running:
            self._score(told.key, _finite(told.score))

    def _key(self, number: int) -> str:
        return f"{self._name}-{number}"

    def _number(self, key: str) -> int | None:
        found = re.fullmatch(rf"{self._name}-(\d+)", key)
        return int(found[1]) if found else None

    @abstractmethod
    def _propose(self) -> Proposal | None:
        """The next trial; None where it must wait, or where `_ended` is set because all is done."""

    @abstractmethod
    def _enter(self, key: str, told: Observation, *, own: bool) -> None:
        """A trial of the past enters, as if it had just been proposed."""

    @abstractmethod
    def _score(self, key: str, score: float | None) -> None:
        """A trial has ended; None is a failed one."""


def _finite(score: float | None) -> float | None:
    return score if score is not None and math.isfinite(score) else None
