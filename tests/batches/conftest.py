import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.test import TestResponse

from models.batches.catalog import BatchCatalog
from models.batches.model import Batch, dump_spec
from models.batches.queue import BatchQueue, HeldBatch
from models.batches.run import BatchRun
from models.registry.catalog.catalog import ModelCatalog
from models.registry.files import VersionFiles
from models.serving.engine import PredictionEngine
from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.store.tables import batches
from tests.tiny_versions import publish_version

LEASE = 3600.0  # seconds
ROWS = 25  # of the usual dataset: three pieces of ten rows, the last of five


@pytest.fixture
def artifacts(settings: Settings) -> Artifacts:
    return Artifacts(settings.resolved_artifacts)


@pytest.fixture
def catalog(database: Database) -> BatchCatalog:
    return BatchCatalog(database)


@pytest.fixture
def model(database: Database, artifacts: Artifacts) -> str:
    """A model whose version 1 answers twice `x` plus 1."""
    publish_version(database, artifacts)
    return "m"


@pytest.fixture
def dataset(app_client: FlaskClient) -> str:
    return store(app_client, [{"id": f"n{n:03}", "x": n / 2} for n in range(ROWS)])


@pytest.fixture
def queue_batch(
    app_client: FlaskClient, database: Database, model: str, dataset: str
) -> Callable[..., str]:
    """Queue a batch of pieces of ten rows; answer its id."""

    def make(**request: Any) -> str:
        response = app_client.post(f"/models/{model}/batch", json={"dataset": dataset} | request)
        assert response.status_code == 202, response.text
        batch = str(response.get_json()["id"])
        in_pieces(database, batch, 10)
        return batch

    return make


def store(client: FlaskClient, records: list[dict[str, Any]], **options: Any) -> str:
    response = client.post("/datasets", json={"records": records, **options})
    assert response.status_code == 201, response.text
    return str(response.get_json()["id"])


def in_pieces(database: Database, batch: str, rows: int) -> None:
    """Let a queued batch be predicted so many rows at a time."""
    spec = replace(BatchCatalog(database).get(batch).spec, piece_rows=rows)
    with database.write() as connection:
        change = update(batches).where(batches.c.id == batch)
        connection.execute(change.values(spec=dump_spec(spec)))


def claimed(database: Database, owner: str = "a-worker") -> HeldBatch:
    held = BatchQueue(database, owner, LEASE).claim()
    assert held is not None
    return held


def run_of(held: HeldBatch, database: Database, artifacts: Artifacts) -> BatchRun:
    files = VersionFiles(artifacts, ModelCatalog(database).files)
    return BatchRun(held, artifacts, PredictionEngine(files, 1))


@pytest.fixture
def work(database: Database, artifacts: Artifacts) -> Callable[[], Batch]:
    """Claim a batch and work on it to its end, in this process."""

    def carry_out() -> Batch:
        held = claimed(database)
        for _ in run_of(held, database, artifacts).steps():
            pass
        return BatchCatalog(database).get(held.id)

    return carry_out


def table_of(response: TestResponse | bytes) -> list[dict[str, str]]:
    """The rows of a result in CSV."""
    content = response if isinstance(response, bytes) else response.get_data()
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def column(rows: Iterable[dict[str, str]], name: str) -> list[str]:
    return [row[name] for row in rows]
