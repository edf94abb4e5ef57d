"""Hyperband: many short trials, of which the best go on for longer."""

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

from models.oracles.encoding import Codec
from models.oracles.keras_tuner import COMPLETED, EMPTY, IDLE, STOPPED, hyperband_sampler
from models.oracles.oracle import Observation, Proposal
from models.oracles.stepwise import StepwiseOracle
from models.oracles.strategy import Hyperband
from models.space.space import SearchSpace


class HyperbandOracle(StepwiseOracle):
    """Hyperband. A failed trial counts as the worst of its round and is never continued.

    Keras Tuner would wait for it for ever. Where too few good trials are left, places of the next
    round stay empty: they are entered as failed trials that nobody runs.
    """

    def __init__(
        self,
        strategy: Hyperband,
        space: SearchSpace,
        direction: str,
        seed: int,
        limit: int | None,
        epochs: int,
        state: Mapping[str, Any],
        history: Sequence[Observation],
    ) -> None:
        super().__init__(strategy.name, space, limit)
        self._codec = Codec(space)
        self._sampler = hyperband_sampler(strategy, space, direction, seed, epochs)
        self._worst = math.inf if direction == "min" else -math.inf
        if not state and any(self._number(told.key) is not None for told in history):
            raise ValueError("Hyperband needs the state that goes with its history.")
        if state:
            self._next = state["next"]
            rounds = copy.deepcopy(state["rounds"])
            self._sampler.set_state({**self._sampler.get_state(), **rounds})
        self._restore(history)
        for bracket in self._sampler.get_state()["brackets"]:
            for place in (place for rung in bracket["rounds"] for place in rung):
                if place["id"] not in self._sampler.trials:
                    self._leave_empty(place["id"])

    def state(self) -> dict[str, Any]:
        """The next number and the rounds of the open brackets; scores come from the history."""
        state = self._sampler.get_state()
        names = ("brackets", "current_bracket", "current_iteration")
        rounds = {name: copy.deepcopy(state[name]) for name in names}
        return {"next": self._next, "rounds": rounds}

    def _propose(self) -> Proposal | None:
        while True:
            key = self._key(self._next)
            self._sampler.prepare(self._next)
            answer = self._sampler.populate_space(key)
            if answer["status"] in (IDLE, STOPPED):
                self._ended = answer["status"] == STOPPED
                return None
            self._next += 1
            parent = answer["values"].get("tuner/trial_id")
            if answer["status"] == EMPTY or self._is_failed(parent):
                self._leave_empty(key)
            else:
                return self._start(key, answer["values"], parent)

    def _start(self, key: str, values: Mapping[str, Any], parent: str | None) -> Proposal:
        flat = self._codec.decode(values)
        self._sampler.begin(key, values)
        self._sampler.avoid(flat)
        return Proposal(
            key,
            self._space.resolve(flat),
            epochs=values["tuner/epochs"],
            initial_epoch=values["tuner/initial_epoch"],
            parent=parent,
        )

    def _is_failed(self, key: str | None) -> bool:
        return key is not None and self._sampler.trials[key].score == self._worst

    def _leave_empty(self, key: str) -> None:
        self._sampler.begin(key, {})
        self._sampler.end(key, COMPLETED, self._worst)

    def _enter(self, key: str, told: Observation, *, own: bool) -> None:
        flat = self._space.flatten(told.values)
        if own:
            self._sampler.begin(key, self._codec.encode(flat))
        if own or self._space.covers(told.values):
            self._sampler.avoid(flat)

    def _score(self, key: str, score: float | None) -> None:
        if self._number(key) is not None:
            self._sampler.end(key, COMPLETED, self._worst if score is None else score)
