"""How workers take jobs: an atomic claim, and a lease that a heartbeat renews.

Leases are written and judged by the clock of the database: those of two machines may disagree.
"""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, or_, select, update

from models.jobs.events import record, state_event
from models.jobs.interrupted import let_wait
from models.jobs.lifecycle import JobState
from models.jobs.records import Job, job_from_row
from models.store.engine import Database, moment
from models.store.tables import jobs


class Wanted(NamedTuple):
    """What the user of a job wants of it."""

    state: JobState
    changes: int


class JobQueue:
    """One worker's view of the queue. `owner` names the worker; `lease_seconds` is its patience."""

    def __init__(self, database: Database, owner: str, lease_seconds: float) -> None:
        self._database = database
        self.owner = owner
        self.lease_seconds = lease_seconds

    def claim(self) -> Job | None:
        """Take the oldest job that is queued, or whose worker has not been heard of.

        Of two workers that reach for one job, one gets it and the other None.
        """
        with self._database.write() as connection:
            present = moment(connection)
            row = connection.execute(
                select(jobs)
                .where(_claimable(present))
                .order_by(jobs.c.created, jobs.c.id)
                .limit(1)
                .with_for_update(skip_locked=True)
            ).one_or_none()
            if row is None:
                return None
            values: dict[str, Any] = {"owner": self.owner, "lease_until": self._lease(present)}
            if row.state == JobState.QUEUED:
                values["state"] = JobState.RUNNING
            if row.started is None:
                values["started"] = present
            connection.execute(update(jobs).where(jobs.c.id == row.id).values(values))
            if row.state == JobState.QUEUED:
                record(connection, row.id, [state_event(JobState.RUNNING)])
            claimed = connection.execute(select(jobs).where(jobs.c.id == row.id)).one()
        return job_from_row(claimed)

    def renew(self) -> None:
        """Say that this worker is alive: every job it holds is its own for another lease."""
        with self._database.write() as connection:
            lease = self._lease(moment(connection))
            connection.execute(
                update(jobs).where(jobs.c.owner == self.owner).values(lease_until=lease)
            )

    def held(self) -> dict[str, Wanted]:
        """The jobs that are still this worker's, with what their users want."""
        query = select(jobs.c.id, jobs.c.state, jobs.c.changes).where(jobs.c.owner == self.owner)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return {row.id: Wanted(JobState(row.state), row.changes) for row in rows}

    def release(self, job: str) -> None:
        """Let a job go as it is, for any worker to take up; what was running waits again."""
        with self._database.write() as connection:
            released = connection.execute(
                update(jobs)
                .where(jobs.c.id == job, jobs.c.owner == self.owner)
                .values(owner=None, lease_until=None)
            )
            if released.rowcount:
                let_wait(connection, job)

    def _lease(self, present: datetime) -> datetime:
        return present + timedelta(seconds=self.lease_seconds)


def _claimable(present: datetime) -> ColumnElement[bool]:
    """Jobs that are queued, or whose worker has not been heard of."""
    queued = and_(jobs.c.state == JobState.QUEUED, jobs.c.owner.is_(None))
    lapsed = or_(jobs.c.lease_until.is_(None), jobs.c.lease_until < present)
    unfinished = or_(
        jobs.c.state.in_([JobState.RUNNING, JobState.CANCELLING]),
        # A pause or resume may have reached a job whose worker then died.
        and_(jobs.c.state.in_([JobState.QUEUED, JobState.PAUSED]), jobs.c.owner.is_not(None)),
    )
    return or_(queued, and_(unfinished, lapsed))
