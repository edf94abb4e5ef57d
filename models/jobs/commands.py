"""Commands of users: create, pause, resume, cancel, delete, enqueue trials, raise budgets."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from marshmallow import ValidationError
from sqlalchemy import Connection, delete, func, insert, select

from models.data.library.catalog import hold_datasets, needed_datasets
from models.errors import Conflict, Invalid, NotFound, TooMany
from models.jobs.model import (
    ENQUEUED_PREFIX,
    FINAL_STATES,
    Job,
    JobState,
    Trial,
    TrialState,
    enqueued_key,
)
from models.jobs.schema import dump_spec
from models.jobs.spec import JobSpec, check_trials
from models.jobs.store.events import state_event
from models.jobs.store.rows import SCORED
from models.jobs.store.unit_of_work import (
    OPEN,
    UnitOfWork,
    artifact_folder,
    locked,
    release_files,
    unit_of_work,
)
from models.oracles.strategy import ENDLESS, Hyperband, plan
from models.space.hyperparameters import TrialValues
from models.space.space import SearchSpace
from models.store.artifacts import Artifacts
from models.store.audit import actor_name, tell
from models.store.engine import Database
from models.store.tables import jobs, now, trials

RETRY_AFTER = 30  # seconds until a full queue may have room
MAX_ITERATIONS = 100  # of Hyperband's schedule

_HELD_STATES = [JobState.RUNNING, JobState.PAUSED, JobState.CANCELLING]

Limits = Mapping[str, Any]  # numbers by their names in Budget; None takes a limit away


class JobCommands:
    """Changes jobs as users ask; a worker that holds one sees the change at its next look.

    `max_queued` and `max_trials` are the limits of LUTHIER_MAX_QUEUED_JOBS and
    LUTHIER_MAX_TRIALS_PER_JOB; None for no limit.
    """

    def __init__(
        self,
        database: Database,
        artifacts: Artifacts,
        max_queued: int | None = None,
        max_trials: int | None = None,
    ) -> None:
        self._database = database
        self._artifacts = artifacts
        self._max_queued = max_queued
        self._max_trials = max_trials

    def create(
        self,
        spec: JobSpec,
        planned_trials: int,
        enqueued: Sequence[TrialValues] = (),
        data_notes: Mapping[str, Any] | None = None,
    ) -> Job:
        """Queue a job.

        `enqueued` are the full values of trials to begin with; `planned_trials` counts them.
        `data_notes` holds `warnings` and `columns` in JSON. Raises TooMany when the queue is full,
        NotFound if a dataset, or the job that it narrows, was deleted meanwhile.
        """
        row = {
            "id": f"job_{secrets.token_hex(8)}",
            "model": spec.model,
            "state": JobState.QUEUED,
            "spec": dump_spec(spec),
            "dataset": None if spec.dataset.startswith("builtin:") else spec.dataset,
            "planned_trials": planned_trials,
            "created": (moment := now()),
            "created_by": actor_name(),
            "queued": moment,
            "seconds": 0.0,
            "data_notes": data_notes,
        }
        tell("job", str(row["id"]), model=spec.model)
        with self._database.write() as connection:
            return self._insert(connection, row, enqueued, spec.budget.epochs)

    def _insert(
        self,
        connection: Connection,
        row: dict[str, Any],
        enqueued: Sequence[TrialValues],
        epochs: int,
    ) -> Job:
        connection.execute(insert(jobs).values(row))
        hold_datasets(connection, needed_datasets(row["dataset"], row["spec"]))
        _hold_narrowed(connection, row["spec"])
        self._check_queue(connection)
        written = locked(connection, row["id"])
        assert written is not None
        unit = UnitOfWork(connection, written)
        unit.events.append(state_event(JobState.QUEUED))
        _enqueue(unit, enqueued, epochs)
        return unit.job()

    def _check_queue(self, connection: Connection) -> None:
        """Raise TooMany when the queue, with the job just written, is too long."""
        waiting = select(func.count()).where(jobs.c.state == JobState.QUEUED)
        limit = self._max_queued
        if limit is not None and connection.execute(waiting).scalar_one() > limit:
            raise TooMany(
                f"{limit:,} jobs wait already, the most that LUTHIER_MAX_QUEUED_JOBS allows.",
                RETRY_AFTER,
            )

    def pause(self, job: str) -> Job:
        """Start no more trials of a job; those under way are finished."""
        return self._change(job, lambda unit: JobState.PAUSED)

    def resume(self, job: str) -> Job:
        """Queue a paused job again; it goes on where it stopped."""
        return self._change(job, _queued_again)

    def cancel(self, job: str) -> Job:
        """End a job and its trials, at once if no worker holds it."""
        return self._change(job, _cancelled_or_cancelling)

    def requeue(self, job: str) -> Job:
        """Take a job from its worker, which stops to work on it; return the job.

        Its running trials wait again, without a retry, for any worker that claims the job. One that
        is being cancelled stays so until then. Raises Conflict if no worker holds it or it is
        paused.
        """
        with unit_of_work(self._database, job) as unit:
            if unit.owner is None or unit.state == JobState.PAUSED:
                held = "" if unit.owner else ", and no worker holds it"
                raise Conflict(f"Job {job} is {unit.state}{held}.")
            tell(held_by=unit.owner)
            unit.change_trials(TrialState.WAITING, source=[TrialState.RUNNING])
            if unit.state == JobState.RUNNING:
                unit.change_state(JobState.QUEUED)
            unit.set(owner=None, lease_until=None, waiting_for=None)
            return unit.job()

    def finish(self, job: str) -> Job:
        """Let a failed job build its version again, of its best trial.

        Raises Conflict for a job that has not failed, or none of whose trials has a score.
        """
        with unit_of_work(self._database, job) as unit:
            found = unit.job()
            if found.state != JobState.FAILED:
                raise Conflict(f"Job {job} is {found.state}; only a failed job can be finished.")
            if not _has_winner(unit):
                raise Conflict(f"No trial of job {job} has a score and keeps its constraints.")
            unit.set(
                stop_reason=found.stop_reason or "finish",
                chosen_trial=None,
                error=None,
                finished=None,
                attempts=0,
                changes=found.changes + 1,
            )
            unit.change_state(JobState.QUEUED)
            return unit.job()

    def choose(self, job: str, number: int) -> Job:
        """Let an ended job build a version of one of its trials.

        Raises NotFound for an unknown trial, Conflict for a job that has not ended or was
        cancelled and for a trial that may not win.
        """
        with unit_of_work(self._database, job) as unit:
            found = unit.job()
            if found.state not in (JobState.SUCCEEDED, JobState.FAILED):
                raise Conflict(f"Job {job} is {found.state}; choose a trial when it has ended.")
            _check_may_win(unit, number)
            unit.set(
                stop_reason=found.stop_reason or "finish",
                chosen_trial=number,
                error=None,
                finished=None,
                attempts=0,
                changes=found.changes + 1,
            )
            unit.change_state(JobState.QUEUED)
            tell(trial=number)
            return unit.job()

    def _change(self, job: str, target_of: Callable[[UnitOfWork], JobState]) -> Job:
        """Move a job; Conflict if its state forbids that; asking twice changes nothing."""
        with unit_of_work(self._database, job) as unit:
            target = target_of(unit)
            if target != unit.state:
                if target == JobState.CANCELLED:
                    unit.change_trials(TrialState.CANCELLED, source=OPEN)
                unit.change_state(target)
            return unit.job()

    def delete(self, job: str, *, dry_run: bool = False) -> None:
        """Remove a job that no worker holds, with its trials and files; its versions stay.

        Raises Conflict while the job is running, paused or being cancelled, and while an
        unfinished job narrows it. A dry run only raises what stands against it.
        """
        with self._database.write() as connection:
            row = locked(connection, job)
            if row is None:
                raise NotFound("job", job)
            # One in a state of another version may go, too, unless a worker holds it.
            is_held = row.state not in set(JobState) and row.owner is not None
            if is_held or row.state in _HELD_STATES:
                raise Conflict(f"Job {job} is {row.state}; cancel it before deleting it.")
            _check_not_narrowed(connection, job)
            if dry_run:
                return
            release_files(connection, job)
            connection.execute(delete(jobs).where(jobs.c.id == job))
        self._artifacts.try_delete(artifact_folder(job))

    def enqueue(
        self, job: str, wanted: Mapping[str, object] | Sequence[Mapping[str, object]]
    ) -> list[Trial]:
        """Queue one trial, or several, of the user's own values; return them.

        Raises ValidationError at `values.<name>` or `trials.<index>.<name>`, and Conflict once
        the search has ended.
        """
        with unit_of_work(self._database, job) as unit:
            found = unit.job()
            if found.state.is_final or found.state == JobState.CANCELLING:
                raise Conflict(f"Job {job} is {found.state}; it takes no more trials.")
            if found.stop_reason is not None:
                raise Conflict(f"The search of job {job} has ended by {found.stop_reason}.")
            listed = _checked(found.spec.space, wanted)
            planned = found.planned_trials + len(listed)
            check_trials(planned, self._max_trials, "trials")
            unit.set(planned_trials=planned, changes=found.changes + 1)
            enqueued = _enqueue(unit, listed, found.spec.budget.epochs)
            tell(trials=[trial.number for trial in enqueued])
            return enqueued

    def raise_budget(self, job: str, limits: Limits) -> Job:
        """Raise limits of a job's budget, by name; None takes a limit away.

        A job that has ended is queued again and goes on where it stopped. Raises Invalid at
        `budget.<name>` for what is no raise, Conflict where the job cannot go on.
        """
        with unit_of_work(self._database, job) as unit:
            found = unit.job()
            spec = raised(found.spec, limits)
            budget = spec.budget
            planned = plan(spec.strategy, spec.space, budget.max_trials, budget.epochs).trials
            planned += _count_enqueued(unit)
            check_trials(planned, self._max_trials)
            if found.state in (JobState.CANCELLING, JobState.CANCELLED):
                raise Conflict(f"Job {job} is {found.state}; it cannot go on.")
            if found.state.is_final or found.stop_reason is not None:
                _check_goes_on(found, spec, limits)
                unit.change_trials(TrialState.WAITING, source=[TrialState.CANCELLED])
                unit.set(stop_reason=None, chosen_trial=None, error=None, finished=None, attempts=0)
            if found.state.is_final:
                unit.change_state(JobState.QUEUED)
            tell(budget=dict(limits))
            unit.set(spec=dump_spec(spec), planned_trials=planned, changes=found.changes + 1)
            return unit.job()


def _queued_again(unit: UnitOfWork) -> JobState:
    if unit.state == JobState.RUNNING:
        raise Conflict(f"Job {unit.job_id} is running; only a paused one can be resumed.")
    if unit.state.is_final:
        raise Conflict(f"Job {unit.job_id} is {unit.state}; only a raised budget lets it go on.")
    return JobState.QUEUED


def _cancelled_or_cancelling(unit: UnitOfWork) -> JobState:
    if unit.state.is_final:
        # A cancelled job stays so; any other final state refuses the change.
        return JobState.CANCELLED
    is_held = unit.owner is not None or unit.state == JobState.RUNNING
    return JobState.CANCELLING if is_held else JobState.CANCELLED


def _enqueue(unit: UnitOfWork, listed: Sequence[TrialValues], epochs: int) -> list[Trial]:
    """Add trials of these full values, before all that the oracle has yet to propose."""
    return unit.add_trials(
        [{"key": enqueued_key, "values": dict(values), "epochs": epochs} for values in listed]
    )


def _has_winner(unit: UnitOfWork) -> bool:
    query = select(func.count()).where(
        trials.c.job == unit.job_id, trials.c.state.in_(SCORED), trials.c.violation == 0
    )
    return bool(unit.connection.execute(query).scalar_one())


def _check_may_win(unit: UnitOfWork, number: int) -> None:
    query = select(trials.c.state, trials.c.violation).where(
        trials.c.job == unit.job_id, trials.c.number == number
    )
    row = unit.connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("trial", number)
    if row.state not in SCORED:
        raise Conflict(f"Trial {number} is {row.state}; only one with a score can be chosen.")
    if row.violation:
        raise Conflict(f"Trial {number} breaks a constraint, and a winner keeps all of them.")


def _narrowed_job(document: Any) -> str | None:
    """Return the job that a stored request narrows; None if there is none."""
    found = document.get("narrow_from") if isinstance(document, Mapping) else None
    name = found.get("job") if isinstance(found, Mapping) else None
    return name if isinstance(name, str) else None


def _hold_narrowed(connection: Connection, document: Any) -> None:
    """Keep the job that a request narrows until the transaction ends; NotFound if it is gone."""
    name = _narrowed_job(document)
    if name is None:
        return
    query = select(jobs.c.id).where(jobs.c.id == name).with_for_update(read=True)
    if connection.execute(query).one_or_none() is None:
        raise NotFound("job", name)


def _check_not_narrowed(connection: Connection, job: str) -> None:
    """Raise Conflict if an unfinished job reuses the trials of `job`."""
    query = select(jobs.c.id, jobs.c.spec).where(jobs.c.state.not_in(FINAL_STATES))
    for row in connection.execute(query):
        if _narrowed_job(row.spec) == job and row.id != job:
            raise Conflict(f"Job {job} is in use by job {row.id}, which narrows it.")


def _count_enqueued(unit: UnitOfWork) -> int:
    query = select(func.count()).where(
        trials.c.job == unit.job_id, trials.c.key.startswith(ENQUEUED_PREFIX)
    )
    return int(unit.connection.execute(query).scalar_one())


def _checked(
    space: SearchSpace, wanted: Mapping[str, object] | Sequence[Mapping[str, object]]
) -> Sequence[TrialValues]:
    name = "values" if isinstance(wanted, Mapping) else "trials"
    try:
        return [space.check(wanted)] if isinstance(wanted, Mapping) else space.check_all(wanted)
    except ValidationError as error:
        raise ValidationError({name: error.messages}) from None


def raised(spec: JobSpec, limits: Limits) -> JobSpec:
    """Return the same spec with larger limits; Hyperband runs its schedule more often.

    Raises Invalid at `budget.<name>` for a limit that would not be raised, and Conflict where
    Hyperband cannot follow.
    """
    errors = {
        f"budget.{name}": [message]
        for name, limit in limits.items()
        if (message := _fault(spec, name, limit))
    }
    if errors:
        raise Invalid(errors)
    spec = replace(spec, budget=replace(spec.budget, **limits))
    if not isinstance(spec.strategy, Hyperband):
        return spec
    if "epochs" in limits and spec.strategy.max_epochs is None:
        raise Conflict(
            "The rounds of Hyperband are made for the epochs that it began with. Start a new job,"
            " which narrow_from can lead on from this one."
        )
    wanted = limits.get("max_trials")
    return spec if wanted is None else replace(spec, strategy=_long_enough(spec, wanted))


def _check_goes_on(job: Job, spec: JobSpec, limits: Limits) -> None:
    """Raise Conflict unless the search of `job`, which has ended, goes on as `spec` says."""
    reason = job.stop_reason
    if reason is None:
        raise Conflict(f"Job {job.id} did not end by a limit, but because: {job.error}")
    if reason == "finish":
        return
    if reason == "exhausted":
        if spec.strategy == job.spec.strategy:
            raise Conflict(f"The search of job {job.id} has tried all that its strategy has.")
        return
    limit = "target_score" if reason == "target" else reason
    if limit not in limits:
        raise Conflict(f"The search of job {job.id} ended by {reason}: raise budget.{limit}.")


def _fault(spec: JobSpec, name: str, limit: float | None) -> str | None:
    """Return why this is no raise; None if it is one."""
    present = getattr(spec.budget, name)
    if name == "max_trials" and present is None and isinstance(spec.strategy, Hyperband):
        present = plan(spec.strategy, spec.space, None, spec.budget.epochs).trials
    if present is None:
        return "There is no limit that could be raised."
    if limit is None:
        endless = name == "max_trials" and isinstance(spec.strategy, ENDLESS)
        return f"{spec.strategy.name} needs a number of trials." if endless else None
    if name == "target_score":
        if spec.objective.is_better(limit, present):
            return None
        side = "below" if spec.objective.is_minimized else "above"
        return f"Must be {side} {present:g}, to be harder to reach."
    return None if limit > present else f"Must be above {present:g}: it can only be raised."


def _long_enough(spec: JobSpec, wanted: float) -> Hyperband:
    """Return Hyperband with as many iterations as `wanted` trials fill, never fewer than before."""
    strategy = spec.strategy
    assert isinstance(strategy, Hyperband)

    def total(iterations: int) -> int:
        longer = replace(strategy, iterations=iterations)
        return plan(longer, spec.space, None, spec.budget.epochs).trials

    iterations = strategy.iterations
    while total(iterations) < wanted:
        if iterations >= MAX_ITERATIONS or total(iterations + 1) == total(iterations):
            raise Conflict(f"Hyperband has no more than {total(iterations)} trials in this space.")
        iterations += 1
    return replace(strategy, iterations=iterations)
