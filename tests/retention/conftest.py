from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import insert, update

from models.data.library.catalog import DatasetCatalog
from models.data.library.library import DatasetLibrary
from models.jobs.commands import JobCommands
from models.jobs.model import JobState
from models.retention.deletion import Deletion
from models.retention.remover import Remover
from models.settings import Settings
from models.space.schema import load_space
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.store.removals import remove_later
from models.store.tables import jobs, now, trials
from tests.tiny_versions import publish_version

MakeJob = Callable[..., str]
Publish = Callable[..., int]

REQUEST: dict[str, Any] = {
    "model": "m",
    "target": "y",
    "search_space": {"num_layers": 0},
    "strategy": "random",
    "ensemble": 1,
    "budget": {"epochs": 1, "max_trials": 2},
}
ROWS = {"records": [{"x": float(n), "y": float(n * n)} for n in range(40)]}


@pytest.fixture
def artifacts(settings: Settings) -> Artifacts:
    return Artifacts(settings.resolved_artifacts)


@pytest.fixture
def library(database: Database, artifacts: Artifacts) -> DatasetLibrary:
    return DatasetLibrary(DatasetCatalog(database), artifacts)


@pytest.fixture
def remover(database: Database, artifacts: Artifacts) -> Remover:
    return Remover(database, artifacts)


@pytest.fixture
def deletion(database: Database, artifacts: Artifacts, remover: Remover) -> Deletion:
    return Deletion(database, JobCommands(database, artifacts), remover)


@pytest.fixture
def dataset(app_client: FlaskClient) -> str:
    """A stored dataset that jobs can train on."""
    return str(app_client.post("/datasets", json=ROWS).get_json()["id"])


@pytest.fixture
def make_job(
    app_client: FlaskClient, database: Database, artifacts: Artifacts, dataset: str
) -> MakeJob:
    """Make an ended job of three trials, each with weights, of which the second is the best."""

    values_of_trial = dict(load_space({"num_layers": 0}, "mlp").check({}))

    def make(
        state: str = JobState.SUCCEEDED, finished: datetime | None = None, **request: Any
    ) -> str:
        body = REQUEST | {"dataset": dataset} | request
        job = str(app_client.post("/tune", json=body).get_json()["id"])
        values = {"state": state, "finished": finished or now(), "stop_reason": "max_trials"}
        with database.write() as connection:
            connection.execute(update(jobs).where(jobs.c.id == job).values(values))
            for number, score in enumerate((0.5, 0.1, 0.3), 1):
                row = {"job": job, "number": number, "key": str(number), "state": "completed"}
                row |= {"values": values_of_trial, "epochs": 1, "created": now(), "score": score}
                connection.execute(insert(trials).values(row))
                artifacts.write(f"jobs/{job}/trials/{number}/weights-0-0.npz", b"w" * number)
            remove_later(connection, [f"jobs/{job}"])
        return job

    return make


@pytest.fixture
def publish(database: Database, artifacts: Artifacts) -> Publish:
    """Publish the next version of a model, which answers its number plus twice the input."""

    def publish_next(model: str = "m", job: str | None = None) -> int:
        return publish_version(database, artifacts, model, job=job)

    return publish_next
