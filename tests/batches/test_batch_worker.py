"""A real worker of batches with its process, which is killed and stopped."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil
from flask.testing import FlaskClient

from models.batches.catalog import BatchCatalog
from models.batches.worker import BatchWorker
from models.settings import Settings
from models.store.engine import Database
from tests.batches.conftest import in_pieces, store, table_of
from tests.waiting import wait_until

Queue = Callable[..., str]


@contextmanager
def working(settings: Settings, database: Database) -> Iterator[threading.Event]:
    stop = threading.Event()
    quick = replace(settings, poll_seconds=0.05, lease_seconds=1.5)
    thread = threading.Thread(target=BatchWorker(database, quick).work, args=(stop,))
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join()


def batch_processes() -> list[psutil.Process]:
    """The processes of batches that this one has started."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if "models.batches.process" in child.cmdline():
                found.append(child)
    return found


def test_a_killed_process_costs_no_row(
    app_client: FlaskClient, settings: Settings, database: Database, queue_batch: Queue
) -> None:
    rows = 400
    dataset = store(app_client, [{"id": n, "x": float(n)} for n in range(rows)])
    batch = queue_batch(dataset=dataset, keep=["id"])
    in_pieces(database, batch, 1)
    catalog = BatchCatalog(database)
    with working(settings, database) as stop:
        wait_until(lambda: catalog.get(batch).parts >= 1, every=0.002)
        for process in batch_processes():
            os.kill(process.pid, signal.SIGKILL)
        before = catalog.get(batch).parts
        wait_until(lambda: catalog.get(batch).parts > before, every=0.002)
        stop.set()  # and the worker is stopped, too
        wait_until(lambda: not batch_processes())
    assert catalog.get(batch).state in ("queued", "succeeded")
    with working(settings, database):
        wait_until(lambda: catalog.get(batch).state == "succeeded")
    result = table_of(app_client.get(f"/batches/{batch}/file"))
    assert [(row["id"], row["prediction"]) for row in result] == [
        (str(n), str(2.0 * n + 1)) for n in range(rows)
    ]
    assert Path(settings.resolved_artifacts, "batches", batch).exists()


def test_a_cancelled_batch_ends_its_process(
    app_client: FlaskClient, settings: Settings, database: Database, queue_batch: Queue
) -> None:
    dataset = store(app_client, [{"x": float(n)} for n in range(3000)])
    batch, following = queue_batch(dataset=dataset), queue_batch()
    in_pieces(database, batch, 1)
    catalog = BatchCatalog(database)
    with working(settings, database):
        wait_until(lambda: catalog.get(batch).parts >= 1)
        assert app_client.delete(f"/batches/{batch}").status_code == 200
        wait_until(lambda: catalog.get(following).state == "succeeded")
    assert catalog.get(batch).state == "cancelled"
