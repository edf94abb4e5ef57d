"""Reads and writes of a worker for the job that it holds."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, select

from models.data.library.catalog import hold_datasets
from models.errors import Conflict, LeaseLost, Unreadable
from models.jobs.model import Job, JobState, Trial, TrialRef, TrialState
from models.jobs.store.events import Runs, epoch_events, runs_of
from models.jobs.store.rows import job_from_row, trial_from_row
from models.jobs.store.unit_of_work import (
    OPEN,
    UnitOfWork,
    locked,
)
from models.oracles.oracle import Proposal
from models.store.engine import Database
from models.store.tables import jobs, trials
from models.trials.spec import Failure, TrialResult
from models.trials.trainers.base import EpochReport


class HeldJob:
    """The stored job that `owner` holds by its `claim`. Not thread-safe.

    Every write is a unit of work of its own, or part of the open `batch`. It first checks that
    `owner` still holds the job, by the same claim, and raises LeaseLost otherwise; nothing is
    written then. None stands for any claim of the owner.
    """

    def __init__(self, database: Database, job: str, owner: str, claim: int | None = None) -> None:
        self._database = database
        self._job = job
        self._owner = owner
        self._claim = claim
        self._stack: ExitStack | None = None  # of the open batch
        self._unit: UnitOfWork | None = None  # of the open batch, once something was written
        self._actions: list[Callable[[], None]] = []

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Write everything inside in one transaction; after an exception nothing of it."""
        with ExitStack() as stack:
            self._stack = stack
            try:
                yield
                if self._unit is not None:
                    self._unit.flush()
                actions = self._actions
            finally:
                self._stack, self._unit, self._actions = None, None, []
        for action in actions:
            action()

    def on_commit(self, action: Callable[[], None]) -> None:
        """Do `action` once everything written so far is committed, and only then."""
        if self._stack is None:
            action()
        else:
            self._actions.append(action)

    @contextmanager
    def unit_of_work(self) -> Iterator[UnitOfWork]:
        """Open a unit of work, or join that of the open batch."""
        if self._stack is None:
            with self._open() as unit:
                yield unit
                unit.flush()
            return
        if self._unit is None:
            self._unit = self._stack.enter_context(self._open())
        yield self._unit

    @contextmanager
    def _open(self) -> Iterator[UnitOfWork]:
        with self._database.write() as connection:
            row = locked(connection, self._job)
            if row is None or row.owner != self._owner or self._claim not in (None, row.claims):
                raise LeaseLost(f"Job {self._job} is no longer held by {self._owner}.")
            yield UnitOfWork(connection, row)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """Read what the open batch has written, too."""
        if self._unit is not None:
            yield self._unit.connection
            return
        with self._database.read() as connection:
            yield connection

    # Reading

    def job(self) -> Job:
        """Return the job as it is stored."""
        with self._reading() as connection:
            query = select(jobs).where(jobs.c.id == self._job)
            return job_from_row(connection.execute(query).one())

    def trials(self, first: int = 1) -> list[Trial]:
        """Return the trials of the job from the number `first` on, in order."""
        query = (
            select(trials)
            .where(trials.c.job == self._job, trials.c.number >= first)
            .order_by(trials.c.number)
        )
        with self._reading() as connection:
            rows = connection.execute(query).all()
        return [trial_from_row(row) for row in rows]

    def trial(self, number: int) -> Trial:
        """Return one trial of the job as it is stored."""
        query = select(trials).where(trials.c.job == self._job, trials.c.number == number)
        with self._reading() as connection:
            return trial_from_row(connection.execute(query).one())

    def discarded(self) -> set[int]:
        """Return the numbers of the trials that its user has discarded."""
        query = select(trials.c.number).where(
            trials.c.job == self._job, trials.c.state == TrialState.DISCARDED
        )
        with self._reading() as connection:
            return set(connection.execute(query).scalars())

    def equal_elsewhere(self, digest: str) -> tuple[TrialRef, Trial] | None:
        """Return the first completed trial of another job that has this digest.

        One whose row cannot be read is as good as none.
        """
        query = (
            select(trials)
            .where(
                trials.c.digest == digest,
                trials.c.state == TrialState.COMPLETED,
                trials.c.job != self._job,
            )
            .order_by(trials.c.finished)
            .limit(1)
        )
        with self._reading() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        with suppress(Unreadable):
            return TrialRef(row.job, row.number), trial_from_row(row)
        return None

    def runs(self) -> dict[int, Runs]:
        """Return the curves that trials have reported since each last started."""
        with self._reading() as connection:
            return runs_of(connection, self._job)

    # Trials

    def propose(
        self, proposals: Sequence[Proposal], epochs: int, oracle_state: Mapping[str, Any]
    ) -> list[Trial]:
        """Record what the oracle proposed, together with its state after that."""
        with self.unit_of_work() as unit:
            unit.set(oracle_state=oracle_state)
            return unit.add_trials(
                [
                    {
                        "key": proposal.key,
                        "values": dict(proposal.values),
                        "epochs": proposal.epochs or epochs,
                        "initial_epoch": proposal.initial_epoch,
                        "parent": self._number_of(unit.connection, proposal.parent),
                    }
                    for proposal in proposals
                ]
            )

    def start(self, number: int) -> None:
        """Record that a trial starts to train."""
        with self.unit_of_work() as unit:
            self._move(unit, number, TrialState.RUNNING)

    def cut_off(self, number: int) -> None:
        """Record that the end of the search cut off a trial that has no result."""
        with self.unit_of_work() as unit:
            self._move(unit, number, TrialState.CANCELLED)

    def report(self, reported: Mapping[int, Sequence[EpochReport]]) -> None:
        """Record epochs of running trials, by number."""
        events = [
            event for number, reports in reported.items() for event in epoch_events(number, reports)
        ]
        with self.unit_of_work() as unit:
            unit.events += events

    def requeue(self, number: int, *, retry: bool) -> None:
        """Let a running trial wait again; `retry` counts it as tried once more."""
        retries = {"retries": trials.c.retries + 1} if retry else {}
        with self.unit_of_work() as unit:
            self._move(unit, number, TrialState.WAITING, **retries)

    def complete(
        self,
        number: int,
        result: TrialResult,
        oracle_state: Mapping[str, Any],
        seconds: float,
        digest: str | None = None,
        source: TrialRef | None = None,
    ) -> bool:
        """Record the score of a trial, perhaps of one that was stopped early.

        Returns False for a trial that its user has discarded, which gets no score.

        `seconds` is the job's searching time so far. Equal trials are found by `digest`; `source`
        is the equal trial whose result this one reuses, if any.
        """
        document = asdict(result)
        columns = {name: document.pop(name) for name in ("score", "scores", "seconds")}
        columns["violation"] = result.violation
        del document["failure"]
        target = TrialState.STOPPED if document.pop("stopped") else TrialState.COMPLETED
        with self.unit_of_work() as unit:
            if source is not None:
                self._move(unit, number, TrialState.RUNNING)
            is_scored = self._move(
                unit,
                number,
                target,
                **columns,
                trainer=result.trainer,
                result=document,
                digest=digest,
                reused_job=source and source.job,
                reused_trial=source and source.trial,
            )
            unit.set(oracle_state=oracle_state, seconds=seconds, attempts=0)
            return is_scored

    def fail(
        self,
        number: int,
        failure: Failure,
        result: TrialResult | None,
        oracle_state: Mapping[str, Any],
        seconds: float,
        *,
        is_progress: bool = True,
    ) -> None:
        """Record that a trial ended without a score; its curve is kept where there is one.

        It is no progress of the job if the trial was lost with its worker.
        """
        with self.unit_of_work() as unit:
            self._move(
                unit,
                number,
                TrialState.FAILED,
                failure_kind=str(failure.kind),
                failure_message=failure.message,
                seconds=result.seconds if result else None,
                trainer=result.trainer if result else None,
                result={"history": result.history} if result else None,
            )
            unit.set(oracle_state=oracle_state, seconds=seconds)
            if is_progress:
                unit.set(attempts=0)

    # The job

    def set_dataset(self, dataset: str) -> None:
        """Record under which id the builtin dataset is stored; NotFound if it was just deleted."""
        with self.unit_of_work() as unit:
            hold_datasets(unit.connection, [dataset])
            unit.set(dataset=dataset)

    def resume(self) -> None:
        """Record that a resumed job, which was never let go, runs again."""
        with self.unit_of_work() as unit:
            unit.change_state(JobState.RUNNING)

    def end_search(
        self,
        reason: str,
        seconds: float,
        changes: int,
        cut_off: Collection[TrialState] = OPEN,
    ) -> bool:
        """Record why the search ended, and cancel its trials in the states `cut_off`.

        Returns False, and does nothing, if the user has changed the job since it had `changes`.
        """
        with self.unit_of_work() as unit:
            if unit.changes != changes:
                return False
            unit.change_trials(TrialState.CANCELLED, source=cut_off)
            unit.set(stop_reason=reason, seconds=seconds)
            if reason == "exhausted":
                # Fewer than planned, where enqueued trials came first to what a strategy has.
                unit.set(planned_trials=unit.count_trials(but=TrialState.DISCARDED))
            return True

    def finish(
        self,
        state: JobState,
        *,
        error: str | None = None,
        version: int | None = None,
        changes: int | None = None,
        publish: Callable[[Connection], Mapping[str, Any]] | None = None,
        data_notes: Mapping[str, Any] | None = None,
    ) -> None:
        """Move the job to its final state and let it go.

        `publish` registers the winner in the same transaction and returns more notes; `data_notes`
        replace those of the job. Raises Conflict if the user has changed the job since it had
        `changes`.
        """
        with self.unit_of_work() as unit:
            if changes not in (None, unit.changes):
                raise Conflict(f"Job {self._job} was changed; it goes on.")
            if publish is not None:
                data_notes = {**(data_notes or {}), **publish(unit.connection)}
            # The job's own event is the last: whoever reads it has seen everything.
            unit.change_trials(TrialState.CANCELLED, source=OPEN)
            unit.change_state(state, version=version, error=error)
            # A job that went on keeps the version it had, unless it has a new one.
            known = {"version": version, "data_notes": data_notes}
            new = {name: value for name, value in known.items() if value is not None}
            unit.set(error=error, **new)

    def release(self, seconds: float | None = None) -> None:
        """Let the job go, after `seconds` of searching, for any worker to claim.

        Running trials wait again.
        """
        spent = {} if seconds is None else {"seconds": seconds}
        with self.unit_of_work() as unit:
            unit.change_trials(TrialState.WAITING, source=[TrialState.RUNNING])
            unit.set(owner=None, lease_until=None, attempts=0, waiting_for=None, **spent)

    def wait_for(self, what: str | None) -> None:
        """Show what the job waits for, in a sentence; None once it goes on."""
        with self.unit_of_work() as unit:
            unit.set(waiting_for=what)

    def _move(self, unit: UnitOfWork, number: int, target: TrialState, **columns: Any) -> bool:
        """Change a trial; return False for one that its user has discarded, which stays so."""
        if unit.change_trials(target, number=number, **columns) == 1:
            return True
        query = select(trials.c.state).where(trials.c.job == self._job, trials.c.number == number)
        if unit.connection.execute(query).scalar_one_or_none() != TrialState.DISCARDED:
            raise LeaseLost(f"Trial {number} of job {self._job} cannot become {target}.")
        return False

    def _number_of(self, connection: Connection, key: str | None) -> int | None:
        if key is None:
            return None
        query = select(trials.c.number).where(trials.c.job == self._job, trials.c.key == key)
        return int(connection.execute(query).scalar_one())
