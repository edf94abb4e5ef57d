"""Two APIs and workers, as processes that share a PostgreSQL database and an S3 bucket alone."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from luthier.client import Client
from models.store.artifacts import Artifacts
from models.store.engine import Database
from tests.answers import without_id
from tests.postgres import PostgresServer
from tests.processes import (
    Process,
    answers,
    descendants,
    fetch,
    free_bind,
    has_ended,
    running,
    start,
)
from tests.waiting import PATIENCE, wait_until

CSV = "x,kind,y\n" + "".join(f"{n},{'ab'[n % 2]},{2 * n + n % 2}\n" for n in range(40))
NEW = [{"x": 7.0, "kind": "b"}, {"x": 8.0, "kind": None}]
LONG_ENOUGH = 8_000  # epochs, so that a worker can be killed in the middle


@dataclass(frozen=True)
class Apart:
    """The parts, each with a data folder of its own."""

    clients: list[Client]
    urls: list[str]
    artifacts: Artifacts
    worker: Process
    start_worker: Callable[[], Process]
    root: Path


@pytest.fixture(scope="module")
def apart(
    postgres: PostgresServer, s3: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Apart]:
    root = tmp_path_factory.mktemp("apart")
    _create_database(postgres, "apart")
    numbers = itertools.count()
    shared = {
        "database_url": postgres.url("apart"),
        "artifacts": f"{s3}/apart",
        "lease_seconds": 6,
        "trial_slots": 1,
        "forecast_seconds": 0,  # a trial is seen running while its process starts
    }
    migrated = start("migrate", root / "migrate.log", **shared)
    assert migrated.wait(PATIENCE) == 0, (root / "migrate.log").read_text()

    with ExitStack() as stack:

        def run(command: str, **settings: object) -> Process:
            name = f"{command}-{next(numbers)}"
            options = {"data": root / name, **shared, **settings}
            return stack.enter_context(running(command, root / f"{name}.log", **options))

        worker = run("worker")
        urls = []
        for _ in range(2):
            bind = free_bind()
            run("api", bind=bind)
            urls.append(f"http://{bind}")
        for url in urls:
            wait_until(partial(answers, f"{url}/readyz"))
        clients = [stack.enter_context(Client(url, timeout=PATIENCE)) for url in urls]
        artifacts = Artifacts(str(shared["artifacts"]))
        yield Apart(clients, urls, artifacts, worker, partial(run, "worker"), root)


@pytest.fixture(scope="module")
def tuned(apart: Apart) -> list[dict[str, Any]]:
    """The events of a job whose worker was killed in the middle of a trial."""
    one, other = apart.clients
    file = apart.root / "lines.csv"
    file.write_text(CSV)
    dataset = one.upload(file)["id"]
    job = other.tune(_request(dataset, LONG_ENOUGH))["id"]
    told = []
    for event in one.events(job):
        told.append(event)
        if event["data"].get("state") == "running" and event["event"] == "trial":
            left = descendants(apart.worker)
            apart.worker.kill()
            apart.worker.wait()
            apart.start_worker()
            break
    told += list(other.events(job, after=told[-1]["id"]))
    assert all(wait_until(partial(has_ended, process.pid)) for process in left)
    assert other.job(job)["state"] == "succeeded", other.job(job)
    return told


def test_another_worker_takes_over_where_the_killed_one_stopped(
    tuned: list[dict[str, Any]],
) -> None:
    assert [event["id"] for event in tuned] == list(range(1, len(tuned) + 1))
    states = [
        event["data"]["state"]
        for event in tuned
        if event["event"] == "trial" and event["data"]["trial"] == 1
    ]
    assert states == ["waiting", "running", "waiting", "running", "completed"]
    jobs = [event["data"]["state"] for event in tuned if event["event"] == "state"]
    assert jobs == ["queued", "running", "succeeded"]


def test_every_api_answers_and_sees_a_moved_alias(apart: Apart, tuned: Any) -> None:
    one, other = apart.clients
    answers = [without_id(client.predict("lines", NEW)) for client in apart.clients]
    assert answers[0] == answers[1]
    assert answers[0]["version"] == 1
    dataset = fetch(f"{apart.urls[0]}/datasets").json()["items"][0]["id"]
    assert one.wait(other.tune(_request(dataset, 2))["id"], every=0.1)["state"] == "succeeded"
    assert [client.predict("lines", NEW)["version"] for client in apart.clients] == [2, 2]
    alias = f"{apart.urls[0]}/models/lines/aliases/champion"
    assert fetch(alias, "PUT", json={"version": 1}).is_success
    wait_until(lambda: without_id(other.predict("lines", NEW)) == answers[0])


def test_only_copies_of_model_files_lie_on_the_machines(apart: Apart, tuned: Any) -> None:
    for client in apart.clients:
        client.predict("lines", NEW)
    kept = {path.name for path in apart.root.rglob("*") if path.is_dir()}
    assert kept == {"api-1", "api-2", "cache"}
    names = apart.artifacts.names()
    assert {name.partition("/")[0] for name in names} == {"datasets", "jobs", "models"}
    assert not any(name.endswith(".tmp") for name in names)


def test_a_file_that_was_changed_in_the_bucket_is_never_sent(apart: Apart, tuned: Any) -> None:
    (name,) = (
        each
        for each in apart.artifacts.names("models/lines/1")
        if each.endswith("/preprocessing.json")
    )
    url = f"{apart.urls[1]}/models/lines/versions/1/artifacts/preprocessing.json"
    content = apart.artifacts.read(name)
    apart.artifacts.write(name, content.replace(b"1", b"2"))
    refused = fetch(url)
    assert refused.status_code == 500
    told = "preprocessing.json of version 1 of model 'lines' cannot be used"
    assert refused.json()["detail"].startswith(told)
    apart.artifacts.write(name, content)
    assert fetch(url).content == content


def _request(dataset: str, epochs: int) -> dict[str, Any]:
    return {
        "model": "lines",
        "dataset": dataset,
        "target": "y",
        "search_space": {"num_layers": 1, "units": 4},
        "strategy": "grid",
        "budget": {"epochs": epochs},
        "promote": "always",
    }


def _create_database(postgres: PostgresServer, name: str) -> None:
    server = Database(postgres.url("postgres"))
    with server.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    server.close()
