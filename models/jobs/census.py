"""Figures over all jobs, for monitoring: a few aggregates that any process may ask for."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, or_, select

from models.jobs.lifecycle import JobState, TrialState
from models.store.engine import Database
from models.store.tables import jobs, now, trials, versions
from models.trials.spec import FailureKind


@dataclass(frozen=True, slots=True)
class Census:
    """What the database holds at one moment. What is deleted is no longer counted."""

    jobs: Mapping[JobState, int]
    trials: Mapping[TrialState, int]
    failures: Mapping[FailureKind, int]  # of the failed trials
    trainer_seconds: Mapping[str, float]  # of all trials that were trained, by trainer
    queue_age: float  # seconds since the oldest job that waits for a worker was queued; 0 if none
    without_worker: int  # jobs begun whose worker let them go or has not been heard of
    versions: int  # published, of all models


def take_census(database: Database) -> Census:
    """Count; raises SQLAlchemyError where the database does not answer.

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
        return Census(
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
