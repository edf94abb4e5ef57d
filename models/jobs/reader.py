"""Queries for jobs and trials, and statistics over all of them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, case, func, literal, null, or_, select, tuple_

from models.errors import NotFound, Unreadable
from models.jobs.model import ENDED, Job, JobState, Outcome, Progress, Trial, TrialState
from models.jobs.store.events import EventFeed
from models.jobs.store.labels import tags_of, with_tags
from models.jobs.store.rows import (
    best_trial,
    best_trials,
    front_numbers,
    in_order,
    job_from_row,
    kept_numbers,
    read_outcomes,
    shown_trial,
)
from models.store.engine import Database
from models.store.tables import jobs, now, trials, versions
from models.trials.spec import FailureKind

_ROWS_AT_ONCE = 200  # those of trials hold their curves


class JobReader:
    """Reads jobs and trials; each method is one short transaction.

    `slots` is how many trials run at once where a job does not say.
    """

    def __init__(self, database: Database, slots: int = 1) -> None:
        self._database = database
        self._events = EventFeed(database)
        self._slots = slots

    def get(self, job: str) -> Job:
        """Return one job; NotFound if there is none."""
        with self._database.read() as connection:
            row = connection.execute(select(jobs).where(jobs.c.id == job)).one_or_none()
        if row is None:
            raise NotFound("job", job)
        return job_from_row(row)

    def page(
        self,
        limit: int,
        after: str | None = None,
        state: str | None = None,
        model: str | None = None,
        tags: Sequence[str] = (),
    ) -> list[Job]:
        """Return up to `limit` jobs, newest first, that come after the job `after`.

        Only those in this state, of this model and with all of these tags. They come without the
        state of their oracle.
        """
        # The state of an oracle may be long, and nobody looks at it in a list.
        shown = [column for column in jobs.c if column is not jobs.c.oracle_state]
        query = select(*shown, null().label("oracle_state"))
        query = query.order_by(jobs.c.created.desc(), jobs.c.id.desc()).limit(limit)
        if state is not None:
            query = query.where(jobs.c.state == state)
        if model is not None:
            query = query.where(jobs.c.model == model)
        query = query.where(*with_tags(tags))
        if after is not None:
            last = self.get(after)
            place = tuple_(literal(last.created, jobs.c.created.type), literal(last.id))
            query = query.where(tuple_(jobs.c.created, jobs.c.id) < place)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [job_from_row(row) for row in rows]

    def with_progress(self, job: Job) -> Job:
        """Return the job with its tags, its progress, its best trial and its front.

        There are no best trial and front where the request of the job cannot be read.
        """
        return self.all_with_progress([job])[0]

    def all_with_progress(self, found: Sequence[Job]) -> list[Job]:
        """Return each job as `with_progress` does.

        It takes a few queries for all of them, and one more for each with several objectives.
        """
        ids = [job.id for job in found]
        with self._database.read() as connection:
            tags = tags_of(connection, ids)
            counts = _counts(connection, ids)
            readable = [job for job in found if _is_readable(job)]
            fronts = _fronts(connection, readable)
            best = best_trials(connection, readable, fronts)
            return [
                replace(
                    job,
                    tags=tags.get(job.id, ()),
                    progress=self._progress(job, counts.get(job.id, ())),
                    best_trial=best.get(job.id),
                    front=fronts.get(job.id),
                )
                for job in found
            ]

    def _progress(self, job: Job, rows: Sequence[Row[Any]]) -> Progress:
        counts = {state: 0 for state in TrialState} | {row.state: row.trials for row in rows}
        ended = sum(counts[state] for state in ENDED)
        timed = sum(row.timed for row in rows)
        eta: float | None = None
        if job.state.is_final:
            eta = 0.0
        elif timed:
            at_once = job.parallelism or self._slots
            left = max(0, job.planned_trials - ended)
            eta = left * sum(row.seconds for row in rows) / timed / max(1, at_once)
        return Progress(
            total=job.planned_trials,
            completed=counts[TrialState.COMPLETED],
            running=counts[TrialState.RUNNING],
            failed=counts[TrialState.FAILED],
            stopped=counts[TrialState.STOPPED],
            eta_seconds=eta,
        )

    def best_trial(self, job: Job) -> Trial | None:
        """Return the best trial, as `models.jobs.store.rows` says; None while there is none."""
        with self._database.read() as connection:
            return best_trial(connection, job)

    def trials(
        self,
        job: Job,
        *,
        sort: str = "number",
        limit: int = 100,
        after: int | None = None,
        states: Sequence[str] | None = None,
    ) -> list[Trial]:
        """Return up to `limit` trials by `number` or by `score` (best first, unscored ones last).

        `after` is the number of the last trial already seen, in either order.
        """
        return list(self.each_trial(job, sort=sort, limit=limit, after=after, states=states))

    def each_trial(
        self,
        job: Job,
        *,
        sort: str = "number",
        limit: int | None = None,
        after: int | None = None,
        states: Sequence[str] | None = None,
    ) -> Iterator[Trial]:
        """Yield the same, or all without a limit; a few are in memory at once.

        They are those of one moment. A transaction is open until the last one was taken.
        """
        query = select(trials).where(trials.c.job == job.id)
        if states is not None:
            query = query.where(trials.c.state.in_(states))
        if sort == "score":
            last = None if after is None else self.trial(job, after)
            parts = in_order(query, job.spec.objective, last)
        else:
            parts = [query.where(trials.c.number > (after or 0)).order_by(trials.c.number)]
        with self._database.read() as connection:
            for part in parts:
                query = part.limit(limit).execution_options(yield_per=_ROWS_AT_ONCE)
                for row in connection.execute(query):
                    yield shown_trial(row)
                    limit = limit and limit - 1
                if limit == 0:
                    return

    def front(self, job: Job) -> list[int]:
        """Return the numbers of the trials on the front of a job, its best trial first."""
        with self._database.read() as connection:
            return front_numbers(connection, job)

    def kept(self, job: Job) -> list[int]:
        """Return the numbers of the trials whose weights a version may need, the best first."""
        with self._database.read() as connection:
            return kept_numbers(connection, job)

    def outcomes(self, job: Job) -> list[Outcome]:
        """Return every trial of a job by number, without its curves."""
        with self._database.read() as connection:
            return read_outcomes(connection, job)

    def trial(self, job: Job, number: int) -> Trial:
        """Return one trial, with its curves so far while it runs; NotFound if there is none."""
        query = select(trials).where(trials.c.job == job.id, trials.c.number == number)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFound("trial", number)
        trial = shown_trial(row)
        if trial.state != TrialState.RUNNING:
            return trial
        history = self._events.history(job.id, number)
        return replace(trial, result=history and {"history": history})


@dataclass(frozen=True, slots=True)
class JobStatistics:
    """Counts over all jobs at one moment, for monitoring; deleted ones are not counted."""

    jobs: Mapping[JobState, int]
    trials: Mapping[TrialState, int]
    failures: Mapping[FailureKind, int]  # of the failed trials
    trainer_seconds: Mapping[str, float]  # of all trials that were trained, by trainer
    queue_age: float  # seconds since the oldest job that waits for a worker was queued; 0 if none
    without_worker: int  # jobs begun whose worker let them go or has not been heard of
    versions: int  # published, of all models


def job_statistics(database: Database) -> JobStatistics:
    """Count over all jobs; raises SQLAlchemyError where the database does not answer.

    Every statement is answered from an index, whose entries are small where the rows are not.
    """
    with database.read() as connection:
        moment = now()
        rows = connection.execute(
            select(
                trials.c.state,
                trials.c.failure_kind,
                trials.c.trainer,
                func.count().label("number"),
                func.coalesce(func.sum(trials.c.seconds), 0.0).label("seconds"),
            ).group_by(trials.c.failure_kind, trials.c.trainer, trials.c.state)
        ).all()
        return JobStatistics(
            jobs=_jobs(connection),
            trials={s: sum(row.number for row in rows if row.state == s) for s in TrialState},
            failures={
                kind: sum(row.number for row in rows if row.failure_kind == kind)
                for kind in FailureKind
            },
            trainer_seconds={
                trainer: sum(row.seconds for row in rows if row.trainer == trainer)
                for trainer in sorted({row.trainer for row in rows if row.trainer})
            },
            queue_age=_queue_age(connection, moment),
            without_worker=_without_worker(connection, moment),
            versions=connection.execute(
                select(func.count()).select_from(versions).where(versions.c.ready)
            ).scalar_one(),
        )


def _jobs(connection: Connection) -> dict[JobState, int]:
    query = select(jobs.c.state, func.count()).group_by(jobs.c.state)
    counts = {state: count for state, count in connection.execute(query)}
    return {state: counts.get(state, 0) for state in JobState}


def _queue_age(connection: Connection, moment: datetime) -> float:
    query = select(func.min(jobs.c.queued)).where(
        jobs.c.state == JobState.QUEUED, jobs.c.owner.is_(None)
    )
    oldest = connection.execute(query).scalar_one()
    # Another machine's clock may be a little ahead.
    return 0.0 if oldest is None else max(0.0, (moment - oldest).total_seconds())


def _without_worker(connection: Connection, moment: datetime) -> int:
    query = (
        select(func.count())
        .select_from(jobs)
        .where(
            jobs.c.state.in_([JobState.RUNNING, JobState.CANCELLING]),
            or_(jobs.c.lease_until.is_(None), jobs.c.lease_until < moment),
        )
    )
    return int(connection.execute(query).scalar_one())


def _counts(connection: Connection, ids: Sequence[str]) -> dict[str, list[Row[Any]]]:
    """Count the trials of each job by state, in one query that reads an index and no trial."""
    took_time = trials.c.seconds > 0  # reused trials took none
    query = (
        select(
            trials.c.job,
            trials.c.state,
            func.count().label("trials"),
            func.count(case((took_time, 1))).label("timed"),
            func.sum(case((took_time, trials.c.seconds), else_=0.0)).label("seconds"),
        )
        .where(trials.c.job.in_(ids))
        .group_by(trials.c.job, trials.c.state)
    )
    found: dict[str, list[Row[Any]]] = {}
    for row in connection.execute(query):
        found.setdefault(row.job, []).append(row)
    return found


def _is_readable(job: Job) -> bool:
    try:
        return bool(job.spec)
    except Unreadable:
        return False


def _fronts(connection: Connection, found: Sequence[Job]) -> dict[str, tuple[int, ...]]:
    """Return the front of each job with several objectives whose trials can be read."""
    fronts = {}
    for job in found:
        if job.spec.other_objectives:
            with suppress(Unreadable):
                fronts[job.id] = tuple(front_numbers(connection, job))
    return fronts
