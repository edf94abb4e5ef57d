"""Jobs and trials as the database holds them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from models.jobs.lifecycle import JobState, TrialState
from models.jobs.spec import JobSpec


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


@dataclass(frozen=True, slots=True)
class Trial:
    """One row of `trials`."""

    number: int  # from 1, in the order in which the oracle proposed them
    key: str  # the oracle's own name for it
    state: TrialState
    values: dict[str, Any]
    epochs: int
    initial_epoch: int
    parent: int | None  # trial whose weights it continues
    score: float | None
    result: dict[str, Any] | None
    failure_kind: str | None
    failure_message: str | None
    retries: int  # times it was lost with its process and tried again
    reused_from: int | None  # trial of the same values that answered it
    seconds: float | None
    created: datetime
    started: datetime | None
    finished: datetime | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a trial came to, without its curves: little enough to hold every trial of a job."""

    number: int
    state: TrialState
    values: dict[str, Any]
    epochs: int
    score: float | None
    failure_kind: str | None
    reused_from: int | None
    started: datetime | None
    finished: datetime | None


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
    )


def trial_from_row(row: Row[Any]) -> Trial:
    """A row of `trials` as a Trial."""
    fields = dict(row._mapping)
    del fields["job"]
    return Trial(**{**fields, "state": TrialState(row.state)})


def outcome_from_row(row: Row[Any]) -> Outcome:
    """A row of the columns that an Outcome has."""
    return Outcome(**{**row._mapping, "state": TrialState(row.state)})
