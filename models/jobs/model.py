"""Jobs and trials: their states, the legal changes of state, and their records."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

from models.errors import Unreadable
from models.jobs.schema.spec import load_spec, shown_request
from models.jobs.spec import JobSpec
from models.trials.spec import Failure, FailureKind, RunReport, TrialResult


class JobState(StrEnum):
    """The state of a tuning job."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens to the job by itself."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


FINAL_STATES = tuple(state for state in JobState if state.is_final)


class TrialState(StrEnum):
    """The state of a trial.

    A `stopped` one was ended early, by a pruning rule or with its search, and has a score. A
    `discarded` one stays as a record only.
    """

    WAITING = "waiting"
    RUNNING = "running"
    COMPLETED = "completed"
    STOPPED = "stopped"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DISCARDED = "discarded"

    @property
    def is_final(self) -> bool:
        """Whether the trial will not change any more."""
        return self not in (TrialState.WAITING, TrialState.RUNNING)


SCORED = (TrialState.COMPLETED, TrialState.STOPPED)
ENDED = (*SCORED, TrialState.FAILED)

JOB_TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset(
        {JobState.RUNNING, JobState.PAUSED, JobState.CANCELLING, JobState.CANCELLED}
    ),
    JobState.RUNNING: frozenset(
        {
            JobState.QUEUED,  # an operator took it from its worker
            JobState.PAUSED,
            JobState.CANCELLING,
            JobState.SUCCEEDED,
            JobState.FAILED,
        }
    ),
    JobState.PAUSED: frozenset({JobState.QUEUED, JobState.CANCELLING, JobState.CANCELLED}),
    JobState.CANCELLING: frozenset({JobState.CANCELLED}),
    # With another budget a job that has ended goes on; to finish it builds its version.
    JobState.SUCCEEDED: frozenset({JobState.QUEUED}),
    JobState.FAILED: frozenset({JobState.QUEUED}),
    JobState.CANCELLED: frozenset(),
}

TRIAL_TRANSITIONS: dict[TrialState, frozenset[TrialState]] = {
    TrialState.WAITING: frozenset({TrialState.RUNNING, TrialState.CANCELLED, TrialState.DISCARDED}),
    TrialState.RUNNING: frozenset(
        {
            TrialState.WAITING,
            TrialState.COMPLETED,
            TrialState.STOPPED,
            TrialState.FAILED,
            TrialState.CANCELLED,
            TrialState.DISCARDED,
        }
    ),
    TrialState.COMPLETED: frozenset({TrialState.DISCARDED}),
    TrialState.STOPPED: frozenset({TrialState.DISCARDED}),
    TrialState.FAILED: frozenset({TrialState.DISCARDED}),
    # Those that the end of a search cut off go on with their job.
    TrialState.CANCELLED: frozenset({TrialState.WAITING, TrialState.DISCARDED}),
    TrialState.DISCARDED: frozenset(),
}


def sources_of(target: TrialState) -> tuple[TrialState, ...]:
    """Return the trial states from which `target` may be reached."""
    return tuple(state for state, targets in TRIAL_TRANSITIONS.items() if target in targets)


@dataclass(frozen=True, slots=True)
class Progress:
    """The number of trials of a job in each state."""

    total: int  # planned
    completed: int
    running: int
    failed: int
    stopped: int
    eta_seconds: float | None  # until all planned trials have ended; None while nothing is known


