"""Lists of jobs and trials over HTTP, in a database of many."""

import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httpx
import psutil
from sqlalchemy import delete, insert, select, text

from api.app import create_app
from benchmarks.scale.overhead import REQUEST
from models.jobs.model import JobState, TrialState
from models.settings import Settings
from models.store.engine import Database
from models.store.migrate import migrate
from models.store.tables import jobs, now
from models.store.tables import trials as trials_table

ROUNDS = 25
BIG = "job_0000000"  # has a tenth of all trials
_EPOCHS = 10
_STATES = (JobState.SUCCEEDED,) * 7 + (JobState.FAILED, JobState.CANCELLED, JobState.QUEUED)

_SERIES = {
    True: "SELECT n FROM generate_series(1, {count}) AS series(n)",
    False: "WITH RECURSIVE series(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series"
    " WHERE n < {count}) SELECT n FROM series",
}
_TRIALS = """
INSERT INTO trials (job, number, key, state, "values", epochs, initial_epoch, score, result,
                    retries, seconds, trainer, violation, created, finished)
SELECT jobs.id, numbers.n, 'random-' || numbers.n,
       CASE WHEN numbers.n % 50 = 7 THEN 'failed' WHEN numbers.n % 9 = 1 THEN 'stopped'
            ELSE 'completed' END,
       '{values}', {epochs}, 0,
       CASE WHEN numbers.n % 50 = 7 THEN NULL
            ELSE (numbers.n * 7919 % 100003) / 100003.0 END,
       '{result}', 0, 0.2, 'numpy', 0, jobs.created, jobs.created
FROM jobs, ({series}) AS numbers WHERE {of}
"""


@dataclass(frozen=True, slots=True)
class Listed:
    """One call, again and again on one connection."""

    call: str
    median: float  # milliseconds
    worst: float
    processor: float  # milliseconds of the API and the database, the mean
    ratio: float  # median to that of `GET /healthz` in the same run


def fill(url: str, count: int, trials: int) -> None:
    """Write `count` jobs with `trials` trials in all, a tenth of them in the first job."""
    with closing(Database(url)) as database:
        migrate(database)
        spec = _decided(url, database)
        rows = [
            {
                "id": f"job_{number:07}",
                "model": f"m{number % 100}",
                "state": _STATES[number % len(_STATES)] if number else JobState.SUCCEEDED,
                "spec": spec,
                "planned_trials": trials // count,
                "created": now(),
                "last_event": 1,
            }
            for number in range(count)
        ]
        with database.write() as connection:
            connection.execute(insert(jobs), rows)
        curve = [round(1 / (epoch + 1), 4) for epoch in range(_EPOCHS)]
        curves = {"history": {"loss": curve, "val_loss": curve}, "metrics": {"loss": 0.05}}
        # An index is built from sorted rows much sooner than row by row.
        with database.write() as connection:
            for index in trials_table.indexes:
                index.drop(connection)
        few = max(1, (trials - trials // 10) // max(1, count - 1))
        for number, of in ((trials // 10, f"jobs.id = '{BIG}'"), (few, f"jobs.id <> '{BIG}'")):
            statement = _TRIALS.format(
                values=json.dumps({"num_layers": 3, "units": 128, "learning_rate": 0.001}),
                result=json.dumps(curves),
                epochs=_EPOCHS,
                series=_SERIES[database.is_postgresql].format(count=number),
                of=of,
            )
            with database.write() as connection:
                if database.is_postgresql:
                    connection.execute(text("SET LOCAL statement_timeout = 0"))
                    statement = statement.replace("%", "%%")
                connection.exec_driver_sql(statement)
        with database.write() as connection:
            if database.is_postgresql:
                connection.execute(text("SET LOCAL statement_timeout = 0"))
            for index in trials_table.indexes:
                index.create(connection)
            connection.exec_driver_sql("ANALYZE")


def _decided(url: str, database: Database) -> Any:
    """Return the stored request of a job that was asked for, and remove the job."""
    with tempfile.TemporaryDirectory() as folder:
        client = create_app(Settings(data=folder, database_url=url)).test_client()
        answer = client.post("/tune", json=REQUEST | {"budget": {"max_trials": 100}})
    if answer.status_code != HTTPStatus.ACCEPTED:
        raise RuntimeError(answer.text)
    with database.write() as connection:
        spec = connection.execute(select(jobs.c.spec)).scalar_one()
        connection.execute(delete(jobs))
    return spec


def calls(client: httpx.Client) -> Iterator[tuple[str, str]]:
    """Name and path of each list: first pages, and pages from the middle of the list on."""
    middle = "job_0005000"
    last = (
        client.get(f"/tune/{BIG}/trials?sort=score")
        .raise_for_status()
        .json()["items"][-1]["number"]
    )
    yield "GET /healthz", "/healthz"
    yield "GET /tune", "/tune"
    yield "GET /tune, from the middle", f"/tune?after={middle}"
    yield "GET /tune?state=queued", "/tune?state=queued"
    yield "GET /tune?state=succeeded, from the middle", f"/tune?state=succeeded&after={middle}"
    yield "GET /tune?model=m7", "/tune?model=m7"
    yield "GET /tune/{id}", f"/tune/{BIG}"
    trials = f"/tune/{BIG}/trials"
    yield "GET /tune/{id}/trials", trials
    yield "… from the middle", f"{trials}?after=50000"
    yield "… ?state=failed", f"{trials}?state=failed"
    yield "… ?sort=score", f"{trials}?sort=score"
    yield "… ?sort=score, the second page", f"{trials}?sort=score&after={last}"
    yield "… ?sort=score, from the middle", f"{trials}?sort=score&after=50000"
    yield "… ?sort=score&state=completed", f"{trials}?sort=score&state={TrialState.COMPLETED}"


def measure(url: str, processes: Sequence[psutil.Process]) -> list[Listed]:
    """Ask the API at `url`, whose database is filled; `processes` are its own and the server's."""
    found: list[Listed] = []
    floor = 1.0
    with httpx.Client(base_url=url, timeout=120.0) as client:
        for name, path in calls(client):
            client.get(path).raise_for_status()
            times = []
            before = cpu_seconds(processes)
            for _ in range(ROUNDS):
                started = time.perf_counter()
                client.get(path).raise_for_status()
                times.append(1000 * (time.perf_counter() - started))
            middle = statistics.median(times)
            floor = middle if name == "GET /healthz" else floor
            processor = 1000 * (cpu_seconds(processes) - before) / ROUNDS
            found.append(Listed(name, middle, max(times), processor, middle / floor))
    return found


def cpu_seconds(processes: Sequence[psutil.Process]) -> float:
    """Return the CPU time of processes and of all that they started and that still runs."""
    total = 0.0
    for outer in processes:
        for process in (outer, *outer.children(recursive=True)):
            times = process.cpu_times()
            total += times.user + times.system
    return total
