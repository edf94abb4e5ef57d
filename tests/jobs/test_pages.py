"""Pages of jobs and trials, put together while others write: no row twice, and none left out."""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import event, insert

from models.jobs.model import Job, JobState, TrialState
from models.jobs.reader import JobReader
from models.store.engine import Database
from models.store.tables import jobs, now, trials
from models.trials.spec import Objective

pytestmark = pytest.mark.both_databases


def write_jobs(database: Database, *names: str, created: datetime | None = None) -> None:
    row = {"model": "m", "state": JobState.PAUSED, "spec": {}, "planned_trials": 1}
    rows = [{"id": name, "created": created or now(), **row} for name in names]
    with database.write() as connection:
        connection.execute(insert(jobs), rows)


def write_trials(database: Database, job: Job, rows: list[dict[str, Any]]) -> None:
    usual = {"state": TrialState.COMPLETED, "values": {}, "epochs": 1, "retries": 0}
    rows = [usual | {"job": job.id, "key": "k", "created": now()} | row for row in rows]
    with database.write() as connection:
        connection.execute(insert(trials), rows)


def job_pages(reader: JobReader, **filters: Any) -> Iterator[list[str]]:
    after = None
    while page := reader.page(2, after, **filters):
        yield [job.id for job in page]
        after = page[-1].id


@pytest.mark.parametrize("filters", [{}, {"state": "paused"}, {"model": "m"}])
def test_jobs_that_come_while_others_are_listed(
    database: Database, reader: JobReader, filters: dict[str, str]
) -> None:
    same_moment = datetime(2026, 11, 1, tzinfo=UTC)
    write_jobs(database, "a", "b", "c", "d", "e", created=same_moment)
    write_jobs(database, "f")
    seen: list[str] = []
    for number, page in enumerate(job_pages(reader, **filters)):
        seen += page
        write_jobs(database, f"new-{number}")
    assert seen == ["f", "e", "d", "c", "b", "a"]


@pytest.mark.parametrize("direction", ["min", "max"])
def test_trials_that_come_while_others_are_listed_by_score(
    database: Database, reader: JobReader, queued: Callable[..., Job], direction: str
) -> None:
    """Among those that break constraints, those without a score, and equals."""
    job = queued(direction=direction)
    draw = random.Random(0)
    scores = [None, 0.5, 0.5, 0.1, 0.9]
    rows = [
        {"number": number, "score": draw.choice(scores), "violation": violation}
        for number, violation in enumerate([0.0] * 9 + [0.5] * 4 + [2.0] * 4 + [None] * 3, 1)
    ]
    draw.shuffle(rows)
    write_trials(database, job, rows)

    def place(row: dict[str, Any]) -> tuple[Any, ...]:
        violation, score = row["violation"], row["score"]
        if violation is None:
            return (1, 0, 0, 0, row["number"])
        sign = 1 if direction == "min" else -1
        return (0, violation, score is None, sign * (score or 0), row["number"])

    expected = [row["number"] for row in sorted(rows, key=place)]
    assert [trial.number for trial in reader.trials(job, sort="score")] == expected
    seen: list[int] = []
    extra = 100
    while page := reader.trials(job, sort="score", limit=3, after=seen[-1] if seen else None):
        seen += [trial.number for trial in page]
        best = -1.0 if direction == "min" else 2.0  # goes before all that were seen
        write_trials(database, job, [{"number": (extra := extra + 1), "score": best}])
    assert seen == expected


def test_of_equal_trials_of_several_runs_a_completed_one_is_the_best(
    database: Database, reader: JobReader, queued: Callable[..., Job]
) -> None:
    job = queued(executions=2)
    stopped = {"state": TrialState.STOPPED, "score": 0.1, "violation": 0.0}
    write_trials(database, job, [stopped | {"number": 1}, stopped | {"number": 2, "score": 0.05}])
    found = reader.best_trial(job)
    assert found is not None
    assert found.number == 2
    write_trials(database, job, [{"number": 3, "score": 0.7, "violation": 0.0}])
    found = reader.best_trial(job)
    assert found is not None
    assert found.number == 3
    assert reader.best_trial(replace(job, id="none")) is None


def test_a_page_takes_few_queries_and_shows_what_each_job_would(
    database: Database, reader: JobReader, queued: Callable[..., Job]
) -> None:
    kinds: list[dict[str, Any]] = [{"direction": "min"}, {"direction": "max"}, {"executions": 2}]
    made = [queued(**kinds[number % 3]) for number in range(9)]
    for place, job in enumerate(made[:-1]):
        rows = [
            {"number": number, "score": (number * (place + 3)) % 7 / 7, "violation": 0.0}
            for number in range(1, 6)
        ]
        write_trials(database, job, [*rows, {"number": 6, "score": None, "violation": 0.0}])
    two = queued(other_objectives=(Objective("parameters", "min"),))
    values = [{"loss": 0.5, "parameters": 9}, {"loss": 0.5, "parameters": 3}]
    ended: list[dict[str, Any]] = [
        {"number": number, "score": each["loss"], "scores": each, "violation": 0.0}
        for number, each in enumerate(values, 1)
    ]
    write_trials(database, two, ended)
    write_jobs(database, "unreadable")
    page = reader.page(20)
    alone = {job.id: reader.with_progress(job) for job in page}
    assert [best_score(alone[job.id]) for job in made] == [
        choose((number * (place + 3)) % 7 / 7 for number in range(1, 6))
        for place, choose in enumerate([min, max, min] * 3)
        if place < 8
    ] + [None]
    assert (alone[two.id].front, best_score(alone[two.id])) == ((2,), 0.5)
    assert alone["unreadable"].best_trial is None

    sent: list[tuple[str, Any]] = []
    event.listen(database.engine, "before_cursor_execute", lambda *of: sent.append(of[2:4]))
    assert reader.all_with_progress(page) == [alone[job.id] for job in page]
    whole, before = len(sent), len(sent)
    for kind in range(3):
        reader.with_progress(made[kind])
    assert whole < len(sent) - before
    if database.engine.dialect.name == "sqlite":
        with database.read() as connection:
            for statement, parameters in sent[1:whole]:  # after BEGIN
                query = f"EXPLAIN QUERY PLAN {statement}"
                plan = str(connection.exec_driver_sql(query, parameters).all())
                assert "SCAN trials" not in plan


def best_score(job: Job) -> float | None:
    return None if job.best_trial is None else job.best_trial.score
