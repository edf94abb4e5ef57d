"""Rows of jobs and trials as records, and their order: which trial is the best.

A row that this version cannot read raises Unreadable where something depends on it. Where rows are
only shown, a failed record with the reason stands for it, so that it does not hide the others.

The best trial is the one with the best score, the earlier of equals. A stopped trial was scored by
its best epoch, as a completed one is. Only where trials have several runs it was scored on fewer of
them, and is the best only if none completed. A trial that breaks a constraint is never the best; in
lists it comes after all that keep them, and the less it breaks, the earlier. `models.jobs.front`
has the same rule for trials in memory, and for several objectives.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from math import inf
from typing import Any, TypeVar

from sqlalchemy import (
    JSON,
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    func,
    literal,
    or_,
    select,
)

from models.errors import Unreadable
from models.jobs.budget import Spent
from models.jobs.front import front_of, kept_of
from models.jobs.model import (
    ENQUEUED_PREFIX,
    SCORED,
    Job,
    JobState,
    Outcome,
    Trial,
    TrialRef,
    TrialState,
)
from models.store.tables import jobs, trials
from models.trials.spec import FailureKind, Objective

_PLACES_AT_ONCE = 200  # trials of one query
_READ_APART = ("tags", "progress", "best_trial", "front")
_JOB_COLUMNS = [name for name in Job.__dataclass_fields__ if name not in _READ_APART]


def job_from_row(row: Row[*tuple[Any, ...]]) -> Job:
    """Return a row of `jobs` as a Job; one in an unknown state is shown as failed, with why."""
    found = dict(row._mapping)
    found["document"] = found.pop("spec")
    try:
        found["state"] = job_state(row)
    except Unreadable as error:
        found |= {"state": JobState.FAILED, "error": str(error)}
    return Job(**{name: found[name] for name in _JOB_COLUMNS})


def job_state(row: Row[Any]) -> JobState:
    """Return the state of a row of `jobs`; Unreadable for one that this version does not know."""
    if row.state not in set(JobState):
        raise Unreadable(f"job {row.id}", {"state": [f"There is no state {row.state!r}."]})
    return JobState(row.state)


def trial_from_row(row: Row[Any]) -> Trial:
    """Return a row of `trials` as a Trial; Unreadable, naming the field, if it is damaged."""
    found = dict(row._mapping)
    if fault := _fault(found):
        raise Unreadable(f"trial {row.number} of job {row.job}", fault)
    return _trial(found)


def shown_trial(row: Row[Any]) -> Trial:
    """Return a row of `trials` to be shown; a damaged one is a failed trial with the reason."""
    try:
        return trial_from_row(row)
    except Unreadable as error:
        return _trial(dict(row._mapping) | _stand_in(str(error)))


def outcome_from_row(row: Row[Any]) -> Outcome:
    """Return the columns of an Outcome; a damaged row is a failed trial without values."""
    found = dict(row._mapping)
    if _fault(found):
        found |= _stand_in("")
    columns = {field.name: found[field.name] for field in fields(Outcome)}
    state = TrialState(found["state"])
    return Outcome(**columns | {"state": state, "is_repeat": bool(found["is_repeat"])})


def _trial(found: dict[str, Any]) -> Trial:
    del found["job"], found["trainer"]
    job, number = found.pop("reused_job"), found.pop("reused_trial")
    source = None if number is None else TrialRef(job, number)
    return Trial(**found | {"state": TrialState(found["state"]), "reused_from": source})


_UNSCORED = {"score": None, "violation": None, "scores": None}


def _stand_in(message: str) -> dict[str, Any]:
    failure = {"failure_kind": FailureKind.ERROR, "failure_message": message}
    return {"state": TrialState.FAILED, "values": {}, "result": None, **_UNSCORED, **failure}


def _fault(found: Mapping[str, Any]) -> dict[str, list[str]] | None:
    """Return the messages about the first field of a trial's row that cannot be read."""
    result = found.get("result")
    for name, is_sound, rule in (
        ("state", found["state"] in set(TrialState), "is not a state of trials"),
        ("values", isinstance(found["values"], Mapping), "is not an object"),
        ("scores", isinstance(found.get("scores"), Mapping | None), "is not an object"),
        ("failure_kind", found["failure_kind"] in {None, *FailureKind}, "is not a failure"),
        ("result", result is None or isinstance(result, Mapping), "is not an object"),
        ("result.folds", _holds(result, "folds", list), "is not a list of objects"),
        ("result.history", _holds(result, "history", Mapping), "is not an object"),
        ("result.metrics", _holds(result, "metrics", Mapping), "is not an object"),
    ):
        if not is_sound:
            return {name: [f"What is stored {rule}."]}
    return None


