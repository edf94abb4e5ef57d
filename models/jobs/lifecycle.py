"""The states of jobs and trials, and the one table of legal changes between them."""

from enum import StrEnum

from models.errors import Conflict


class JobState(StrEnum):
    """Where a tuning job stands."""

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


class TrialState(StrEnum):
    """Where a trial stands; `stopped` was ended early by a pruning rule and has a score."""

    WAITING = "waiting"
    RUNNING = "running"
    COMPLETED = "completed"
    STOPPED = "stopped"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the trial will not change any more."""
        return self not in (TrialState.WAITING, TrialState.RUNNING)


JOB_TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset(
        {JobState.RUNNING, JobState.PAUSED, JobState.CANCELLING, JobState.CANCELLED}
    ),
    JobState.RUNNING: frozenset(
        {JobState.PAUSED, JobState.CANCELLING, JobState.SUCCEEDED, JobState.FAILED}
    ),
    JobState.PAUSED: frozenset({JobState.QUEUED, JobState.CANCELLING, JobState.CANCELLED}),
    JobState.CANCELLING: frozenset({JobState.CANCELLED}),
    # With a raised budget a job that has ended goes on.
    JobState.SUCCEEDED: frozenset({JobState.QUEUED}),
    JobState.FAILED: frozenset({JobState.QUEUED}),
    JobState.CANCELLED: frozenset(),
}

TRIAL_TRANSITIONS: dict[TrialState, frozenset[TrialState]] = {
    TrialState.WAITING: frozenset({TrialState.RUNNING, TrialState.CANCELLED}),
    TrialState.RUNNING: frozenset(
        {
            TrialState.WAITING,
            TrialState.COMPLETED,
            TrialState.STOPPED,
            TrialState.FAILED,
            TrialState.CANCELLED,
        }
    ),
    TrialState.COMPLETED: frozenset(),
    TrialState.STOPPED: frozenset(),
    TrialState.FAILED: frozenset(),
    # Those that the end of a search cut off go on with their job.
    TrialState.CANCELLED: frozenset({TrialState.WAITING}),
}


def check_job_transition(job: str, current: JobState, target: JobState) -> None:
    """Raise Conflict unless a job may go from `current` to `target`."""
    if target not in JOB_TRANSITIONS[current]:
        raise Conflict(f"Job {job} is {current}; it cannot become {target}.")


def sources_of(target: TrialState) -> tuple[TrialState, ...]:
    """The trial states from which `target` may be reached."""
    return tuple(state for state, targets in TRIAL_TRANSITIONS.items() if target in targets)
