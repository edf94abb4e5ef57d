"""One transaction about one job: its state, its trials and its events change together."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Result, Row, delete, func, insert, select, update

from models.data.library.catalog import hold_datasets, needed_datasets
from models.errors import Conflict, NotFound
from models.jobs.model import (
    JOB_TRANSITIONS,
    Job,
    JobState,
    Trial,
    TrialState,
    sources_of,
)
from models.jobs.store.events import NewEvent, record, state_event, trial_event
from models.jobs.store.rows import job_from_row, job_state, trial_from_row
from models.store.audit import actor_may_promote
from models.store.engine import Database
from models.store.removals import remove_later
from models.store.tables import jobs, now, trials, versions

OPEN = (TrialState.WAITING, TrialState.RUNNING)


class UnitOfWork:
    """Changes of one job in one transaction, whose row is locked until its end.

    The columns of the job's row and the events are collected, and written once by `flush`.
    """

    def __init__(self, connection: Connection, row: Row[Any]) -> None:
        """`row` holds at least what `locked` returns. Raises Unreadable for an unknown state."""
        self.connection = connection
        self.job_id: str = row.id
        self.state = job_state(row)
        self.changes: int = row.changes
        self.owner: str | None = row.owner
        self.events: list[NewEvent] = []
        self.columns: dict[str, Any] = {}

    def job(self) -> Job:
        """Return the job with all that was changed so far."""
        self.flush()
        query = select(jobs).where(jobs.c.id == self.job_id)
        return job_from_row(self.connection.execute(query).one())

    def set(self, **columns: Any) -> None:
        """Change columns of the job's row, other than its state."""
        self.columns |= columns

    def steer(self, **columns: Any) -> None:
        """Change columns by which a user decides what a job finds; its worker looks at it anew.

        The job loses the right to move aliases that its creator had, unless the user has it, too.
        """
        right = {} if actor_may_promote() else {"may_promote": False}
        self.set(changes=self.changes + 1, **columns, **right)

    def change_state(self, target: JobState, **details: Any) -> None:
        """Move the job to another state; raises Conflict where that is illegal.

        `details` are part of the event.
        """
        if target not in JOB_TRANSITIONS[self.state]:
            raise Conflict(f"Job {self.job_id} is {self.state}; it cannot become {target}.")
        if self.state.is_final:
            self._hold_data()
        self.state = target
        self.columns["state"] = target
        if target == JobState.QUEUED:
            self.columns["queued"] = now()
        if target.is_final:
            self.columns |= {
                "finished": now(),
                "owner": None,
                "lease_until": None,
                "waiting_for": None,
            }
            release_files(self.connection, self.job_id)
        self.events.append(state_event(target, **details))

    def change_trials(
        self,
        target: TrialState,
        *,
        number: int | None = None,
        source: Collection[TrialState] | None = None,
        **columns: Any,
    ) -> int:
        """Move a trial, or all in the states `source`, to another state; return how many moved.

        Trials that cannot legally become `target` stay as they are. `columns` are written with it.
        """
        states = [state for state in sources_of(target) if source is None or state in source]
        change = update(trials).where(trials.c.job == self.job_id, trials.c.state.in_(states))
        if number is not None:
            change = change.where(trials.c.number == number)
        if target.is_final:
            columns.setdefault("finished", now())
        elif target == TrialState.RUNNING:
            columns["started"] = now()
        else:
            columns |= {"started": None, "finished": None}
        change = change.values(state=target, **columns).returning(trials.c.number)
        moved = sorted(self.connection.execute(change).scalars())
        details = _event_details(columns)
        self.events += [trial_event(each, target, **details) for each in moved]
        return len(moved)

    def add_trials(self, rows: Sequence[dict[str, Any]]) -> list[Trial]:
        """Add waiting trials after those that there are; return them.

        `rows` hold `values` and `epochs`, and `key` as text or as a function of the number.
        """
        if not rows:
            return []
        last = self.last_trial()
        filled = [
            {
                "initial_epoch": 0,
                "parent": None,
                "violation": None,
                **row,
                "job": self.job_id,
                "number": number,
                "key": row["key"](number) if callable(row["key"]) else row["key"],
                "state": TrialState.WAITING,
                "retries": 0,
                "created": now(),
            }
            for number, row in enumerate(rows, last + 1)
        ]
        created = insert(trials).returning(trials, sort_by_parameter_order=True)
        found = self.connection.execute(created, filled).all()
        self.events += [
            trial_event(row["number"], TrialState.WAITING, values=row["values"]) for row in filled
        ]
        return [trial_from_row(row) for row in found]

    def trial(self, number: int) -> Row[Any] | None:
        """Return the state, the key and the end of a trial, as they are stored."""
        query = select(trials.c.state, trials.c.key, trials.c.finished)
        of_trial = query.where(trials.c.job == self.job_id, trials.c.number == number)
        rows: Result[Any] = self.connection.execute(of_trial)
        return rows.one_or_none()

    def followers(self, number: int) -> list[int]:
        """Return the trials that continue a trial's weights."""
        query = select(trials.c.number).where(
            trials.c.job == self.job_id,
            trials.c.parent == number,
            trials.c.state != TrialState.DISCARDED,
        )
        return sorted(self.connection.execute(query).scalars())

    def last_trial(self) -> int:
        """Return the number of the job's last trial, 0 if it has none."""
        last = func.coalesce(func.max(trials.c.number), 0)
        query = select(last).where(trials.c.job == self.job_id)
        return int(self.connection.execute(query).scalar_one())

    def count_trials(self, *, but: TrialState) -> int:
        """Return how many trials the job has that are in other states."""
        query = select(func.count()).where(trials.c.job == self.job_id, trials.c.state != but)
        return int(self.connection.execute(query).scalar_one())

    def _hold_data(self) -> None:
        """Keep the datasets of an ended job that goes on; Conflict if one was deleted."""
        query = select(jobs.c.dataset, jobs.c.spec).where(jobs.c.id == self.job_id)
        row = self.connection.execute(query).one()
        try:
            hold_datasets(self.connection, needed_datasets(row.dataset, row.spec))
        except NotFound as gone:
            raise Conflict(
                f"Dataset {gone.name} of job {self.job_id} was deleted. Store the same rows again,"
                " which get the same id, and the job can go on."
            ) from None

    def flush(self) -> None:
        """Write the columns and events that were collected."""
        record(self.connection, self.job_id, self.events, self.columns)
        self.events, self.columns = [], {}


