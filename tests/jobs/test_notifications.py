"""Workers that PostgreSQL wakes: none of them would look at the queue by itself in time."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert, text

from models.batches.catalog import BatchCatalog
from models.batches.model import BatchSpec
from models.batches.queue import BatchQueue
from models.jobs.commands import JobCommands
from models.jobs.model import Job, JobState
from models.jobs.reader import JobReader
from models.jobs.store.queue import JobQueue
from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.changes import Changes, Channel, notify
from models.store.engine import Database
from models.store.tables import jobs, now
from tests.processes import STOP_WITHIN, running
from tests.tiny_versions import publish_version
from tests.waiting import wait_until

pytestmark = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
TOLD = f"PostgreSQL tells of changes on {Channel.JOBS}"


@pytest.fixture
def start(settings: Settings, tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Start a worker of these settings that listens; return its log."""
    log = tmp_path / "worker.log"
    own = {
        "data": settings.data,
        "database_url": settings.database_url,
        "artifacts": settings.resolved_artifacts,
        "trial_slots": 1,
    }
    stack = []

    def start_worker(**chosen: object) -> Path:
        worker = running("worker", log, **own, **chosen)
        process = worker.__enter__()
        stack.append((worker, process))
        wait_until(lambda: process.poll() is not None or TOLD in log.read_text())
        return log

    yield start_worker
    for worker, process in stack:
        process.terminate()
        assert process.wait(STOP_WITHIN) == 0, log.read_text()
        worker.__exit__(None, None, None)


def listeners(database: Database, channel: Channel) -> set[int]:
    """The processes of the server that hold the connections which listen."""
    query = text("SELECT pid FROM pg_stat_activity WHERE query = :query")
    with database.read() as connection:
        return set(connection.execute(query, {"query": f"LISTEN {channel}"}).scalars())


def until(reader: JobReader, job: Job, state: JobState) -> None:
    wait_until(lambda: reader.get(job.id).state == state)


def test_jobs_and_requests_reach_a_worker_that_never_polls(
    start: Callable[..., Path],
    database: Database,
    queued: Callable[..., Job],
    commands: JobCommands,
    reader: JobReader,
) -> None:
    start(poll_seconds=100_000, lease_seconds=3600)
    endless = {"budget": {"epochs": 100_000}}
    first = queued(**endless)
    until(reader, first, JobState.RUNNING)
    commands.cancel(first.id)
    until(reader, first, JobState.CANCELLED)

    lost = listeners(database, Channel.JOBS)
    with database.write() as connection:
        for pid in lost:
            connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
    second = queued(**endless)  # told to nobody, unless the worker is back already
    until(reader, second, JobState.RUNNING)
    assert listeners(database, Channel.JOBS).isdisjoint(lost)
    commands.cancel(second.id)
    until(reader, second, JobState.CANCELLED)


def test_a_job_that_nobody_told_of_is_found_all_the_same(
    start: Callable[..., Path], database: Database, reader: JobReader
) -> None:
    start(poll_seconds=0.05, lease_seconds=1)
    row = {"id": "job_1", "model": "m", "state": JobState.QUEUED, "spec": {}, "planned_trials": 1}
    with database.write() as connection:
        connection.execute(insert(jobs).values(row | {"created": now()}))
    wait_until(lambda: reader.get("job_1").state == JobState.FAILED)  # its request is unreadable


@pytest.fixture
def told(database: Database) -> Iterator[Callable[[Channel], Callable[[], bool]]]:
    """Listen on a channel; the result says whether something was told since the last call."""
    opened = []

    def listen(channel: Channel) -> Callable[[], bool]:
        changes = Changes(database, channel)
        opened.append(changes)
        wait_until(lambda: changes.are_told)
        wait_until(changes.noticed)  # its own greeting
        return changes.noticed

    yield listen
    for changes in opened:
        changes.close()


def test_only_what_concerns_workers_is_told(
    database: Database,
    queued: Callable[..., Job],
    commands: JobCommands,
    told: Callable[[Channel], Callable[[], bool]],
) -> None:
    noticed = told(Channel.JOBS)
    job = queued()
    wait_until(noticed)
    queue = JobQueue(database, "worker-1", 3600)
    assert queue.claim() is not None  # the others need not look
    with database.write() as connection:
        notify(connection, Channel.BATCHES)
    assert not noticed()
    for change in (commands.pause, commands.resume, commands.requeue):
        change(job.id)
        wait_until(noticed)


def test_a_batch_that_waits_for_a_worker_is_told(
    database: Database, artifacts: Artifacts, told: Callable[[Channel], Callable[[], bool]]
) -> None:
    publish_version(database, artifacts)
    noticed = told(Channel.BATCHES)
    BatchCatalog(database).add("b", "m", 1, None, BatchSpec("csv", (), 10), 5)
    wait_until(noticed)
    held = BatchQueue(database, "worker-1", 3600).claim()
    assert held is not None
    assert not noticed()
    held.release()
    wait_until(noticed)
