"""Commands of users: create, pause, resume, finish, cancel, delete, and what changes a search."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from marshmallow import ValidationError
from sqlalchemy import Connection, delete, func, insert, select

from models.data.library.catalog import hold_datasets, needed_datasets
from models.errors import Conflict, NotFound, TooMany
from models.jobs.budget import BudgetChange, Limits
from models.jobs.model import (
    FINAL_STATES,
    SCORED,
    Job,
    JobState,
    Trial,
    TrialState,
    enqueued_key,
    is_enqueued,
)
from models.jobs.schema.spec import dump_spec
from models.jobs.spec import JobSpec, check_trials
from models.jobs.store.events import state_event
from models.jobs.store.labels import Labels, add_tags, put_labels
from models.jobs.store.rows import best_trial, spent
from models.jobs.store.unit_of_work import (
    OPEN,
    UnitOfWork,
    artifact_folder,
    locked,
    release_files,
    unit_of_work,
)
from models.oracles.strategy import plan
from models.space.hyperparameters import TrialValues
from models.store.artifacts import Artifacts
from models.store.audit import actor_may_promote, actor_name, tell
from models.store.engine import Database
from models.store.tables import jobs, now, trials, versions

RETRY_AFTER = 30  # seconds until a full queue may have room

_HELD_STATES = [JobState.RUNNING, JobState.PAUSED, JobState.CANCELLING]

_Wanted = Mapping[str, object] | Sequence[Mapping[str, object]]  # the values of a trial, or several


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
            "description": spec.description,
            "may_promote": actor_may_promote(),
        }
        tell("job", str(row["id"]), model=spec.model)
        with self._database.write() as connection:
            job = self._insert(connection, row, enqueued, spec.budget.epochs)
            add_tags(connection, job.id, spec.tags)
            return job

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

    def finish(self, job: str, trial: int | None = None) -> Job:
        """Stop a search now; the best trial so far becomes a version, unless it is one already.

        Trials that run are stopped and scored from their best epoch. An ended job builds its
        version anew, of `trial` where that is given. Raises Conflict for a job that is cancelled or
        has no score to come, and where `trial` may not win; NotFound where there is none.
        """
        with unit_of_work(self._database, job) as unit:
            found = unit.job()
            if found.state in (JobState.CANCELLING, JobState.CANCELLED):
                raise Conflict(f"Job {job} is {found.state}; it builds no version.")
            if _is_finished(unit, found, trial):
                return found
            if trial is not None:
                if not found.state.is_final:
                    raise Conflict(f"Job {job} is {found.state}; choose a trial when it has ended.")
                _check_may_win(unit, trial)
                tell(trial=trial)
            elif not _has_winner(unit, found):
                kept = " that keeps its constraints" if found.spec.constraints else ""
                raise Conflict(f"No trial of job {job} has a score{kept}, and none is trained now.")
            unit.steer(
                stop_reason=found.stop_reason or "finish",
                chosen_trial=trial,
                error=None,
                finished=None,
                attempts=0,
            )
            if found.state not in (JobState.QUEUED, JobState.RUNNING):
                unit.change_state(JobState.QUEUED)
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

    def enqueue(self, job: str, wanted: _Wanted) -> list[Trial]:
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
            listed = _checked(found.spec, wanted)
            planned = found.planned_trials + len(listed)
            check_trials(planned, self._max_trials, "trials")
            unit.steer(planned_trials=planned)
            enqueued = _enqueue(unit, listed, found.spec.budget.epochs)
            tell(trials=[trial.number for trial in enqueued])
            return enqueued

    def change(self, job: str, limits: Limits, labels: Labels | None = None) -> Job:
        """Change labels of a job, in any state, and limits of its budget, in one transaction.

        Limits are given by name; None takes one away. A job that has ended is queued again and goes
        on where it stopped. Raises Invalid at `budget.<name>` for less than is spent, Conflict
        where the job cannot go on.
        """
        with unit_of_work(self._database, job) as unit:
            put_labels(unit.connection, job, labels or {})
            if limits:
                self._change_budget(unit, limits)
            return unit.job()

    def _change_budget(self, unit: UnitOfWork, limits: Limits) -> None:
        found = unit.job()
        change = BudgetChange(found, spent(unit.connection, found.id), limits)
        spec = change.apply()
        budget = spec.budget
        planned = plan(spec.strategy, spec.space, budget.max_trials, budget.epochs).trials
        planned += change.spent.enqueued
        check_trials(planned, self._max_trials)
        if found.state in (JobState.CANCELLING, JobState.CANCELLED):
            raise Conflict(f"Job {found.id} is {found.state}; it cannot go on.")
        if found.state.is_final or found.stop_reason is not None:
            change.check_goes_on(spec)
            unit.change_trials(TrialState.WAITING, source=[TrialState.CANCELLED])
            unit.set(stop_reason=None, chosen_trial=None, error=None, finished=None, attempts=0)
        if found.state.is_final:
            unit.change_state(JobState.QUEUED)
        tell(budget=dict(limits))
        unit.steer(spec=dump_spec(spec), planned_trials=planned)

    def discard(self, job: str, number: int) -> None:
        """Take a trial out of a job: it counts and teaches no more, and a running one is ended.

        Versions that were built from it stay, and doing it again changes nothing. Raises NotFound,
        and Conflict while other trials continue its weights.
        """
        with unit_of_work(self._database, job) as unit:
            found = unit.job()
            trial = unit.trial(number)
            if trial is None:
                raise NotFound("trial", number)
            if trial.state == TrialState.DISCARDED:
                return
            if followers := unit.followers(number):
                listed = ", ".join(map(str, followers))
                raise Conflict(f"Trial {number} is continued by {listed}; discard these first.")
            unit.change_trials(
                TrialState.DISCARDED,
                number=number,
                score=None,
                scores=None,
                violation=None,
                digest=None,
                finished=trial.finished or now(),
            )
            # While the search goes on, its strategy proposes another in the place of its own.
            is_replaced = found.stop_reason is None and not is_enqueued(trial.key, number)
            planned = found.planned_trials - (not is_replaced)
            chosen = None if found.chosen_trial == number else found.chosen_trial
            unit.steer(planned_trials=planned, chosen_trial=chosen)
        self._artifacts.try_delete(f"{artifact_folder(job)}/trials/{number}")


def _queued_again(unit: UnitOfWork) -> JobState:
    if unit.state == JobState.RUNNING:
        raise Conflict(f"Job {unit.job_id} is running; only a paused one can be resumed.")
    if unit.state.is_final:
        raise Conflict(f"Job {unit.job_id} is {unit.state}; only another budget lets it go on.")
    return JobState.QUEUED


def _cancelled_or_cancelling(unit: UnitOfWork) -> JobState:
    if unit.state.is_final:
        # A cancelled job stays so; any other final state refuses the change.
        return JobState.CANCELLED
    is_held = unit.owner is not None or unit.state == JobState.RUNNING
    return JobState.CANCELLING if is_held else JobState.CANCELLED


def _has_winner(unit: UnitOfWork, job: Job) -> bool:
    """Return whether a trial may win, or may yet be scored."""
    return (
        spent(unit.connection, job.id).running > 0 or best_trial(unit.connection, job) is not None
    )


def _is_finished(unit: UnitOfWork, job: Job, chosen: int | None) -> bool:
    """Return whether the version of a chosen trial, or of the best, is built or being built."""
    if job.state in (JobState.QUEUED, JobState.RUNNING):
        return job.stop_reason is not None and chosen in (None, job.chosen_trial)
    best = best_trial(unit.connection, job)  # raises Unreadable where the job cannot go on
    number = best.number if chosen is None and best is not None else chosen
    query = select(versions.c.version).where(
        versions.c.job == job.id, versions.c.trial == number, versions.c.ready
    )
    is_built = unit.connection.execute(query).first() is not None
    return job.state == JobState.SUCCEEDED and is_built


def _enqueue(unit: UnitOfWork, listed: Sequence[TrialValues], epochs: int) -> list[Trial]:
    """Add trials of these full values, before all that the oracle has yet to propose."""
    return unit.add_trials(
        [{"key": enqueued_key, "values": dict(values), "epochs": epochs} for values in listed]
    )


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


def _checked(spec: JobSpec, wanted: _Wanted) -> Sequence[TrialValues]:
    try:
        if isinstance(wanted, Mapping):
            return [spec.space.check(wanted, spec.task)]
        return spec.space.check_all(wanted, spec.task)
    except ValidationError as error:
        name = "values" if isinstance(wanted, Mapping) else "trials"
        raise ValidationError({name: error.messages}) from None