def _holds(result: Any, name: str, kind: type) -> bool:
    """Return whether an entry of a result, if it is there, is of a kind; lists hold objects."""
    value = result.get(name) if isinstance(result, Mapping) else None
    if isinstance(value, list) and kind is list:
        return all(isinstance(item, Mapping) for item in value)
    return value is None or isinstance(value, kind)


Scored = TypeVar("Scored", Trial, Outcome)


def best_trial(connection: Connection, job: Job) -> Trial | None:
    """Return the best trial of a job; None while none has a score and keeps the constraints."""
    fronts = {job.id: front_numbers(connection, job)} if job.spec.other_objectives else {}
    return best_trials(connection, [job], fronts).get(job.id)


def best_trials(
    connection: Connection, found: Sequence[Job], fronts: Mapping[str, Sequence[int]]
) -> dict[str, Trial]:
    """Return the best trial of each job that has one, in a few queries for all of them.

    `fronts` has those of jobs with several objectives. Raises Unreadable for a job whose request
    cannot be read.
    """
    places: list[tuple[str, int]] = []
    alike: dict[tuple[Objective, bool], list[str]] = {}
    for job in found:
        if not job.spec.other_objectives:
            alike.setdefault((job.spec.objective, job.spec.runs > 1), []).append(job.id)
        elif front := fronts.get(job.id):
            places.append((job.id, front[0]))
    for (objective, has_runs), left in alike.items():
        # A trial that was stopped has fewer runs, where there are several.
        for states in [[state] for state in SCORED] if has_runs else [SCORED]:
            best = _first_of_each(connection, left, objective, states)
            places += best
            left = sorted({*left} - {job for job, _ in best})
    shown: dict[str, Trial] = {}
    for start in range(0, len(places), _PLACES_AT_ONCE):
        some = places[start : start + _PLACES_AT_ONCE]
        # SQLite would read every trial for a list of pairs.
        wanted = or_(*(and_(trials.c.job == job, trials.c.number == best) for job, best in some))
        rows = connection.execute(select(trials).where(wanted))
        shown |= {row.job: shown_trial(row) for row in rows}
    return shown


def _first_of_each(
    connection: Connection, ids: Sequence[str], objective: Objective, states: Iterable[TrialState]
) -> list[tuple[str, int]]:
    """Return the first scored trial of each job, from one place of an index for each."""
    of_job = select(trials.c.number).where(trials.c.job == jobs.c.id)
    scored = in_order(of_job, objective)[0].where(trials.c.state.in_(list(states)))
    number = scored.limit(1).correlate(jobs).scalar_subquery()
    rows = connection.execute(select(jobs.c.id, number).where(jobs.c.id.in_(ids)))
    return [(job, best) for job, best in rows if best is not None]


def front_numbers(connection: Connection, job: Job) -> list[int]:
    """Return the numbers of the trials on the front of a job, its best trial first."""
    if job.spec.other_objectives:
        return [outcome.number for outcome in front_of(job.spec, _read_scores(connection, job))]
    best = best_trial(connection, job)
    return [] if best is None else [best.number]


def kept_numbers(connection: Connection, job: Job) -> list[int]:
    """Return the numbers of the trials of a job whose weights are needed, its best trial first."""
    if not job.spec.keeps_several:
        return front_numbers(connection, job)
    return [outcome.number for outcome in kept_of(job.spec, _read_scores(connection, job))]


