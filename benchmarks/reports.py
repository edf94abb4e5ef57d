"""How long the report and the importance of a large job take, the first time and the second.

`python -m benchmarks.reports` writes a job of `--trials` trials with curves of `--epochs` epochs.
It prints the processor seconds of two equal requests to one process of the API, and the first
divided by the second. A small job is asked for before: the imports of a process are no part of it.
"""

import argparse
import random
import sys
import tempfile
import time
from typing import Any

from flask.testing import FlaskClient
from rich.console import Console
from rich.table import Table
from sqlalchemy import insert, update

from api.app import create_app
from models.jobs.model import JobState, TrialState
from models.settings import Settings
from models.store.engine import Database
from models.store.migrate import migrate
from models.store.tables import jobs, now, trials

REQUESTS = ("importance", "report?format=png", "trials", "trials?limit=1000&history=false")
SMALL = 40  # trials of the job that is asked for first


def fill(client: FlaskClient, database: Database, count: int, epochs: int) -> str:
    """Write an ended job of `count` trials with lists of values; return its id."""
    draw = random.Random(1)
    curve = [draw.random() for _ in range(epochs)]
    result = {
        "history": {"loss": curve, "val_loss": curve},
        "metrics": {"loss": 1.0},
        "epochs": epochs,
        "best_epoch": epochs,
        "spread": 0.0,
        "overfit": False,
        "parameters": 1000,
    }
    request = {"model": "m", "dataset": "builtin:iris", "target": "target"}
    budget = {"max_trials": count, "epochs": epochs}
    job = client.post("/tune", json=request | {"budget": budget}).get_json()["id"]
    rows = [
        {
            "job": job,
            "number": number,
            "key": f"random-{number}",
            "state": TrialState.COMPLETED,
            "values": _values(draw),
            "epochs": epochs,
            "retries": 0,
            "score": draw.random(),
            "seconds": 0.2,
            "result": result,
            "created": now(),
            "started": now(),
            "finished": now(),
        }
        for number in range(1, count + 1)
    ]
    with database.write() as connection:
        connection.execute(insert(trials), rows)
        ended = {"state": JobState.SUCCEEDED, "finished": now()}
        connection.execute(update(jobs).where(jobs.c.id == job).values(ended))
    return str(job)


def _values(draw: random.Random) -> dict[str, Any]:
    layers = draw.randint(2, 5)
    return {
        "num_layers": layers,
        "units": [draw.randrange(64, 512, 32) for _ in range(layers)],
        "activation": draw.choice(["selu", "relu"]),
        "dropout": round(draw.random() / 2, 1),
        "optimizer": draw.choice(["adam", "sgd", "rmsprop"]),
        "learning_rate": 10 ** draw.uniform(-4, -2),
        "batch_size": draw.choice([32, 64, 128]),
    }


def seconds_of(client: FlaskClient, path: str) -> float:
    """Return how long a request takes."""
    headers = {"Accept": "text/csv"} if path.endswith("trials") else {}
    started = time.process_time()
    response = client.get(path, headers=headers, buffered=True)
    seconds = time.process_time() - started
    assert response.status_code == 200, response.get_json()
    return seconds


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--trials", type=int, default=4000)
    options.add_argument("--epochs", type=int, default=50)
    found = options.parse_args()
    table = Table("request", "first (CPU s)", "second (CPU s)", "first / second")
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data=folder)
        database = Database(settings.resolved_database_url)
        migrate(database)
        client = create_app(settings).test_client()
        small, job = (fill(client, database, n, found.epochs) for n in (SMALL, found.trials))
        for request in REQUESTS:
            seconds_of(client, f"/tune/{small}/{request}")
        for request in REQUESTS:
            first, second = (seconds_of(client, f"/tune/{job}/{request}") for _ in range(2))
            table.add_row(request, f"{first:.2f}", f"{second:.3f}", f"{first / second:.1f}")
        database.close()
    Console(file=sys.stdout, width=100).print(table)


if __name__ == "__main__":
    main()
