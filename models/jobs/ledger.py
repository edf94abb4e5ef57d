"""What a worker writes about the job it holds, each change whole and only while it holds it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from models.errors import Conflict, LeaseLost
from models.jobs.events import (
    Runs,
    epoch_events,
    record,
    runs_of,
    state_event,
    trial_event,
)
from models.jobs.interrupted import let_wait
from models.jobs.lifecycle import JobState, TrialState, check_job_transition, sources_of
from models.jobs.records import Job, Trial, TrialRef, job_from_row, trial_from_row
from models.jobs.requests import cancel_open_trials
from models.jobs.writing import JobWriter, Page
from models.oracles.oracle import Proposal
from models.store.tables import jobs, now, trials
from models.trials.spec import Failure, TrialResult
from models.trials.trainers.base import EpochReport


class Ledger(JobWriter):
    """Reads and writes the job that `owner` holds.

    All writing methods raise LeaseLost if it no longer does; nothing is written then.
    """

    def trials(self, first: int = 1) -> list[Trial]:
        """The trials of the job from the number `first` on, in order."""
        query = (
            select(trials)
            .where(trials.c.job == self._job, trials.c.number >= first)
            .order_by(trials.c.number)
        )
        with self._reading() as connection:
            return [trial_from_row(row) for row in connection.execute(query)]

    def job(self) -> Job:
        """The job, as it is stored."""
        with self._reading() as connection:
            query = select(jobs).where(jobs.c.id == self._job)
            return job_from_row(connection.execute(query).one())

    def equal_elsewhere(self, digest: str) -> tuple[TrialRef, Trial] | None:
        """The first trial of another job that was completed with this digest."""
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
        return None if row is None else (TrialRef(row.job, row.number), trial_from_row(row))

    def trial(self, number: int) -> Trial:
        """One trial of the job, as it is stored."""
        query = select(trials).where(trials.c.job == self._job, trials.c.number == number)
        with self._reading() as connection:
            return trial_from_row(connection.execute(query).one())

    def propose(
        self, proposals: Sequence[Proposal], epochs: int, oracle_state: dict[str, Any]
    ) -> list[Trial]:
        """Record what the oracle asked for, together with its state after asking."""
        with self._writing() as page:
            connection = page.connection
            last = connection.execute(
                select(func.coalesce(func.max(trials.c.number), 0)).where(trials.c.job == self._job)
            ).scalar_one()
            rows: list[dict[str, Any]] = [
                {
                    "job": self._job,
                    "number": number,
                    "key": proposal.key,
                    "state": TrialState.WAITING,
                    "values": dict(proposal.values),
                    "epochs": proposal.epochs or epochs,
                    "initial_epoch": proposal.initial_epoch,
                    "parent": self._number_of(connection, proposal.parent),
                    "retries": 0,
                    "created": now(),
                }
                for number, proposal in enumerate(proposals, last + 1)
            ]
            created = insert(trials).returning(trials, sort_by_parameter_order=True)
            found = connection.execute(created, rows).all()
            page.events += [
                trial_event(row["number"], TrialState.WAITING, values=row["values"]) for row in rows
            ]
            page.columns["oracle_state"] = oracle_state
            return [trial_from_row(row) for row in found]

    def start(self, number: int) -> None:
        """A trial begins to train."""
        with self._writing() as page:
            self._move(page, number, TrialState.RUNNING, started=now())

    def report(self, told: Mapping[int, Sequence[EpochReport]]) -> None:
        """Running trials have trained some epochs more."""
        happened = [event for number in told for event in epoch_events(number, told[number])]
        with self._writing() as page:
            page.events += happened

    def runs(self) -> dict[int, Runs]:
        """The curves that trials have reported, each since it last began."""
        with self._reading() as connection:
            return runs_of(connection, self._job)

    def hand_back(self, number: int, *, retry: bool) -> None:
        """A trial that was running waits again; `retry` counts it as tried once more."""
        with self._writing() as page:
            retries = {"retries": trials.c.retries + 1} if retry else {}
            self._move(page, number, TrialState.WAITING, started=None, **retries)

    def complete(
        self,
        number: int,
        result: TrialResult,
        oracle_state: dict[str, Any],
        seconds: float,
        digest: str | None = None,
        source: TrialRef | None = None,
    ) -> None:
        """A trial was scored, perhaps after it was stopped.

        `seconds` is the job's searching time so far. `digest` lets equal trials find it; `source`
        is the equal one that answered it, if any.
        """
        document = asdict(result)
        score = document.pop("score")
        spent = document.pop("seconds")
        del document["failure"]
        is_stopped = document.pop("stopped")
        with self._writing() as page:
            if source is not None:
                self._move(page, number, TrialState.RUNNING, started=now())
            self._move(
                page,
                number,
                TrialState.STOPPED if is_stopped else TrialState.COMPLETED,
                score=score,
                seconds=spent,
                trainer=result.trainer,
                result=document,
                digest=digest,
                reused_job=source and source.job,
                reused_trial=source and source.trial,
                finished=now(),
            )
            page.columns |= {"oracle_state": oracle_state, "seconds": seconds}

    def fail(
        self,
        number: int,
        failure: Failure,
        result: TrialResult | None,
        oracle_state: dict[str, Any],
        seconds: float,
    ) -> None:
        """A trial ended without a score; its curve is kept where there is one."""
        document = asdict(result) if result else {}
        with self._writing() as page:
            self._move(
                page,
                number,
                TrialState.FAILED,
                failure_kind=str(failure.kind),
                failure_message=failure.message,
                seconds=document.get("seconds"),
                trainer=document.get("trainer"),
                result={"history": document["history"]} if document else None,
                finished=now(),
            )
            page.columns |= {"oracle_state": oracle_state, "seconds": seconds}

    def set_dataset(self, dataset: str) -> None:
        """The builtin dataset was loaded and stored under this id."""
        with self.transaction() as connection:
            self._update_job(connection, dataset=dataset)

    def set_forecast(self, forecast: dict[str, Any]) -> None:
        """What the job will take was reckoned."""
        with self.transaction() as connection:
            self._update_job(connection, forecast=forecast)

    def most_memory(self) -> int | None:
        """Bytes that the largest trial process took; None where every result was taken over."""
        taken = func.max(trials.c.result["memory_bytes"].as_integer())
        query = select(taken).where(trials.c.job == self._job, trials.c.reused_trial.is_(None))
        with self._database.read() as connection:
            return connection.execute(query).scalar_one() or None

    def set_state(self, target: JobState) -> None:
        """Move the job on without ending it."""
        with self.transaction() as connection:
            self._change_state(connection, target)

    def end_search(self, reason: str, seconds: float, changes: int) -> bool:
        """No more trials will be trained; the ones still open are cancelled.

        False, and nothing is done, if the user has changed the job since it had `changes`.
        """
        with self.transaction() as connection:
            if self._changes(connection) != changes:
                return False
            cancel_open_trials(connection, self._job)
            self._update_job(connection, stop_reason=reason, seconds=seconds)
            if reason == "exhausted":
                # Fewer than planned, where given trials came first to what a strategy has.
                count = select(func.count()).where(trials.c.job == self._job)
                total = connection.execute(count).scalar_one()
                self._update_job(connection, planned_trials=total)
            return True

    def finish(
        self,
        state: JobState,
        *,
        error: str | None = None,
        version: int | None = None,
        changes: int | None = None,
        actual: dict[str, Any] | None = None,
        connection: Connection | None = None,
    ) -> None:
        """The job has reached its final state, and is let go.

        A given `connection` makes this part of the transaction that registers the winner. Raises
        Conflict if the user has changed the job since it had `changes`.
        """
        if connection is None:
            with self.transaction() as own:
                self.finish(state, error=error, version=version, changes=changes, connection=own)
            return
        if changes not in (None, self._changes(connection)):
            raise Conflict(f"Job {self._job} was changed; it goes on.")
        # The job's own event is the last: whoever reads it has seen everything.
        cancel_open_trials(connection, self._job)
        self._change_state(connection, state, version=version, error=error)
        # A job that went on keeps the version it had, unless it has a new one.
        registered = {} if version is None else {"version": version, "actual": actual}
        self._update_job(
            connection, error=error, finished=now(), owner=None, lease_until=None, **registered
        )

    def release(self, seconds: float) -> None:
        """Let the job go as it is, after `seconds` of searching, for any worker to take up.

        What was running waits again.
        """
        with self.transaction() as connection:
            let_wait(connection, self._job)
            self._update_job(connection, owner=None, lease_until=None, seconds=seconds)

    def _changes(self, connection: Connection) -> int:
        query = select(jobs.c.changes).where(jobs.c.id == self._job)
        return int(connection.execute(query).scalar_one())

    def _update_job(self, connection: Connection, **values: Any) -> None:
        connection.execute(update(jobs).where(jobs.c.id == self._job).values(values))

    def _change_state(self, connection: Connection, target: JobState, **details: Any) -> None:
        query = select(jobs.c.state).where(jobs.c.id == self._job)
        current = JobState(connection.execute(query).scalar_one())
        check_job_transition(self._job, current, target)
        self._update_job(connection, state=target)
        record(connection, self._job, [state_event(target, **details)])

    def _move(self, page: Page, number: int, target: TrialState, **values: Any) -> None:
        moved = page.connection.execute(
            update(trials)
            .where(
                trials.c.job == self._job,
                trials.c.number == number,
                trials.c.state.in_(sources_of(target)),
            )
            .values(state=target, **values)
        )
        if moved.rowcount != 1:
            raise LeaseLost(f"Trial {number} of job {self._job} cannot become {target}.")
        page.events.append(trial_event(number, target, **_told(values)))

    def _number_of(self, connection: Connection, key: str | None) -> int | None:
        if key is None:
            return None
        query = select(trials.c.number).where(trials.c.job == self._job, trials.c.key == key)
        return int(connection.execute(query).scalar_one())


def _told(values: Mapping[str, Any]) -> dict[str, Any]:
    """What an event tells of a trial's new row; the rest is asked for by the trial's number."""
    told = {name: values[name] for name in ("score", "seconds") if name in values}
    if values.get("reused_trial"):
        told["reused_from"] = {"job": values["reused_job"], "trial": values["reused_trial"]}
    if "failure_kind" in values:
        told["failure"] = {"kind": values["failure_kind"], "message": values["failure_message"]}
    return told
