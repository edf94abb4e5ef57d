"""An oracle in a thread of its own, so that no trial and no other job waits for it."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from models.jobs.front import losses
from models.jobs.model import Trial, TrialState
from models.jobs.spec import JobSpec
from models.oracles.create import create_oracle
from models.oracles.oracle import Observation, Oracle, Proposal
from models.trials.spec import Objective

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Answer:
    """Proposals of an oracle, and its state after them."""

    proposals: list[Proposal]
    state: Mapping[str, Any]  # belongs to these proposals: both are kept, or neither
    finished: bool


@dataclass(frozen=True, slots=True)
class _Message:
    future: "Future[Answer | None]"
    wanted: int = 0  # proposals
    observed: int = 0  # how many results the oracle was given before


class OracleThread:
    """Passes questions and results to an oracle in the order of the calls, and never waits for it.

    What a proposal is based on follows from that order alone, however long the oracle takes.
    `thread` must run one thing at a time. What the oracle raises, `answers` raises.
    """

    def __init__(
        self, make: Callable[[], Oracle], thread: Executor, state: Mapping[str, Any]
    ) -> None:
        self._thread = thread
        self._oracle: Oracle | None = None
        self._messages: deque[_Message] = deque()
        self._observed = 0
        self._is_dry = False  # it proposes nothing until it is given more results
        self.state = state  # as of the last answer that was taken
        self.finished = False  # whether no question will be answered by a trial again
        self._make_oracle = make

    def start(self) -> None:
        """Make the oracle, in its thread."""
        self._send(lambda: self._make(self._make_oracle))

    @property
    def is_ready(self) -> bool:
        """Whether the oracle has been made."""
        return self._oracle is not None

    @property
    def pending(self) -> int:
        """The number of trials that were asked for and have not been taken."""
        return sum(message.wanted for message in self._messages)

    @property
    def awaited(self) -> "list[Future[Any]]":
        """Done once there is something to take; empty while nothing is to come."""
        questions = (m.future for m in self._messages if m.wanted or not self.is_ready)
        return [future for _, future in zip(range(1), questions, strict=False)]

    def ask_for(self, count: int) -> None:
        """Ask for trials until `count` are on their way, unless the oracle has none now."""
        missing = count - self.pending
        if missing > 0 and not self._is_dry and not self.finished:
            self._send(lambda: self._answer(missing), missing)

    def tell(
        self,
        key: str,
        score: float | None,
        violation: float = 0.0,
        losses: tuple[float, ...] = (),
    ) -> None:
        """Pass on how a trial ended."""
        self._pass_on(lambda oracle: oracle.tell(key, score, violation, losses))

    def learn(self, observation: Observation) -> None:
        """Pass on a trial that the oracle did not propose."""
        self._pass_on(lambda oracle: oracle.add(observation))

    def answers(self, *, wait_for_all: bool = False) -> list[Answer]:
        """Take the answers that are there; or wait until every question is answered."""
        if wait_for_all:
            wait([message.future for message in self._messages])
        found = []
        while self._messages and self._messages[0].future.done():
            message = self._messages.popleft()
            answer = message.future.result()
            if answer is None:
                continue
            self.state, self.finished = answer.state, answer.finished
            if len(answer.proposals) < message.wanted and message.observed == self._observed:
                self._is_dry = True
            found.append(answer)
        return found

    def _pass_on(self, action: Callable[[Oracle], None]) -> None:
        self._observed += 1
        self._is_dry = False
        self._send(lambda: action(self._ready()))

    def _send(self, action: Callable[[], Answer | None], wanted: int = 0) -> None:
        self._messages.append(_Message(self._thread.submit(action), wanted, self._observed))

    # The rest happens in the oracle's thread.

    def _ready(self) -> Oracle:
        assert self._oracle is not None
        return self._oracle

    def _make(self, make: Callable[[], Oracle]) -> Answer:
        self._oracle = make()
        return self._answer(0)

    def _answer(self, wanted: int) -> Answer:
        oracle = self._ready()
        proposals = oracle.ask(wanted) if wanted else []
        return Answer(proposals, oracle.state(), oracle.finished)


def oracle_thread(
    spec: JobSpec, trials: Iterable[Trial], state: Mapping[str, Any], thread: Executor
) -> OracleThread:
    """Return the oracle of a job that has these `trials`; `state` is what else it has saved."""
    make = partial(
        create_oracle,
        spec.strategy,
        spec.space,
        spec.objective.direction,
        spec.seed,
        spec.budget.max_trials,
        spec.budget.epochs,
        state=state,
        history=[observation_of(trial, spec.objectives) for trial in trials],
    )
    return OracleThread(make, thread, state)


def observation_of(trial: Trial, objectives: Sequence[Objective]) -> Observation:
    """Return what an oracle learns of a stored trial."""
    return Observation(
        trial.key,
        trial.values,
        trial.score,
        running=not trial.state.is_final,
        discarded=trial.state == TrialState.DISCARDED,
        violation=trial.violation or 0.0,
        losses=losses(objectives, trial.scores),
    )


class InlineExecutor(Executor):
    """Runs everything immediately, in the caller's thread."""

    def submit(
        self, action: Callable[..., Result], /, *args: Any, **kwargs: Any
    ) -> "Future[Result]":
        """Run `action` now and return its future, which is done."""
        future: Future[Result] = Future()
        try:
            future.set_result(action(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future
