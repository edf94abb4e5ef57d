"""The queue that workers take jobs from: an atomic claim, and a lease that a heartbeat renews."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Row, and_, or_, select, update

from models.jobs.model import Job, JobState, TrialState
from models.jobs.store.unit_of_work import OPEN, UnitOfWork, locked
from models.store.engine import moment
from models.store.leases import LeasedQueue
from models.store.removals import remove_later
from models.store.tables import jobs, trials

MAX_ATTEMPTS = 3  # times that a job may end its worker before any of its trials ends
# A pause or resume may have reached a job whose worker then died.
_UNFINISHED = (JobState.RUNNING, JobState.CANCELLING, JobState.QUEUED, JobState.PAUSED)


class Wanted(NamedTuple):
    """The state that a job's user wants, how often the user has changed the job, and its claim."""

    state: JobState
    changes: int
    claim: int


class JobQueue(LeasedQueue):
    """One worker's view of the queue of jobs."""

    table = jobs

    def claim(self) -> Job | None:
        """Take the oldest job that is queued, or whose worker's lease has lapsed.

        Of two workers that claim the same job, one gets it and the other None. A job that has
        ended its worker MAX_ATTEMPTS times in a row is failed instead, and the next one taken.
        A worker never claims what it holds.
        """
        with self._database.write() as connection:
            present = moment(connection)
            query = (
                select(jobs)
                .where(or_(_FREE, *self._lapsed(connection, _UNFINISHED)))
                .order_by(*self._oldest_first())
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
        """Return whether a worker held the running job and has not been heard of since."""
        return row.state == JobState.RUNNING and row.owner is not None

    def _take(self, unit: UnitOfWork, row: Row[Any], attempts: int, present: datetime) -> Job:
        unit.set(
            owner=self.owner,
            lease_until=self._until(present),
            attempts=attempts,
            claims=row.claims + 1,
            taken_from=row.owner,
        )
        if row.started is None:
            unit.set(started=present)
        if unit.state == JobState.QUEUED:
            unit.change_state(JobState.RUNNING)
        return unit.job()

    def survived(
        self, job: str, claim: int, running: Collection[int], folders: Collection[str] = ()
    ) -> None:
        """Report that this worker lives, though its `claim` of a job was taken over.

        What was counted against the job, and against its `running` trials, is taken back. `folders`
        are listed for removal: the job may have ended before this worker's last task wrote there.
        """
        with self._database.write() as connection:
            remove_later(connection, folders)
            row = locked(connection, job)
            if row is None or (row.taken_from, row.claims) != (self.owner, claim + 1):
                return
            connection.execute(
                update(jobs)
                .where(jobs.c.id == job, jobs.c.attempts > 0)
                .values(attempts=jobs.c.attempts - 1)
            )
            connection.execute(
                update(trials)
                .where(trials.c.job == job, trials.c.number.in_(running), trials.c.retries > 0)
                .where(trials.c.state.in_(OPEN))
                .values(retries=trials.c.retries - 1)
            )

    def held(self) -> dict[str, Wanted]:
        """Return the jobs that are still this worker's, with what their users want.

        One in a state that only a newer version knows is left out.
        """
        query = select(jobs.c.id, jobs.c.state, jobs.c.changes, jobs.c.claims).where(
            jobs.c.owner == self.owner, jobs.c.state.in_(list(JobState))
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return {row.id: Wanted(JobState(row.state), row.changes, row.claims) for row in rows}


# Nobody holds it; a paused job waits for its user.
_FREE = and_(
    jobs.c.owner.is_(None),
    jobs.c.state.in_([JobState.QUEUED, JobState.RUNNING, JobState.CANCELLING]),
)
