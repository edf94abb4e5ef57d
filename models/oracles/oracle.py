"""The base of all oracles: their interface, and the bookkeeping of keys, limits and trials."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from marshmallow import Schema, ValidationError

from models.errors import Conflict, NotFound, Unreadable
from models.fields import flatten
from models.space.hyperparameters import TrialValues, Value
from models.space.space import SearchSpace

SAVED_STATE = "the saved state of the search"

Rank = tuple[float, float]
"""Violation and loss of a trial: the smaller, the better."""

FAILED: Rank = (math.inf, math.inf)  # worse than every trial with a score


@dataclass(frozen=True, slots=True)
class Proposal:
    """One trial to run."""

    key: str  # the oracle's name for it: "<strategy>-<number>"
    values: Mapping[str, Value | list[Value]]  # full: fixed and default ones too
    epochs: int | None = None  # to train to, counted from the parent's first; None: the budget's
    initial_epoch: int = 0  # epochs that the parent has trained already
    parent: str | None = None  # key of the trial whose weights it continues


@dataclass(frozen=True, slots=True)
class Observation:
    """One trial of the past, as the database keeps it."""

    key: str
    values: TrialValues
    score: float | None  # None: failed, or still running
    running: bool = False
    discarded: bool = False  # counts and teaches no more, but is not proposed again
    violation: float = 0.0  # of its constraints; 0 where all hold, the larger the worse
    losses: tuple[float, ...] = ()  # of several objectives, the smaller the better


class Oracle:
    """Decides which values to try next. Not thread-safe: one oracle, one thread.

    The proposals depend only on the seed and on what the oracle was told before each `ask`. `limit`
    is the most trials that it proposes, those of the history included; None is no limit.
    """

    state_schema: ClassVar[type[Schema]] = Schema  # of `state`; without fields, no state is saved

    def __init__(self, name: str, space: SearchSpace, direction: str, limit: int | None) -> None:
        self._name = name
        self._space = space
        self._sign = -1.0 if direction == "max" else 1.0
        self._limit = limit
        self._own = 0  # trials proposed
        self._next = 0  # number of the next own key
        self._running: set[str] = set()
        self._ended_keys: set[str] = set()
        self._ended = False
        self._losses: dict[str, tuple[float, ...]] = {}  # of ended trials, by several objectives

    @property
    def finished(self) -> bool:
        """Whether no `ask` will propose anything again, whatever still runs.

        It is true at the latest after an `ask` that proposed nothing while no trial ran.
        """
        return self._ended or (self._limit is not None and self._own >= self._limit)

    def ask(self, n: int) -> list[Proposal]:
        """Propose up to `n` trials: fewer, or none, if it has to wait or has no more."""
        proposals: list[Proposal] = []
        while len(proposals) < n and not self.finished:
            proposal = self._propose()
            if proposal is None:
                break
            self._own += 1
            self._running.add(proposal.key)
            proposals.append(proposal)
        return proposals

    def tell(
        self,
        key: str,
        score: float | None,
        violation: float = 0.0,
        losses: tuple[float, ...] = (),
    ) -> None:
        """Report the score of a trial; None or a score that is not finite means that it failed.

        A trial that violates constraints, by `violation`, is worse than all that keep them.
        `losses` are those of several objectives, the smaller the better; `score` is the first's.
        Raises NotFound for an unknown key, Conflict for a trial that has a score already.
        """
        if key in self._ended_keys:
            raise Conflict(f"Trial {key!r} was told before.")
        if key not in self._running:
            raise NotFound("trial", key)
        self._running.remove(key)
        self._ended_keys.add(key)
        self._losses[key] = losses
        self._end(key, self._rank(score, violation))

    def add(self, observation: Observation) -> None:
        """Add a trial that the oracle did not propose, such as one of the user's own.

        Its values are not proposed again, and its score counts; it uses up none of the limit.
        Raises Conflict for a known key and for one of the form of the oracle's own.
        """
        if self._number(observation.key) is not None:
            raise Conflict(f"The key {observation.key!r} is kept for the oracle's own trials.")
        self._observe(observation)

    def state(self) -> dict[str, Any]:
        """Return as strict JSON what the history of this moment does not contain."""
        return {}

    def restore(self, state: Mapping[str, Any], history: Sequence[Observation]) -> None:
        """Bring a new oracle to the `state` and `history`, in order of proposal, of one moment.

        Raises Unreadable for a state that this version did not write.
        """
        if state:
            try:
                self._load_state(self.state_schema().load(state))
            except ValidationError as error:
                raise Unreadable(SAVED_STATE, flatten(error.messages)) from None
        for observation in history:
            number = self._number(observation.key)
            if number is not None:
                self._own += not observation.discarded
                self._next = max(self._next, number + 1)
            self._observe(observation)

    def _observe(self, observation: Observation) -> None:
        key = observation.key
        if key in self._running or key in self._ended_keys:
            raise Conflict(f"Trial {key!r} is known already.")
        (self._running if observation.running else self._ended_keys).add(key)
        if observation.discarded:
            self._discard(observation, own=self._number(key) is not None)
            return
        self._begin(observation, own=self._number(key) is not None)
        if not observation.running:
            self._losses[key] = observation.losses
            self._end(key, self._rank(observation.score, observation.violation))

    def _rank(self, score: float | None, violation: float) -> Rank:
        if score is None or not math.isfinite(score):
            return FAILED
        return violation, self._sign * score

    def _key(self, number: int) -> str:
        return f"{self._name}-{number}"

    def _number(self, key: str) -> int | None:
        found = re.fullmatch(rf"{self._name}-(\d+)", key)
        return int(found[1]) if found else None

    def _propose(self) -> Proposal | None:
        """Return the next trial; None if it has to wait, or, with `_ended` set, has no more."""
        raise NotImplementedError

    def _load_state(self, state: Mapping[str, Any]) -> None:
        """Take over a loaded `state`, before the history is observed."""

    def _begin(self, observation: Observation, *, own: bool) -> None:
        """Note a trial of the past as if it had just been proposed."""

    def _discard(self, observation: Observation, *, own: bool) -> None:
        """Note the values of a discarded trial, which are not to be proposed again."""

    def _end(self, key: str, rank: Rank) -> None:
        """Note the end of a trial."""