@contextmanager
def unit_of_work(database: Database, job: str) -> Iterator[UnitOfWork]:
    """Open a transaction in which nobody else changes the job; NotFound if there is none."""
    with database.write() as connection:
        row = locked(connection, job)
        if row is None:
            raise NotFound("job", job)
        unit = UnitOfWork(connection, row)
        yield unit
        unit.flush()


def locked(connection: Connection, job: str) -> Row[Any] | None:
    """Lock the row of a job and return what decides over it; None if there is no such job."""
    query = select(
        jobs.c.id,
        jobs.c.state,
        jobs.c.changes,
        jobs.c.owner,
        jobs.c.claims,
        jobs.c.taken_from,
    )
    rows: Result[Any] = connection.execute(query.where(jobs.c.id == job).with_for_update())
    return rows.one_or_none()


def release_files(connection: Connection, job: str) -> None:
    """Free the version number that a job has reserved, and list what it may have left in files.

    Called in the transaction that ends or deletes the job: of its trials only the best ones'
    weights are needed then.
    """
    reserved = (
        delete(versions)
        .where(versions.c.job == job, ~versions.c.ready)
        .returning(versions.c.model, versions.c.version)
    )
    folders = [f"models/{row.model}/{row.version}" for row in connection.execute(reserved)]
    remove_later(connection, [artifact_folder(job), *folders])


def artifact_folder(job: str) -> str:
    """Return the folder of a job's files, below the artifact root."""
    return f"jobs/{job}"


def _event_details(columns: dict[str, Any]) -> dict[str, Any]:
    """Return what an event says of a trial's new row; the rest is in the row itself."""
    details: dict[str, Any] = {
        name: columns[name] for name in ("score", "seconds") if name in columns
    }
    if columns.get("reused_trial"):
        details["reused_from"] = {"job": columns["reused_job"], "trial": columns["reused_trial"]}
    if "failure_kind" in columns:
        kind, message = columns["failure_kind"], columns["failure_message"]
        details["failure"] = {"kind": kind, "message": message}
    return details
