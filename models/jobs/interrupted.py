"""Trials that were running when their job was let go."""

from sqlalchemy import Connection, update

from models.jobs.events import record, trial_event
from models.jobs.lifecycle import TrialState
from models.store.tables import trials


def let_wait(connection: Connection, job: str) -> None:
    """Let the running trials of a job wait again, as none was the cause of the interruption.

    Those that a worker leaves running without a word count as lost with it.
    """
    interrupted = (
        update(trials)
        .where(trials.c.job == job, trials.c.state == TrialState.RUNNING)
        .values(state=TrialState.WAITING, started=None)
        .returning(trials.c.number)
    )
    numbers = sorted(connection.execute(interrupted).scalars())
    record(connection, job, [trial_event(each, TrialState.WAITING) for each in numbers])
