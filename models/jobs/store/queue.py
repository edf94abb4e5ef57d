"""The queue that workers take jobs from: an atomic claim, and a lease that a heartbeat renews.

Leases are written and compared by the clock of the database: those of two machines may differ.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Row, and_, or_, select, update

from models.jobs.model import Job, JobState, TrialState
from models.jobs.store.unit_of_work import OPEN, UnitOfWork
from models.store.engine import Database, moment
from models.store.tables import jobs

MAX_ATTEMPTS = 3  # times that a job may end its worker before any of its trials ends


class Wanted(NamedTuple):
    """The state that a job's user wants, and how often the user has changed the job."""

    state: JobState
    changes: int


class JobQueue:
    """One worker's view of the queue.

    `owner` names the worker; its leases last `lease_seconds` seconds.
    """

    def __init__(self, database: Database, owner: str, lease_seconds: float) -> None:
        self._database = database
        self.owner = owner
        self.lease_seconds = lease_seconds

    def claim(self, besides: Collection[str] = ()) -> Job | None:
        """Take the oldest job that is queued, or whose worker's lease has ended.

        Of two workers that claim the same job, one gets it and the other None. A job that has
        ended its worker MAX_ATTEMPTS times in a row is failed instead, and the next one taken.
        The jobs `besides`, which this worker runs, are left alone: it may have been held up for
        longer than its lease.
        """
        with self._database.write() as connection:
            present = moment(connection)
            query = (
                select(jobs)
                .where(_claimable(present), jobs.c.id.not_in(besides))
                .order_by(jobs.c.created, jobs.c.id)
                .limit(1)
                .with_for_update(skip_locked=True)
            )
            while (row := connection.execute(query).one_or_none()) is not None:
                unit = UnitOfWork(connection, row)
                attempts = row.attempts + self._has_ended_its_worker(row)
                if attempts < MAX_ATTEMPTS:
                    return self._take(unit, row, attempts, present)
                error = f"it ended its worker {MAX_ATTEMPTS} times"
                unit.change_trials(TrialState.CANCELLED, source=OPEN)
                unit.change_state(JobState.FAILED, error=error)
                unit.set(error=error, attempts=attempts)
                unit.flush()
        return None

    def _has_ended_its_worker(self, row: Row[Any]) -> bool:
        """Return whether another worker held the running job and has not been heard of since."""
        return row.state == JobState.RUNNING and row.owner not in (None, self.owner)

    def _take(self, unit: UnitOfWork, row: Row[Any], attempts: int, present: datetime) -> Job:
        unit.set(owner=self.owner, lease_until=self._lease(present), attempts=attempts)
        if row.started is None:
            unit.set(started=present)
        if unit.state == JobState.QUEUED:
            unit.change_state(JobState.RUNNING)
        return unit.job()

    def renew(self) -> None:
        """Extend the lease of every job that this worker holds."""
        with self._database.write() as connection:
            lease = self._lease(moment(connection))
            connection.execute(
                update(jobs).where(jobs.c.owner == self.owner).values(lease_until=lease)
            )

    def held(self) -> dict[str, Wanted]:
        """Return the jobs that are still this worker's, with what their users want.

        One in a state that only a newer version knows is left out.
        """
        query = select(jobs.c.id, jobs.c.state, jobs.c.changes).where(
            jobs.c.owner == self.owner, jobs.c.state.in_(list(JobState))
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return {row.id: Wanted(JobState(row.state), row.changes) for row in rows}

    def _lease(self, present: datetime) -> datetime:
        return present + timedelta(seconds=self.lease_seconds)


def _claimable(present: datetime) -> ColumnElement[bool]:
    """Return the condition for jobs that are queued, or whose worker's lease has ended."""
    queued = and_(jobs.c.state == JobState.QUEUED, jobs.c.owner.is_(None))
    lapsed = or_(jobs.c.lease_until.is_(None), jobs.c.lease_until < present)
    unfinished = or_(
        jobs.c.state.in_([JobState.RUNNING, JobState.CANCELLING]),
        # A pause or resume may have reached a job whose worker then died.
        and_(jobs.c.state.in_([JobState.QUEUED, JobState.PAUSED]), jobs.c.owner.is_not(None)),
    )
    return or_(queued, and_(unfinished, lapsed))
