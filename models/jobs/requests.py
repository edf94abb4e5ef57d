"""What users ask to be done with jobs: start, pause, resume, cancel, delete."""

import secrets
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from models.errors import Conflict, Invalid, NotFound, TooMany
from models.jobs.events import record, state_event, trial_event
from models.jobs.given import insert_given
from models.jobs.lifecycle import JobState, TrialState, check_job_transition
from models.jobs.records import Job, job_from_row
from models.jobs.spec import JobSpec
from models.space.hyperparameters import TrialValues
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.store.tables import jobs, now, trials

RETRY_AFTER = 30  # seconds until a full queue may have room


class JobRequests:
    """Writes what users want; workers see it at their next look."""

    def __init__(
        self, database: Database, artifacts: Artifacts, max_queued: int | None = None
    ) -> None:
        self._database = database
        self._artifacts = artifacts
        self._max_queued = max_queued

    def create(
        self,
        spec: JobSpec,
        planned_trials: int,
        idempotency_key: str | None = None,
        request_digest: str | None = None,
        given: Sequence[TrialValues] = (),
    ) -> Job:
        """Queue a job. A key seen before answers the job that it made.

        `given` are the full values of trials to begin with; `planned_trials` counts them. Raises
        Invalid if the key came with another request, TooMany when as many jobs wait as may.
        """
        job = f"job_{secrets.token_hex(8)}"
        row = {
            "id": job,
            "model": spec.model,
            "state": JobState.QUEUED,
            "spec": spec.to_document(),
            "dataset": None if spec.dataset.startswith("builtin:") else spec.dataset,
            "planned_trials": planned_trials,
            "idempotency_key": idempotency_key,
            "request_digest": request_digest,
            "created": (moment := now()),
            "queued": moment,
            "seconds": 0.0,
        }
        while True:
            try:
                with self._database.write() as connection:
                    connection.execute(insert(jobs).values(row))
                    self._check_queue(connection)
                    record(connection, job, [state_event(JobState.QUEUED)])
                    insert_given(connection, job, given, spec.budget.epochs)
                    created = select(jobs).where(jobs.c.id == job)
                    return job_from_row(connection.execute(created).one())
            except IntegrityError:
                if idempotency_key is None:
                    raise
            same = self._same_request(idempotency_key, request_digest)
            if same is not None:
                return same
            # Its job was deleted in this very moment: the key is free again.

    def _check_queue(self, connection: Connection) -> None:
        """Raise TooMany when the queue, with the job just written, is too long.

        After it was written, so that a request that is only repeated is answered as ever.
        """
        waiting = select(func.count()).where(jobs.c.state == JobState.QUEUED)
        limit = self._max_queued
        if limit is not None and connection.execute(waiting).scalar_one() > limit:
            raise TooMany(
                f"{limit:,} jobs wait already, the most that LUTHIER_MAX_QUEUED_JOBS allows.",
                RETRY_AFTER,
            )

    def _same_request(self, key: str, digest: str | None) -> Job | None:
        """The job that a request with this key made; None if there is none any more."""
        with self._database.read() as connection:
            query = select(jobs).where(jobs.c.idempotency_key == key)
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        if row.request_digest != digest:
            raise Invalid.at("Idempotency-Key", "This key was used with another request.")
        return job_from_row(row)

    def pause(self, job: str) -> Job:
        """Start no more trials of a job; those under way are finished."""
        return self._change(job, lambda row: JobState.PAUSED)

    def resume(self, job: str) -> Job:
        """Queue a paused job again; it goes on where it stopped."""
        return self._change(job, _queued_again)

    def cancel(self, job: str) -> Job:
        """End a job and its trials; at once if no worker is at it."""
        return self._change(job, _cancelled_or_cancelling)

    def _change(self, job: str, target_of: Callable[[Row[Any]], JobState]) -> Job:
        """Raises Conflict if the job's state forbids it; asking twice changes nothing."""
        with self._database.write() as connection:
            row = _locked(connection, job)
            current, target = JobState(row.state), target_of(row)
            if target == current:
                return job_from_row(row)
            check_job_transition(job, current, target)
            values: dict[str, Any] = {"state": target}
            if target == JobState.QUEUED:
                values["queued"] = now()
            if target == JobState.CANCELLED:
                values["finished"] = now()
                cancel_open_trials(connection, job)
            connection.execute(update(jobs).where(jobs.c.id == job).values(values))
            record(connection, job, [state_event(target)])
            return job_from_row(_locked(connection, job))

    def delete(self, job: str) -> None:
        """Remove a job that no worker is at, with its trials and files; its versions stay.

        Raises Conflict while the job is running, paused or being cancelled.
        """
        removable = [state for state in JobState if state.is_final or state == JobState.QUEUED]
        with self._database.write() as connection:
            row = _locked(connection, job)
            if row.state not in removable:
                raise Conflict(f"Job {job} is {row.state}; cancel it before deleting it.")
            connection.execute(delete(jobs).where(jobs.c.id == job))
        self._artifacts.delete(f"jobs/{job}")


def _locked(connection: Connection, job: str) -> Row[Any]:
    """The row of a job, which nobody else changes until the transaction ends; NotFound if none."""
    query = select(jobs).where(jobs.c.id == job).with_for_update()
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("job", job)
    return row


def _queued_again(row: Row[Any]) -> JobState:
    if JobState(row.state).is_final:
        raise Conflict(f"Job {row.id} is {row.state}; only a raised budget lets it go on.")
    return JobState.QUEUED


def _cancelled_or_cancelling(row: Row[Any]) -> JobState:
    current = JobState(row.state)
    if current.is_final:
        # A cancelled job stays so; any other final state refuses the change.
        return JobState.CANCELLED
    held = row.owner is not None or current == JobState.RUNNING
    return JobState.CANCELLING if held else JobState.CANCELLED


def cancel_open_trials(connection: Connection, job: str) -> None:
    """Cancel every trial of a job that has not ended."""
    cancelled = (
        update(trials)
        .where(
            trials.c.job == job,
            trials.c.state.in_([TrialState.WAITING, TrialState.RUNNING]),
        )
        .values(state=TrialState.CANCELLED, finished=now())
        .returning(trials.c.number)
    )
    numbers = sorted(connection.execute(cancelled).scalars())
    record(connection, job, [trial_event(each, TrialState.CANCELLED) for each in numbers])
