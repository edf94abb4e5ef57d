"""What users change about a job that is there: trials of their own, and a larger budget."""

from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import ValidationError
from sqlalchemy import Connection, select, update

from models.errors import Conflict, NotFound
from models.jobs.events import record, state_event, trial_event
from models.jobs.given import count_given, insert_given
from models.jobs.lifecycle import JobState, TrialState, check_job_transition
from models.jobs.raising import Limits, check_goes_on, raised_spec
from models.jobs.records import Job, Trial, job_from_row
from models.jobs.spec import check_trials
from models.oracles.plan import plan
from models.space.hyperparameters import TrialValues
from models.space.space import SearchSpace
from models.store.engine import Database
from models.store.tables import jobs, now, trials


class Steering:
    """Writes what users want; a worker that holds the job sees it at its next look."""

    def __init__(self, database: Database, max_trials: int | None = None) -> None:
        self._database = database
        self._max_trials = max_trials

    def give(
        self, job: str, wanted: Mapping[str, object] | Sequence[Mapping[str, object]]
    ) -> list[Trial]:
        """Queue one trial, or several, of the user's own values; answer them.

        Raises ValidationError at `values.<name>` or `trials.<index>.<name>`, and Conflict once
        the search has ended.
        """
        with self._database.write() as connection:
            found = _locked(connection, job)
            if found.state.is_final or found.state == JobState.CANCELLING:
                raise Conflict(f"Job {job} is {found.state}; it takes no more trials.")
            if found.stop_reason is not None:
                raise Conflict(f"The search of job {job} has ended by {found.stop_reason}.")
            listed = _checked(found.spec.space, wanted)
            check_trials(found.planned_trials + len(listed), self._max_trials, "trials")
            given = insert_given(connection, job, listed, found.spec.budget.epochs)
            _change(connection, found, planned_trials=found.planned_trials + len(given))
        return given

    def raise_budget(self, job: str, limits: Limits) -> Job:
        """Raise limits of a job's budget, by name; None takes a limit away.

        A job that has ended is queued again and goes on where it stopped. Raises Invalid at
        `budget.<name>` for what is no raise, Conflict where the job cannot go on.
        """
        with self._database.write() as connection:
            found = _locked(connection, job)
            spec = raised_spec(found.spec, limits)
            budget = spec.budget
            planned = plan(spec.strategy, spec.space, budget.max_trials, budget.epochs).trials
            planned += count_given(connection, job)
            check_trials(planned, self._max_trials)
            values: dict[str, Any] = {
                "spec": spec.to_document(),
                "planned_trials": planned,
                # They were those of the smaller budget.
                "forecast": None,
                "actual": None,
            }
            if found.state in (JobState.CANCELLING, JobState.CANCELLED):
                raise Conflict(f"Job {job} is {found.state}; it cannot go on.")
            if found.state.is_final or found.stop_reason is not None:
                check_goes_on(found, spec, limits)
                values |= {"stop_reason": None, "error": None, "finished": None}
                _reopen_trials(connection, job)
            if found.state.is_final:
                check_job_transition(job, found.state, JobState.QUEUED)
                values |= {"state": JobState.QUEUED, "queued": now()}
                record(connection, job, [state_event(JobState.QUEUED)])
            _change(connection, found, **values)
            return _locked(connection, job)


def _locked(connection: Connection, job: str) -> Job:
    query = select(jobs).where(jobs.c.id == job).with_for_update()
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("job", job)
    return job_from_row(row)


def _change(connection: Connection, job: Job, **values: Any) -> None:
    values["changes"] = job.changes + 1
    connection.execute(update(jobs).where(jobs.c.id == job.id).values(values))


def _checked(
    space: SearchSpace, wanted: Mapping[str, object] | Sequence[Mapping[str, object]]
) -> Sequence[TrialValues]:
    one = isinstance(wanted, Mapping)
    try:
        return [space.check(wanted)] if isinstance(wanted, Mapping) else space.check_all(wanted)
    except ValidationError as error:
        raise ValidationError({"values" if one else "trials": error.messages}) from None


def _reopen_trials(connection: Connection, job: str) -> None:
    """Let the trials wait again that the end of the search cut off."""
    reopened = (
        update(trials)
        .where(trials.c.job == job, trials.c.state == TrialState.CANCELLED)
        .values(state=TrialState.WAITING, started=None, finished=None)
        .returning(trials.c.number)
    )
    numbers = sorted(connection.execute(reopened).scalars())
    record(connection, job, [trial_event(each, TrialState.WAITING) for each in numbers])
