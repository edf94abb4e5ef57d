"""Events of a job, in order: written with the rows that changed, read by any process."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from models.jobs.model import JobState, TrialState
from models.store.changes import Channel, notify
from models.store.engine import Database
from models.store.tables import events, jobs
from models.trials.trainers.base import EpochReport, mean_history

_FINAL = frozenset(state for state in JobState if state.is_final)
_SET_BY_WORKERS = {JobState.RUNNING, *_FINAL}
Runs = dict[tuple[int, int], dict[str, list[float | None]]]  # by fold and execution, then name


class EventKind(StrEnum):
    """The kinds of events."""

    STATE = "state"  # the job is in another state
    TRIAL = "trial"  # a trial was created, has begun, has ended, or waits again
    EPOCH = "epoch"  # a running trial has trained some epochs more


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event that is about to be written."""

    kind: EventKind
    data: Mapping[str, Any]
    trial: int | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One row of `events`."""

    id: int  # from 1 in each job; `compact` leaves gaps
    kind: str  # an EventKind, or one that a newer version writes
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class News:
    """Events of a job that a reader has not seen."""

    events: list[Event]
    is_all: bool  # nothing is to come any more


def record(
    connection: Connection,
    job: str,
    happened: Sequence[NewEvent],
    columns: Mapping[str, Any] | None = None,
) -> None:
    """Write events in the transaction of the rows that they tell of.

    Their ids are taken from a counter in the job's row, which stays locked until the transaction
    ends: no reader sees an event before one with a smaller id. `columns` of that row are written
    along.
    """
    values: dict[str, Any] = dict(columns or {})
    if happened:
        values["last_event"] = jobs.c.last_event + len(happened)
    if not values:
        return
    if _concerns_workers(happened, values):
        notify(connection, Channel.JOBS)
    changed = update(jobs).where(jobs.c.id == job).values(values).returning(jobs.c.last_event)
    last = connection.execute(changed).scalar_one()
    if not happened:
        return
    first = last - len(happened) + 1
    rows = [
        {
            "job": job,
            "id": number,
            "kind": event.kind,
            "trial": event.trial,
            "data": dict(event.data),
        }
        for number, event in enumerate(happened, start=first)
    ]
    connection.execute(insert(events), rows)


def _concerns_workers(happened: Sequence[NewEvent], columns: Mapping[str, Any]) -> bool:
    """Whether a job waits for a worker now, or wants something else of the one that holds it."""
    is_steered = "changes" in columns
    is_let_go = columns.get("owner", "") is None and columns.get("state") not in _FINAL
    states = {event.data["state"] for event in happened if event.kind == EventKind.STATE}
    return is_steered or is_let_go or not states <= _SET_BY_WORKERS


def state_event(state: JobState, **details: Any) -> NewEvent:
    """The job is now in `state`."""
    return NewEvent(EventKind.STATE, {"state": state, **details})


def trial_event(trial: int, state: TrialState, **details: Any) -> NewEvent:
    """A trial is now in `state`."""
    return NewEvent(EventKind.TRIAL, {"trial": trial, "state": state, **details}, trial)


def epoch_events(trial: int, reports: Sequence[EpochReport]) -> list[NewEvent]:
    """One event for all new epochs of each run of a trial."""

    def run(report: EpochReport) -> tuple[int, int]:
        return report.fold, report.execution

    # Runs that are trained at once take turns in telling their epochs.
    by_run = groupby(sorted(reports, key=run), key=run)
    return [_epoch_event(trial, list(together)) for _, together in by_run]


def _epoch_event(trial: int, reports: Sequence[EpochReport]) -> NewEvent:
    last = reports[-1]
    data = {
        "trial": trial,
        "fold": last.fold,
        "execution": last.execution,
        "first_epoch": reports[0].epoch,
        "epoch": last.epoch,
        "history": {name: [each.logs[name] for each in reports] for name in last.logs},
    }
    return NewEvent(EventKind.EPOCH, data, trial)


def compact(connection: Connection, job: str, document: Any, kinds: Collection[EventKind]) -> None:
    """Remove events of the given kinds from an ended job, whose row must be locked.

    `document` is its stored request. The curves of epochs are in the results of the trials, as the
    mean of their runs. Where a pruning rule compares single runs, they are kept: the job may go on.
    """
    removed = delete(events).where(events.c.job == job, events.c.kind.in_(list(kinds)))
    if _compares_runs(document):
        removed = removed.where(events.c.kind != EventKind.EPOCH)
    connection.execute(removed)


def _compares_runs(document: Any) -> bool:
    """Whether a request has a pruning rule and trials of several runs."""
    if not isinstance(document, Mapping) or document.get("pruning") is None:
        return False
    evaluation = document.get("evaluation")
    method = evaluation.get("method") if isinstance(evaluation, Mapping) else None
    return method == "cv" or document.get("executions_per_trial", 1) != 1


class EventFeed:
    """Reads events; each method is one short transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def after(self, job: str, seen: int, limit: int = 500) -> News:
        """Up to `limit` events of a job with ids above `seen`, in order; none if it is deleted."""
        of_job = select(jobs.c.state, jobs.c.last_event).where(jobs.c.id == job)
        newer = (
            select(events.c.id, events.c.kind, events.c.data)
            .where(events.c.job == job, events.c.id > seen)
            .order_by(events.c.id)
            .limit(limit)
        )
        with self._database.read() as connection:
            row = connection.execute(of_job).one_or_none()
            if row is None:
                return News([], is_all=True)
            found = []
            if row.last_event > seen:
                rows = connection.execute(newer).all()
                found = [Event(event.id, event.kind, event.data) for event in rows]
        # Both queries see one moment; the last event may have been removed after the job's end.
        last = found[-1].id if found else seen
        is_all = last >= row.last_event or len(found) < limit
        return News(found, is_all=row.state in _FINAL and is_all)

    def history(self, job: str, trial: int) -> dict[str, list[float | None]] | None:
        """The curves of a trial as far as it has come, the mean of its runs; None before any."""
        with self._database.read() as connection:
            runs = runs_of(connection, job, trial).get(trial)
        return mean_history(list(runs.values())) if runs else None


def runs_of(connection: Connection, job: str, trial: int | None = None) -> dict[int, Runs]:
    """The curves of every trial of a job, or of one, since it last began."""
    query = (
        select(events.c.kind, events.c.trial, events.c.data)
        .where(events.c.job == job, events.c.kind != EventKind.STATE)
        .order_by(events.c.id)
    )
    if trial is not None:
        query = query.where(events.c.trial == trial)
    found: dict[int, Runs] = {}
    for row in connection.execute(query).all():
        if row.kind == EventKind.EPOCH:
            place = (row.data["fold"], row.data["execution"])
            run = found.setdefault(row.trial, {}).setdefault(place, {})
            for name, figures in row.data["history"].items():
                run.setdefault(name, []).extend(figures)
        elif row.data["state"] == TrialState.RUNNING:
            found[row.trial] = {}
    return found
