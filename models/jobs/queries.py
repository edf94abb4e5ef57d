"""What readers ask about jobs and trials."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select

from models.errors import NotFound
from models.jobs.events import EventFeed
from models.jobs.lifecycle import TrialState
from models.jobs.records import (
    Job,
    Outcome,
    Progress,
    Trial,
    job_from_row,
    outcome_from_row,
    trial_from_row,
)
from models.store.engine import Database
from models.store.tables import jobs, trials


class JobQueries:
    """Reads jobs and trials; each method is one short transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._events = EventFeed(database)

    def get(self, job: str) -> Job:
        """One job; NotFound if there is none."""
        with self._database.read() as connection:
            row = connection.execute(select(jobs).where(jobs.c.id == job)).one_or_none()
        if row is None:
            raise NotFound("job", job)
        return job_from_row(row)

    def page(self, limit: int, after: str | None = None, state: str | None = None) -> list[Job]:
        """Up to `limit` jobs, newest first, that come after the job `after`."""
        query = select(jobs).order_by(jobs.c.created.desc(), jobs.c.id.desc()).limit(limit)
        if state is not None:
            query = query.where(jobs.c.state == state)
        if after is not None:
            last = self.get(after)
            query = query.where(
                or_(
                    jobs.c.created < last.created,
                    and_(jobs.c.created == last.created, jobs.c.id < last.id),
                )
            )
        with self._database.read() as connection:
            return [job_from_row(row) for row in connection.execute(query)]

    def progress(self, job: Job) -> Progress:
        """Counts by state, in one query that reads an index and no trial."""
        # Trials that took over a result took no time.
        took_time = trials.c.seconds > 0
        query = (
            select(
                trials.c.state,
                func.count().label("trials"),
                func.count(case((took_time, 1))).label("timed"),
                func.sum(case((took_time, trials.c.seconds), else_=0.0)).label("seconds"),
            )
            .where(trials.c.job == job.id)
            .group_by(trials.c.state)
        )
        with self._database.read() as connection:
            rows = {TrialState(row.state): row for row in connection.execute(query)}
        timed = sum(row.timed for row in rows.values())
        counts = {state: row.trials for state, row in rows.items()}
        return Progress(
            total=job.planned_trials,
            completed=counts.get(TrialState.COMPLETED, 0),
            running=counts.get(TrialState.RUNNING, 0),
            failed=counts.get(TrialState.FAILED, 0),
            stopped=counts.get(TrialState.STOPPED, 0),
            mean_seconds=sum(row.seconds for row in rows.values()) / timed if timed else None,
        )

    def best_trial(self, job: Job) -> Trial | None:
        """The trial with the best score; the earlier of two equals.

        A stopped trial is the best only where none completed, as in the search itself.
        """
        found = self._page(job, "score", 1, None, [TrialState.COMPLETED])
        found = found or self._page(job, "score", 1, None, None)
        return found[0] if found and found[0].score is not None else None

    def trials(
        self,
        job: Job,
        *,
        sort: str = "number",
        limit: int = 100,
        after: int | None = None,
        states: Sequence[str] | None = None,
    ) -> list[Trial]:
        """Up to `limit` trials by `number` or by `score` (best first, unscored ones last).

        `after` is the number of the last trial already seen, in either order.
        """
        return self._page(job, sort, limit, after, states)

    def outcomes(self, job: Job) -> list[Outcome]:
        """Every trial of a job by number, without its curves."""
        columns: list[ColumnElement[Any]] = [
            trials.c[item.name] for item in fields(Outcome) if item.name in trials.c
        ]
        columns.append((trials.c.reused_job == trials.c.job).label("is_repeat"))
        query = select(*columns).where(trials.c.job == job.id).order_by(trials.c.number)
        with self._database.read() as connection:
            return [outcome_from_row(row) for row in connection.execute(query)]

    def trial(self, job: Job, number: int) -> Trial:
        """One trial, while it runs with its curves so far; NotFound if there is none."""
        query = select(trials).where(trials.c.job == job.id, trials.c.number == number)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFound("trial", number)
        trial = trial_from_row(row)
        if trial.state != TrialState.RUNNING:
            return trial
        history = self._events.history(job.id, number)
        return replace(trial, result=history and {"history": history})

    def _page(
        self,
        job: Job,
        sort: str,
        limit: int,
        after: int | None,
        states: Sequence[str] | None,
    ) -> list[Trial]:
        query = select(trials).where(trials.c.job == job.id).limit(limit)
        if states is not None:
            query = query.where(trials.c.state.in_(states))
        if sort == "score":
            query = self._by_score(query, job, after)
        else:
            query = query.order_by(trials.c.number)
            if after is not None:
                query = query.where(trials.c.number > after)
        with self._database.read() as connection:
            return [trial_from_row(row) for row in connection.execute(query)]

    def _by_score(self, query: Select[Any], job: Job, after: int | None) -> Select[Any]:
        smaller_is_better = job.spec.objective.direction == "min"
        score = trials.c.score
        order = score.asc() if smaller_is_better else score.desc()
        query = query.order_by(order.nulls_last(), trials.c.number)
        if after is None:
            return query
        last = self.trial(job, after)
        unscored_later = and_(score.is_(None), trials.c.number > last.number)
        if last.score is None:
            return query.where(unscored_later)
        worse = score > last.score if smaller_is_better else score < last.score
        equal_later = and_(score == last.score, trials.c.number > last.number)
        return query.where(or_(worse, equal_later, score.is_(None)))
