"""Hyperband: many short trials, of which the best go on for longer."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import Schema, ValidationError, fields, validates_schema
from marshmallow.validate import Length, Range

from models.errors import Unreadable
from models.fields import StrictInteger
from models.oracles.keras_tuner import EMPTY, IDLE, STOPPED, HyperbandSampler
from models.oracles.oracle import FAILED, SAVED_STATE, Observation, Oracle, Proposal, Rank
from models.space.space import SearchSpace


class _PlaceSchema(Schema):
    past_id = fields.String(required=True, allow_none=True)  # the trial that it continues
    id = fields.String(required=True)


class _BracketSchema(Schema):
    bracket_num = StrictInteger(required=True, validate=Range(0))
    rounds = fields.List(
        fields.List(fields.Nested(_PlaceSchema)), required=True, validate=Length(1)
    )

    @validates_schema
    def _check_rounds(self, data: Mapping[str, Any], **_: Any) -> None:
        if len(data["rounds"]) != data["bracket_num"] + 1:
            raise ValidationError("Must be one more than bracket_num.", "rounds")


class _RoundsSchema(Schema):
    brackets = fields.List(fields.Nested(_BracketSchema), required=True)
    current_bracket = StrictInteger(required=True, validate=Range(0))
    current_iteration = StrictInteger(required=True, validate=Range(0))


class HyperbandStateSchema(Schema):
    """The saved state: the next number and the open brackets in the form of Keras Tuner."""

    next = StrictInteger(required=True, validate=Range(0))
    rounds = fields.Nested(_RoundsSchema, required=True)


class HyperbandOracle(Oracle):
    """Runs the schedule of `sampler`. A failed trial counts as the worst of its round.

    Keras Tuner alone would wait for it forever. If too few good trials are left, places of the next
    round stay empty: they are entered as failed trials that nobody runs.
    """

    state_schema = HyperbandStateSchema

    def __init__(
        self,
        name: str,
        space: SearchSpace,
        direction: str,
        limit: int | None,
        sampler: HyperbandSampler,
    ) -> None:
        super().__init__(name, space, direction, limit)
        self._sampler = sampler

    def state(self) -> dict[str, Any]:
        """Return the next number and the open brackets; scores come from the history."""
        return {"next": self._next, "rounds": copy.deepcopy(self._sampler.rounds)}

    def restore(self, state: Mapping[str, Any], history: Sequence[Observation]) -> None:
        """Bring a new oracle to the `state` and `history` of one moment."""
        if not state and any(self._number(trial.key) is not None for trial in history):
            raise Unreadable(SAVED_STATE, "It is missing, and Hyperband has trials already.")
        super().restore(state, history)
        for bracket in self._sampler.rounds["brackets"]:
            for place in (place for rung in bracket["rounds"] for place in rung):
                if place["id"] not in self._sampler.trials:
                    self._leave_empty(place["id"])

    def _load_state(self, state: Mapping[str, Any]) -> None:
        self._next = state["next"]
        rounds, schedule = state["rounds"], self._sampler
        numbers = [bracket["bracket_num"] for bracket in rounds["brackets"]]
        if max([rounds["current_bracket"], *numbers]) >= schedule.brackets:
            raise Unreadable(SAVED_STATE, f"rounds: There are only {schedule.brackets} brackets.")
        if rounds["current_iteration"] >= schedule.hyperband_iterations:
            raise Unreadable(SAVED_STATE, "rounds.current_iteration: There are not so many.")
        schedule.load_rounds(rounds)

    def _begin(self, observation: Observation, *, own: bool) -> None:
        inside = self._space.covers(observation.values)
        if own and not inside:
            raise Unreadable(
                f"trial {observation.key!r}", "Its values are not of its search space."
            )
        if inside:
            flat = self._space.flatten(observation.values)
            self._sampler.avoid(flat)
            if own:
                self._sampler.begin(observation.key, self._sampler.codec.encode(flat))

    def _discard(self, observation: Observation, *, own: bool) -> None:
        # Its place in the rounds stays, as that of a failed trial.
        self._begin(observation, own=own)
        self._end(observation.key, FAILED)

    def _end(self, key: str, rank: Rank) -> None:
        if self._number(key) is not None:
            self._sampler.end(key, rank)

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
        flat = self._sampler.codec.decode(values)
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
        return key is not None and self._sampler.trials[key].score == FAILED

    def _leave_empty(self, key: str) -> None:
        self._sampler.begin(key, {})
        self._sampler.end(key, FAILED)
