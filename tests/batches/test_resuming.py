"""Batches whose workers die, are slow, or are told to stop: no row is lost, none comes twice."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update

from models.batches.catalog import BatchCatalog
from models.batches.model import Batch
from models.batches.queue import MAX_ATTEMPTS, BatchQueue
from models.errors import LeaseLost
from models.retention.remover import Remover
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.store.tables import batches, removals
from tests.batches.conftest import LEASE, ROWS, claimed, column, run_of, table_of

Queue = Callable[..., str]
Work = Callable[[], Batch]


def lapsed_claim(database: Database, owner: str) -> BatchQueue:
    """A queue of a worker that has seen for a whole lease that nobody renewed."""
    times = iter(n * LEASE / 3 for n in range(100))
    queue = BatchQueue(database, owner, LEASE, lambda: next(times))
    for _ in range(3):
        assert queue.claim() is None
    return queue


@pytest.mark.both_databases
@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_another_worker_goes_on_after_the_last_part(
    app_client: FlaskClient,
    database: Database,
    artifacts: Artifacts,
    catalog: BatchCatalog,
    queue_batch: Queue,
    format: str,
) -> None:
    whole, batch = queue_batch(format=format), queue_batch(format=format)
    first = claimed(database, "first")
    assert first.id == whole
    for _ in run_of(first, database, artifacts).steps():
        pass
    expected = app_client.get(f"/batches/{whole}/file").data

    dead = claimed(database, "dead")
    steps = run_of(dead, database, artifacts).steps()
    assert next(steps).rows_done == 10
    # It dies after it has written the next part, of which nothing is known.
    artifacts.write(f"batches/{batch}/parts/000001", b"half a part")
    assert BatchQueue(database, "other", LEASE).claim() is None
    heir = lapsed_claim(database, "heir").claim()
    assert heir is not None
    done = [found.rows_done for found in run_of(heir, database, artifacts).steps()]
    assert done == [20, ROWS]
    assert app_client.get(f"/batches/{batch}/file").data == expected
    with pytest.raises(LeaseLost):
        next(steps)  # it was only slow
    assert catalog.get(batch).rows_done == ROWS
    assert app_client.get(f"/batches/{batch}/file").data == expected


def test_a_worker_that_stops_lets_its_batch_go(
    app_client: FlaskClient, database: Database, artifacts: Artifacts, queue_batch: Queue
) -> None:
    batch = queue_batch()
    held = claimed(database)
    next(run_of(held, database, artifacts).steps())
    held.release()
    assert app_client.get(f"/batches/{batch}").get_json()["state"] == "queued"
    following = claimed(database, "another")
    assert following.batch.attempts == 0
    for _ in run_of(following, database, artifacts).steps():
        pass
    rows = table_of(app_client.get(f"/batches/{batch}/file"))
    assert column(rows, "id") == [f"n{n:03}" for n in range(ROWS)]


def test_a_batch_that_ends_its_process_again_and_again_fails(
    app_client: FlaskClient, database: Database, artifacts: Artifacts, queue_batch: Queue
) -> None:
    batch, following = queue_batch(), queue_batch()
    held = claimed(database)
    next(run_of(held, database, artifacts).steps())
    held.release(failed=True)
    for _ in range(MAX_ATTEMPTS - 1):
        held = claimed(database)
        assert held.id == batch
        held.release(failed=True)
    assert claimed(database).id == following
    ended = app_client.get(f"/batches/{batch}").get_json()
    assert ended["state"] == "failed"
    assert "ended its process" in ended["error"]


def test_a_cancelled_batch_stops_its_worker(
    app_client: FlaskClient, database: Database, artifacts: Artifacts, queue_batch: Queue
) -> None:
    batch = queue_batch()
    steps = run_of(claimed(database), database, artifacts).steps()
    next(steps)
    response = app_client.delete(f"/batches/{batch}")
    assert (response.status_code, response.get_json()["state"]) == (200, "cancelled")
    with pytest.raises(LeaseLost):
        next(steps)
    with database.read() as connection:
        listed = connection.execute(select(removals.c.name)).scalars().all()
    assert f"batches/{batch}" in listed
    Remover(database, artifacts).settle(f"batches/{batch}")
    assert artifacts.names(f"batches/{batch}") == []
    assert app_client.delete(f"/batches/{batch}").status_code == 204
    assert app_client.get(f"/batches/{batch}").status_code == 404


def test_a_batch_that_cannot_be_read_fails_alone(
    app_client: FlaskClient, database: Database, queue_batch: Queue
) -> None:
    damaged, following = queue_batch(), queue_batch()
    with database.write() as connection:
        change = update(batches).where(batches.c.id == damaged)
        connection.execute(change.values(spec={"format": "xlsx"}))
    assert claimed(database).id == following
    listed = app_client.get("/batches").get_json()["items"]
    assert [(batch["id"], batch["state"]) for batch in listed] == [
        (following, "running"),
        (damaged, "failed"),
    ]
    assert "spec" in listed[1]["error"]


def test_rows_that_have_gone_fail_the_batch(
    database: Database, artifacts: Artifacts, queue_batch: Queue, dataset: str, work: Work
) -> None:
    from models.batches.process import BatchTask
    from models.batches.process import work as process

    batch = queue_batch()
    held = claimed(database)
    artifacts.delete(f"datasets/{dataset}/columns.parquet")
    url = database.engine.url.render_as_string(hide_password=False)
    task = BatchTask(batch, held.owner, held.claim, url, artifacts.root, 0, "INFO", "text")
    assert process(task) == 0
    ended = BatchCatalog(database).get(batch)
    assert (ended.state, ended.error) == (
        "failed",
        f"The stored file 'datasets/{dataset}/columns.parquet' is missing.",
    )