@dataclass(frozen=True)
class Job:
    """One row of `jobs`."""

    id: str
    model: str
    state: JobState
    document: Any  # the stored form of `spec`: an object, unless it is damaged
    dataset: str | None  # id of the stored dataset; None until a builtin one is loaded
    planned_trials: int
    created: datetime
    started: datetime | None
    finished: datetime | None
    seconds: float  # of searching so far
    stop_reason: str | None  # why the search ended
    error: str | None
    version: int | None  # registered version of the winner
    oracle_state: Mapping[str, Any] | None
    changes: int  # times that its user changed it while it could be worked on
    owner: str | None = None  # worker that holds it
    lease_until: datetime | None = None  # end of that, unless the worker renews it
    created_by: str | None = None  # name of a key; None in jobs of versions before 0.3
    claims: int = 0  # times that a worker took it, by which a run is told from those before it
    waiting_for: str | None = None  # what keeps it from going on, in a sentence
    # `warnings` and `columns` of its data; of its version `trees`, what it is beside boosted trees,
    # and `promotion`
    data_notes: Mapping[str, Any] | None = None
    bytes: int | None = None  # of the weights that it keeps; None until they are counted
    chosen_trial: int | None = None  # that the user has chosen as the winner; None: the best
    description: str | None = None
    last_event: int = 0  # id of its latest event
    tags: tuple[str, ...] = ()  # where a reader asked for them
    progress: Progress | None = None  # where a reader asked for it
    best_trial: "Trial | None" = None  # where a reader asked for it
    front: tuple[int, ...] | None = None  # trials of several objectives, where a reader asked

    @cached_property
    def spec(self) -> JobSpec:
        """The request, decided; raises Unreadable if this version cannot read it."""
        return load_spec(self.document, f"the request of job {self.id}")

    @property
    def request(self) -> dict[str, Any]:
        """The request with every default, as JSON; readable also where `spec` is not."""
        return shown_request(self.document)

    @property
    def refit(self) -> bool | None:
        """Whether the members of the version are trained again on validation rows, too.

        None: it is decided when the version is made.
        """
        refit = self.request.get("refit", False)
        return refit if isinstance(refit, bool) else None

    @property
    def warnings(self) -> list[dict[str, Any]]:
        """Warnings about its data, as `DataWarning` in JSON."""
        found = (self.data_notes or {}).get("warnings")
        return found if isinstance(found, list) else []

    @property
    def columns(self) -> dict[str, Any] | None:
        """The columns that are `used` and, with reasons, `ignored`; None in old jobs."""
        found = (self.data_notes or {}).get("columns")
        return found if isinstance(found, dict) else None

    @property
    def better_than_trees(self) -> bool | str | None:
        """True, False or "undecided" of its version; None where nothing was compared."""
        return self._trees.get("better_than_trees")

    @property
    def conclusion(self) -> str | None:
        """The sentence that says so."""
        return self._trees.get("conclusion")

    @property
    def promotion(self) -> dict[str, Any] | None:
        """The verdict whether its version becomes the champion, as in the version's details."""
        found = (self.data_notes or {}).get("promotion")
        return found if isinstance(found, dict) else None

    @property
    def _trees(self) -> dict[str, Any]:
        found = (self.data_notes or {}).get("trees")
        return found if isinstance(found, dict) else {}

    @property
    def parallelism(self) -> int | None:
        """Trials at once, where the request says."""
        found = self.request.get("parallelism")
        return found if isinstance(found, int) else None


@dataclass(frozen=True, slots=True)
class TrialRef:
    """A trial of any job."""

    job: str
    trial: int


@dataclass(frozen=True, slots=True)
class Trial:
    """One row of `trials`."""

    number: int  # from 1, in the order in which they were proposed or enqueued
    key: str  # the oracle's name for it, or one by `enqueued_key`
    state: TrialState
    values: dict[str, Any]
    epochs: int
    initial_epoch: int
    parent: int | None  # trial whose weights it continues
    score: float | None
    result: dict[str, Any] | None
    failure_kind: str | None
    failure_message: str | None
    retries: int  # times it was lost with its process or worker and tried again
    digest: str | None  # of all that its result follows from, once there is one
    reused_from: TrialRef | None  # the equal trial that answered it
    seconds: float | None
    created: datetime
    started: datetime | None
    finished: datetime | None
    # The sum of its excesses over constraints; 0 if it keeps them. It may be None without a score.
    violation: float | None = None
    scores: dict[str, float] | None = None  # by metric, of several objectives

    @property
    def fits(self) -> bool | None:
        """Whether it keeps every constraint; None while it has no score."""
        return None if self.score is None else not self.violation

    @property
    def is_enqueued(self) -> bool:
        """Whether a user enqueued it, and no oracle proposed it."""
        return is_enqueued(self.key, self.number)

    @property
    def failure(self) -> Failure | None:
        """The reason for having no score, where it failed."""
        if self.failure_kind is None:
            return None
        return Failure(FailureKind(self.failure_kind), self.failure_message or "")

    def with_failure(self, failure: Failure) -> "Trial":
        """Return the trial as it is once it has failed."""
        kind, message = str(failure.kind), failure.message
        return replace(self, state=TrialState.FAILED, failure_kind=kind, failure_message=message)

    def stored_result(self) -> TrialResult:
        """Return what the process that trained it answered.

        Raises Unreadable where that was stored by a version whose results have other fields.
        """
        try:
            document: dict[str, Any] = dict(self.result or {})
            document["folds"] = tuple(RunReport(**run) for run in document["folds"])
            document["weights"] = tuple(document["weights"])
            return TrialResult(
                **document, score=self.score, scores=self.scores, seconds=self.seconds or 0.0
            )
        except (KeyError, TypeError, ValueError) as error:
            raise Unreadable(f"the result of trial {self.number}", str(error)) from None


ENQUEUED_PREFIX = "given-"  # of the keys that the database holds


def enqueued_key(number: int) -> str:
    """Return the key of a trial that no oracle proposed; no oracle's own looks like it."""
    return f"{ENQUEUED_PREFIX}{number}"


def is_enqueued(key: str, number: int) -> bool:
    """Return whether a user enqueued the trial with this key and number."""
    return key == enqueued_key(number)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A trial without its curves: small enough to hold every trial of a job."""

    number: int
    state: TrialState
    values: dict[str, Any]
    epochs: int
    score: float | None
    failure_kind: str | None
    started: datetime | None
    finished: datetime | None
    digest: str | None = None
    is_repeat: bool = False  # reused the result of another trial of its job
    violation: float | None = None  # as in Trial
    scores: dict[str, float] | None = None

    @property
    def fits(self) -> bool | None:
        """Whether it keeps every constraint; None while it has no score."""
        return None if self.score is None else not self.violation
