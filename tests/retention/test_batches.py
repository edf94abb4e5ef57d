"""What is kept of batches: results, for as long as the settings say; and what they need."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update

from models.retention.integrity import Integrity
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.store.tables import batches, now
from tests.batches.conftest import claimed, run_of, store
from tests.retention.conftest import Publish
from tests.retention.test_deletion import refusal
from tests.retention.test_removal_of_files import sweep

MakeBatch = Callable[[], str]


@pytest.fixture
def make_batch(
    app_client: FlaskClient, database: Database, artifacts: Artifacts, publish: Publish
) -> MakeBatch:
    """Make a batch that has succeeded."""
    publish()

    def make() -> str:
        batch = queue(app_client)
        for _ in run_of(claimed(database), database, artifacts).steps():
            pass
        return batch

    return make


def queue(client: FlaskClient) -> str:
    request = {"dataset": store(client, [{"x": 1.0}, {"x": 2.0}])}
    return str(client.post("/models/m/batch", json=request).get_json()["id"])


@pytest.mark.both_databases
@pytest.mark.both_stores
def test_a_result_stays_without_its_parts_until_it_is_too_old(
    make_batch: MakeBatch, app_client: FlaskClient, database: Database, artifacts: Artifacts
) -> None:
    old, young = make_batch(), make_batch()
    sweep(database, artifacts)
    names = [name for name in artifacts.names("batches") if "/result/" not in name]
    assert names == []
    with database.write() as connection:
        aged = update(batches).where(batches.c.id == old)
        connection.execute(aged.values(finished=now() - timedelta(days=4)))
    sweep(database, artifacts)
    assert app_client.get(f"/batches/{old}/file").status_code == 200
    sweep(database, artifacts, keep_batches_days=3)
    assert [b["id"] for b in app_client.get("/batches").get_json()["items"]] == [young]
    assert len(artifacts.names("batches")) == 1
    shown = app_client.get("/metrics").text
    assert f'luthier_bytes{{kind="batches"}} {_bytes(database):.1f}' in shown


def _bytes(database: Database) -> float:
    with database.read() as connection:
        return float(connection.execute(select(batches.c.bytes)).scalar_one())


def test_an_unfinished_batch_keeps_what_it_needs(
    make_batch: MakeBatch, app_client: FlaskClient, publish: Publish, database: Database
) -> None:
    ended = make_batch()
    batch = queue(app_client)
    publish()
    app_client.put("/models/m/aliases/champion", json={"version": 2})
    said = refusal(app_client.delete("/models/m/versions/1"), 409)
    assert f"in use by batch {batch}" in said
    dataset = app_client.get(f"/batches/{batch}").get_json()["dataset"]
    assert f"in use by batch {batch}" in refusal(app_client.delete(f"/datasets/{dataset}"), 409)
    assert app_client.delete(f"/batches/{batch}").status_code == 200
    assert app_client.delete(f"/datasets/{dataset}").status_code == 204
    assert app_client.delete("/models/m/versions/1").status_code == 204
    assert app_client.get(f"/batches/{ended}/file").status_code == 200


def test_a_deleted_model_takes_its_batches_along(
    make_batch: MakeBatch, app_client: FlaskClient, database: Database, artifacts: Artifacts
) -> None:
    make_batch(), queue(app_client)
    assert app_client.delete("/models/m").status_code == 204
    assert app_client.get("/batches").get_json()["items"] == []
    assert artifacts.names("batches") == []


def test_fsck_finds_a_changed_result(
    make_batch: MakeBatch, database: Database, artifacts: Artifacts
) -> None:
    make_batch(), make_batch()
    integrity = Integrity(database, artifacts)
    assert list(integrity.faults()) == []
    first, second = (name for name in artifacts.names("batches") if "/result/" in name)
    artifacts.delete(first)
    artifacts.write(second, b"other")
    found = {(fault.kind, fault.name) for fault in integrity.faults()}
    assert found == {("batch", first), ("batch", second)}
