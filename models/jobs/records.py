"""Jobs and trials as the database holds them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from models.jobs.lifecycle import JobState, TrialState
from models.jobs.spec import JobSpec
from models.trials.spec import RunReport, TrialResult


@dataclass(frozen=True, slots=True)
class Job:
    """One row of `jobs`."""

    id: str
    model: str
    state: JobState
    spec: JobSpec
    dataset: str | None  # id of the stored dataset; None until a builtin one is loaded
    planned_trials: int
    created: datetime
    started: datetime | None
    finished: datetime | None
    seconds: float  # of searching so far
    stop_reason: str | None  # why the search ended
    error: str | None
    version: int | None  # registered version of the winner
    oracle_state: dict[str, Any] | None
    changes: int  # times that its user changed it while it could be worked on
    forecast: dict[str, Any] | None  # `models.jobs.forecast.Forecast`; None until it is made
    actual: dict[str, Any] | None  # `models.jobs.forecast.Actual`; None until it has succeeded


@dataclass(frozen=True, slots=True)
class TrialRef:
    """A trial of any job."""

    job: str
    trial: int


@dataclass(frozen=True, slots=True)
class Trial:
    """One row of `trials`."""

    number: int  # from 1, in the order in which they were proposed or given
    key: str  # the oracle's own name for it, or one by `given_key`
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

    @property
    def is_given(self) -> bool:
        """Whether it is the user's, and not one that the oracle proposed."""
        return self.key == given_key(self.number)

    def stored_result(self) -> TrialResult:
        """What the process that trained it answered; it must have a score."""
        document: dict[str, Any] = self.result or {}
        lists = {
            "folds": tuple(RunReport(**run) for run in document["folds"]),
            "weights": tuple(document["weights"]),
        }
        return TrialResult(
            **document | lists | {"score": self.score, "seconds": self.seconds or 0.0}
        )


def given_key(number: int) -> str:
    """The key of a trial that no oracle proposed; no oracle's own looks like it."""
    return f"given-{number}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a trial came to, without its curves: little enough to hold every trial of a job."""

    number: int
    state: TrialState
    values: dict[str, Any]
    epochs: int
    score: float | None
    failure_kind: str | None
    started: datetime | None
    finished: datetime | None
    digest: str | None = None
    is_repeat: bool = False  # took over the result of another trial of its job


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job has come."""

    total: int
    completed: int
    running: int
    failed: int
    stopped: int
    mean_seconds: float | None  # of the trials that have ended

    def eta_seconds(self, at_once: int) -> float | None:
        """Seconds until all planned trials have ended; None while nothing is known."""
        if self.mean_seconds is None:
            return None
        left = max(0, self.total - self.completed - self.failed - self.stopped)
        return left * self.mean_seconds / max(1, at_once)


def job_from_row(row: Row[Any]) -> Job:
    """A row of `jobs` as a Job."""
    return Job(
        id=row.id,
        model=row.model,
        state=JobState(row.state),
        spec=JobSpec.from_document(row.spec),
        dataset=row.dataset,
        planned_trials=row.planned_trials,
        created=row.created,
        started=row.started,
        finished=row.finished,
        seconds=row.seconds,
        stop_reason=row.stop_reason,
        error=row.error,
        version=row.version,
        oracle_state=row.oracle_state,
        changes=row.changes,
        forecast=row.forecast,
        actual=row.actual,
    )


def trial_from_row(row: Row[Any]) -> Trial:
    """A row of `trials` as a Trial."""
    fields = dict(row._mapping)
    del fields["job"], fields["trainer"]
    job, number = fields.pop("reused_job"), fields.pop("reused_trial")
    source = None if number is None else TrialRef(job, number)
    return Trial(**{**fields, "state": TrialState(row.state), "reused_from": source})


def outcome_from_row(row: Row[Any]) -> Outcome:
    """A row of the columns that an Outcome has."""
    fields = {**row._mapping, "state": TrialState(row.state), "is_repeat": bool(row.is_repeat)}
    return Outcome(**fields)
