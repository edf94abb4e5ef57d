"""A request that is sent again with its `Idempotency-Key` changes nothing again."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from flask.testing import FlaskClient
from sqlalchemy import Table, func, insert, select, update
from werkzeug.test import TestResponse

from api.hooks.auth import OPERATIONS
from api.hooks.commands import takes_key
from models.access.audit import AuditLog
from models.access.catalog import KeyCatalog
from models.access.idempotency import Claim, IdempotencyKeys
from models.errors import InProgress
from models.settings import Settings
from models.store.audit import Actor, Command, carrying_out
from models.store.engine import Database
from models.store.tables import idempotency_keys, jobs, now
from tests.api.changes import CHANGES, ROWS, TUNE, World
from tests.processes import Process, descendants, fetch, free_bind, running
from tests.waiting import PATIENCE, wait_until

Refused = Callable[..., dict[str, Any]]

KEYED = [
    endpoint
    for endpoint, change in CHANGES.items()
    if takes_key(change.request.split()[0], OPERATIONS[endpoint])
]
OTHER = {"Idempotency_Key": "other"}
ONCE = {"Idempotency_Key": "once"}


@pytest.fixture
def world(app_client: FlaskClient, database: Database) -> World:
    return World(app_client, database, {})


def same(first: TestResponse, again: TestResponse) -> bool:
    """Whether an answer is the first one, sent again."""
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    parts = [(each.status_code, each.data, each.headers.get("Location")) for each in (first, again)]
    return parts[0] == parts[1]


def count(database: Database, table: Table) -> int:
    with database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def lapse(database: Database, ahead: timedelta = -timedelta(seconds=1)) -> None:
    """Leave the keys as they are BUSY_SECONDS after requests that changed nothing."""
    with database.write() as connection:
        connection.execute(update(idempotency_keys).values(busy_until=now() + ahead))


def forget_answers(database: Database) -> None:
    """Leave the keys as processes leave them that are killed before they answer."""
    with database.write() as connection:
        nothing = {"status": None, "body": None, "location": None}
        changed = connection.execute(update(idempotency_keys).values(nothing))
    assert changed.rowcount


@pytest.mark.both_databases
@pytest.mark.parametrize("endpoint", KEYED)
def test_a_request_sent_again_gets_the_first_answer(
    world: World, database: Database, endpoint: str
) -> None:
    _, send = CHANGES[endpoint].ready(world)
    first = send(**ONCE)
    assert first.status_code < 300, first.get_json()
    entries = AuditLog(database).page(100)
    assert same(first, send(**ONCE))
    assert same(first, send(**ONCE))
    assert AuditLog(database).page(100) == entries


@pytest.mark.parametrize("endpoint", KEYED)
def test_an_answer_that_was_lost_is_made_again(
    world: World, database: Database, endpoint: str
) -> None:
    _, send = CHANGES[endpoint].ready(world)
    first = send(**ONCE)
    entries = AuditLog(database).page(100)
    forget_answers(database)
    again = send(**ONCE)
    assert (again.status_code, again.headers.get("Location")) == (
        first.status_code,
        first.headers.get("Location"),
    )
    assert again.get_json() == first.get_json()
    assert AuditLog(database).page(100) == entries


def test_every_post_and_patch_that_changes_something_documents_the_header(
    app_client: FlaskClient,
) -> None:
    contract = app_client.get("/openapi.json").get_json()
    documented = {
        operation["operationId"]
        for item in contract["paths"].values()
        for operation in item.values()
        if isinstance(operation, dict)
        and "Idempotency-Key" in {each["name"] for each in operation.get("parameters", [])}
    }
    assert documented == {OPERATIONS[endpoint].id for endpoint in KEYED}


def test_a_key_with_another_request_is_refused(world: World, refused: Refused) -> None:
    job = world.job()
    assert world.send("POST", f"/tune/{job}/pause", **ONCE).status_code == 202
    for path, body in (
        (f"/tune/{job}/resume", None),
        ("/tune", TUNE),
        ("/datasets", ROWS),
    ):
        assert list(refused(world.send("POST", path, body, **ONCE), 422)) == ["Idempotency-Key"]
    # When it is to be answered makes no other request.
    assert world.send("POST", "/tune", TUNE, **OTHER).status_code == 202
    assert world.send("POST", "/tune?wait=0.01", TUNE, **OTHER).status_code == 202
    assert len(world.send("GET", "/tune").get_json()["items"]) == 2


def test_a_dry_run_leaves_the_key_to_the_request(world: World) -> None:
    assert world.send("POST", "/tune?dry_run=true", TUNE, **ONCE).status_code == 200
    first = world.send("POST", "/tune", TUNE, **ONCE)
    assert first.status_code == 202
    assert same(first, world.send("POST", "/tune", TUNE, **ONCE))
    assert world.send("POST", "/tune?dry_run=true", TUNE, **ONCE).status_code == 200


def test_keys_of_two_callers_do_not_meet(
    app_client: FlaskClient, settings: Settings, database: Database, connect: Any
) -> None:
    secrets = [KeyCatalog(database).create("same-name", ["tune"])[1] for _ in range(2)]
    static = "s" * 32
    closed = connect(Settings(data=settings.data, api_keys=f"same-name:tune:{static}"))
    made = [
        World(closed, database, {"X-API-Key": secret}).send("POST", "/tune", TUNE, **ONCE)
        for secret in (*secrets, static, static)
    ]
    assert [response.status_code for response in made] == [202] * 4
    ids = [response.get_json()["id"] for response in made]
    assert len(set(ids)) == 3
    assert ids[2] == ids[3]


def test_a_request_that_was_refused_may_be_sent_again(world: World, refused: Refused) -> None:
    job = world.job()
    refused(world.send("POST", f"/tune/{job}/requeue", **ONCE), 409)
    refused(world.send("POST", f"/tune/{job}/trials", {"values": {"units": -1}}, **ONCE), 422)
    answer = world.send("POST", f"/tune/{job}/trials", {"values": {"units": 8}}, **ONCE)
    assert answer.status_code == 202


def test_a_key_is_forgotten_after_its_hours(world: World, database: Database) -> None:
    first = world.send("POST", "/tune", TUNE, **ONCE).get_json()["id"]
    for hours, is_known in ((23, True), (25, False)):
        with database.write() as connection:
            connection.execute(
                update(idempotency_keys).values(created=now() - timedelta(hours=hours))
            )
        again = world.send("POST", "/tune", TUNE, **ONCE).get_json()["id"]
        assert (again == first) == is_known


def test_a_job_of_an_earlier_version_is_found_by_its_key(world: World, database: Database) -> None:
    job, body = world.job(), json.dumps(TUNE).encode()
    with database.write() as connection:
        digest = hashlib.sha256(body).hexdigest()
        connection.execute(update(jobs).values(idempotency_key="once", request_digest=digest))
    sent = {"headers": {"Idempotency-Key": "once"}, "content_type": "application/json"}
    again = world.client.post("/tune", data=body, **sent)
    assert (again.status_code, again.get_json()["id"]) == (202, job)
    assert again.headers["Location"] == f"/tune/{job}"
    other = world.client.post("/tune", data=body + b" ", **sent)
    assert other.get_json()["id"] != job


@pytest.mark.both_databases
@pytest.mark.parametrize("endpoint", ["tune.start", "tune.enqueue", "models.rollback"])
def test_of_equal_requests_at_the_same_moment_one_changes_something(
    world: World, database: Database, endpoint: str
) -> None:
    thing, send = CHANGES[endpoint].ready(world)
    before = len(AuditLog(database).page(100))
    together = threading.Barrier(4)
    method, path = CHANGES[endpoint].request.format(thing).split()

    def ask(_: int) -> TestResponse:
        client = world.client.application.test_client()
        together.wait()
        return World(client, database, {}).send(method, path, CHANGES[endpoint].body, **ONCE)

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(ask, range(4)))
    busy = [answer for answer in answers if answer.status_code == 409]
    assert all(answer.headers["Retry-After"] == "1" for answer in busy)
    done = [answer for answer in answers if answer not in busy]
    assert done
    again = send(**ONCE)
    assert {(each.status_code, each.data) for each in done} == {(again.status_code, again.data)}
    assert len(AuditLog(database).page(100)) == before + 1


@pytest.mark.both_databases
def test_a_clock_that_is_set_back_locks_no_key(database: Database) -> None:
    keys = IdempotencyKeys(database, 1)
    keys.claim("me", "k", "digest", "")
    lapse(database, ahead=timedelta(hours=1))  # as said by a clock that was ahead
    assert isinstance(keys.claim("me", "k", "digest", ""), Claim)


@pytest.mark.both_databases
def test_of_two_that_hold_a_key_the_first_change_stays(database: Database) -> None:
    """A slow request lost its key to an equal one before it changed something."""
    keys = IdempotencyKeys(database, 1)
    slow = keys.claim("me", "k", "digest", "")
    with pytest.raises(InProgress):
        keys.claim("me", "k", "digest", "")
    lapse(database)
    quick = keys.claim("me", "k", "digest", "")
    assert isinstance(slow, Claim)
    assert isinstance(quick, Claim)

    def change(claim: Claim, job: str) -> None:
        command = Command(Actor("me"), "startTuning", "job", job, on_change=claim.complete)
        with carrying_out(command), database.write() as connection:
            connection.execute(insert(jobs).values(_job(job)))

    change(slow, "first")
    with pytest.raises(InProgress):
        change(quick, "second")
    with database.read() as connection:
        assert connection.execute(select(jobs.c.id)).scalars().all() == ["first"]
    quick.release()
    found = keys.claim("me", "k", "digest", "")
    assert not isinstance(found, Claim)
    assert (found.id, found.answer) == ("first", None)


def _job(identity: str) -> dict[str, Any]:
    return {
        "id": identity,
        "model": "m",
        "state": "queued",
        "spec": {},
        "planned_trials": 1,
        "created": now(),
        "seconds": 0.0,
    }


@dataclass(frozen=True)
class Api:
    """A real `luthier api`, and requests to it that are made by another thread."""

    process: Process
    url: str
    threads: ThreadPoolExecutor

    def tune(self, query: str = "") -> httpx.Response:
        headers = {"Idempotency-Key": "once"}
        return fetch(f"{self.url}/tune{query}", "POST", json=TUNE, headers=headers)

    def lose(self, condition: Callable[[], bool], query: str = "") -> None:
        """Send the request, and kill every process as soon as `condition` holds."""
        answer = self.threads.submit(self.tune, query)
        wait_until(condition)
        children = descendants(self.process)
        self.process.kill()
        for child in children:
            child.kill()
        assert isinstance(answer.exception(), httpx.TransportError)


@pytest.fixture
def start(settings: Settings, tmp_path: Path) -> Callable[[], AbstractContextManager[Api]]:
    @contextmanager
    def run() -> Iterator[Api]:
        bind, log = free_bind(), tmp_path / "log"
        options = {"data": settings.data, "database_url": settings.database_url}
        with running("api", log, bind=bind, **options) as process, ThreadPoolExecutor(1) as threads:
            wait_until(lambda: process.poll() is not None or _answers(f"http://{bind}/readyz"))
            assert process.poll() is None, log.read_text()
            yield Api(process, f"http://{bind}", threads)

    return run


def _answers(url: str) -> bool:
    try:
        return fetch(url).is_success
    except httpx.TransportError:
        return False


@pytest.mark.slow
@pytest.mark.both_databases
def test_a_process_killed_before_its_answer_has_made_one_job(
    start: Callable[[], AbstractContextManager[Api]], database: Database
) -> None:
    with start() as api:
        # Nothing works on the job, so the answer would come after hours.
        api.lose(lambda: count(database, jobs) == 1, f"?wait={PATIENCE:g}")
    with start() as api:
        answer = api.tune()
        assert answer.status_code == 202, answer.text
        assert answer.headers["Idempotent-Replayed"] == "true"
        assert fetch(f"{api.url}{answer.headers['Location']}").json() == answer.json()
    assert count(database, jobs) == 1


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_a_process_killed_before_its_change_does_not_lock_the_key(
    start: Callable[[], AbstractContextManager[Api]], database: Database
) -> None:
    with start() as api, database.write() as connection:
        connection.exec_driver_sql("LOCK TABLE jobs IN EXCLUSIVE MODE")  # it may be read
        api.lose(lambda: count(database, idempotency_keys) == 1)
    with start() as api:
        busy = api.tune()
        assert (busy.status_code, busy.headers["Retry-After"]) == (409, "1")
        lapse(database)
        assert api.tune().json() == api.tune().json()
    assert count(database, jobs) == 1
