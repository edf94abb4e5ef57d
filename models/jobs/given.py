"""Trials that a job is given, beside those that its oracle proposes."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, func, insert, select

from models.jobs.events import record, trial_event
from models.jobs.lifecycle import TrialState
from models.jobs.records import Trial, given_key, trial_from_row
from models.space.hyperparameters import TrialValues
from models.store.tables import now, trials


def insert_given(
    connection: Connection, job: str, listed: Sequence[TrialValues], epochs: int
) -> list[Trial]:
    """Let trials of these full values wait in a job; answer them.

    They come before all that the oracle has yet to propose. The caller's transaction must keep
    others from adding trials.
    """
    count = select(func.coalesce(func.max(trials.c.number), 0)).where(trials.c.job == job)
    last = connection.execute(count).scalar_one()
    rows: list[dict[str, Any]] = [
        {
            "job": job,
            "number": number,
            "key": given_key(number),
            "state": TrialState.WAITING,
            "values": dict(values),
            "epochs": epochs,
            "initial_epoch": 0,
            "retries": 0,
            "created": now(),
        }
        for number, values in enumerate(listed, last + 1)
    ]
    if not rows:
        return []
    connection.execute(insert(trials), rows)
    created = [trial_event(row["number"], row["state"], values=row["values"]) for row in rows]
    record(connection, job, created)
    mine = select(trials).where(trials.c.job == job, trials.c.number > last)
    return [trial_from_row(row) for row in connection.execute(mine.order_by(trials.c.number))]


def count_given(connection: Connection, job: str) -> int:
    """How many trials a job was given so far."""
    query = select(func.count()).where(
        trials.c.job == job, trials.c.key.startswith(given_key(0).removesuffix("0"))
    )
    return int(connection.execute(query).scalar_one())