def spent(connection: Connection, job: str) -> Spent:
    """Count the trials of a job; those in a state that this version does not know are left out."""
    enqueued = trials.c.key.startswith(ENQUEUED_PREFIX)
    query = (
        select(enqueued, trials.c.state, func.count())
        .where(trials.c.job == job, trials.c.state.in_(list(TrialState)))
        .group_by(enqueued, trials.c.state)
    )
    rows = connection.execute(query).all()
    return Spent((bool(enqueued), TrialState(state), number) for enqueued, state, number in rows)


def read_outcomes(connection: Connection, job: Job) -> list[Outcome]:
    """Return every trial of a job by number, without its curves."""
    source = trials.alias("source")
    repeated = select(source.c.number).where(
        source.c.job == trials.c.reused_job,
        source.c.number == trials.c.reused_trial,
        source.c.state != TrialState.DISCARDED,
    )
    is_repeat = (trials.c.reused_job == trials.c.job) & repeated.exists()
    query = _outcomes_of(job, is_repeat.label("is_repeat"))
    return [outcome_from_row(row) for row in connection.execute(query)]


def _read_scores(connection: Connection, job: Job) -> list[Outcome]:
    """Return the trials that may win, without their values."""
    query = _outcomes_of(job, literal(False).label("is_repeat"), literal({}, JSON))
    fitting = query.where(trials.c.state.in_(SCORED), trials.c.violation == 0)
    return [outcome_from_row(row) for row in connection.execute(fitting)]


def _outcomes_of(
    job: Job, is_repeat: ColumnElement[bool], values: ColumnElement[Any] = trials.c["values"]
) -> Select[Any]:
    columns = [
        trials.c[item.name]
        for item in fields(Outcome)
        if item.name in trials.c and item.name != "values"
    ]
    return (
        select(*columns, values.label("values"), is_repeat)
        .where(trials.c.job == job.id)
        .order_by(trials.c.number)
    )


def ranked(objective: Objective, scored: Iterable[Scored]) -> list[Scored]:
    """Return scored trials in one state, the best first."""
    return sorted(scored, key=lambda trial: rank(objective, trial))


def rank(objective: Objective, trial: Trial | Outcome) -> tuple[float, float]:
    """Return what trials of one state are sorted by: violation, then loss."""
    return (inf if trial.violation is None else trial.violation, objective.loss(trial.score))


def in_order(
    query: Select[Any], objective: Objective, last: Trial | None = None
) -> list[Select[Any]]:
    """Split a query of trials into those that, one after another, return them the best first.

    The order is that of violation, score and number, with nulls last. With `last`, they return the
    trials that come after it. Each reads an index from its place on: a single query in this order
    would sort all trials of the job, as nulls have another place in the index of each database.
    """
    score, violation, number = trials.c.score, trials.c.violation, trials.c.number
    better = score.asc() if objective.is_minimized else score.desc()
    scored = query.where(violation == 0, score.is_not(None)).order_by(better, number)
    unscored = query.where(violation == 0, score.is_(None)).order_by(number)
    breaking = query.where(violation > 0).order_by(violation, better.nulls_last(), number)
    unknown = query.where(violation.is_(None)).order_by(number)
    if last is None:
        return [scored, unscored, breaking, unknown]
    later = number > last.number
    if last.violation is None:
        return [unknown.where(later)]
    if last.score is None:
        worse = score.is_(None) & later
    elif objective.is_minimized:
        worse = (score >= last.score) & ((score > last.score) | later)
    else:
        worse = (score <= last.score) & ((score < last.score) | later)
    if last.violation > 0:
        same = worse if last.score is None else worse | score.is_(None)
        beyond = (violation > last.violation) | ((violation == last.violation) & same)
        return [breaking.where(violation >= last.violation, beyond), unknown]
    if last.score is None:
        return [unscored.where(worse), breaking, unknown]
    return [scored.where(worse), unscored, breaking, unknown]
