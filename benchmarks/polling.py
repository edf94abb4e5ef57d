"""What a look at a job costs the database when the job has many trials.

`python -m benchmarks.polling` writes a job of `--trials` trials with curves of `--epochs` epochs.
It prints the milliseconds of the processor that the parts of `GET /tune/{id}` and its neighbours
take, and how SQLite finds their rows.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection, event, insert, text, update

from models.jobs.commands import JobCommands
from models.jobs.model import Job, JobState, TrialState
from models.jobs.reader import JobReader
from models.jobs.schema.spec import JobSpecSchema
from models.jobs.store.events import EventFeed
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.store.migrate import migrate
from models.store.tables import jobs, now, trials

ROUNDS = 20


def fill(database: Database, job: Job, count: int, epochs: int) -> None:
    """Write completed trials, and two that run."""
    draw = random.Random(1)
    curve = [draw.random() for _ in range(epochs)]
    result = {"history": {"loss": curve, "val_loss": curve}, "metrics": {"loss": 1.0}}
    rows = [
        {
            "job": job.id,
            "number": number,
            "key": f"random-{number}",
            "state": TrialState.COMPLETED if number < count - 1 else TrialState.RUNNING,
            "values": {"num_layers": 3, "units": 128, "learning_rate": 0.001},
            "epochs": epochs,
            "retries": 0,
            "score": draw.random() if number < count - 1 else None,
            "seconds": 0.2 if number < count - 1 else None,
            "result": result if number < count - 1 else None,
            "created": now(),
        }
        for number in range(1, count + 1)
    ]
    with database.write() as connection:
        connection.execute(insert(trials), rows)
        connection.execute(update(jobs).values(state=JobState.RUNNING))


@contextmanager
def statements(database: Database) -> Iterator[list[tuple[str, Any]]]:
    """The SQL that is run inside, with its parameters."""
    seen: list[tuple[str, Any]] = []

    def note(
        connection: Connection, cursor: Any, statement: str, parameters: Any, *rest: Any
    ) -> None:
        seen.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(database.engine, "before_cursor_execute", note)


def access(database: Database, question: Callable[[], object]) -> str:
    """How SQLite finds the rows of each statement of a question."""
    with statements(database) as seen:
        question()
    with database.engine.connect() as connection:
        plans = [
            connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", parameters).all()
            for sql, parameters in seen
        ]
    return "; ".join(", ".join(row.detail for row in plan) for plan in plans)


def milliseconds(question: Callable[[], object]) -> float:
    """The median of some rounds."""
    times = []
    for _ in range(ROUNDS):
        started = time.process_time()
        question()
        times.append(1000 * (time.process_time() - started))
    return statistics.median(times)


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--trials", type=int, default=10_000)
    options.add_argument("--epochs", type=int, default=50)
    chosen = options.parse_args()
    table = Table(title=f"{chosen.trials} trials of {chosen.epochs} epochs")
    for heading in ("question", "ms", "rows are found by"):
        table.add_column(heading)
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/luthier.db")
        migrate(database)
        request = {
            "model": "m",
            "dataset": "builtin:iris",
            "target": "target",
            "task": "multiclass",
        }
        spec = JobSpecSchema().load(request | {"strategy": "random"})
        job = JobCommands(database, Artifacts(folder)).create(spec, chosen.trials)
        fill(database, job, chosen.trials, chosen.epochs)
        queries, feed = JobReader(database), EventFeed(database)
        questions: dict[str, Callable[[], object]] = {
            "the job": lambda: queries.get(job.id),
            "progress": lambda: queries.with_progress(job),
            "the best trial": lambda: queries.best_trial(job),
            "the first page of trials": lambda: queries.trials(job),
            "the first page by score": lambda: queries.trials(job, sort="score"),
            "running trials": lambda: queries.trials(job, states=[TrialState.RUNNING]),
            "new events": lambda: feed.after(job.id, 1),
        }
        for name, question in questions.items():
            table.add_row(name, f"{milliseconds(question):.2f}", access(database, question))
        with database.read() as connection:
            version = connection.execute(text("SELECT sqlite_version()")).scalar_one()
        database.close()
    Console(width=160).print(table)
    Console().print(f"SQLite {version}, processor time, median of {ROUNDS}")


if __name__ == "__main__":
    sys.exit(main())
