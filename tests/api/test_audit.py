"""Every change names its key: in the log, in the audit table, in jobs and versions."""

import json
import logging
from collections.abc import Callable
from io import BytesIO, StringIO
from typing import Any

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient

from api.hooks.auth import OPERATIONS
from luthier.cli import main
from models.access.audit import AuditEntry, AuditLog
from models.access.catalog import KeyCatalog
from models.access.keys import Scope
from models.registry.catalog.catalog import ModelCatalog
from models.settings import Settings
from models.store.engine import Database
from models.telemetry import JsonFormatter
from tests.api.changes import CHANGES, TUNE, World

Refused = Callable[..., dict[str, Any]]


@pytest.fixture
def audit(database: Database) -> Callable[[], list[AuditEntry]]:
    return lambda: AuditLog(database).page(1000)


@pytest.fixture
def key(database: Database) -> tuple[str, str]:
    """The id of a key that may do everything, and the key."""
    record, secret = KeyCatalog(database).create("ops", [Scope.ADMIN])
    return record.id, secret


@pytest.fixture
def world(app_client: FlaskClient, database: Database, key: tuple[str, str]) -> World:
    return World(app_client, database, {"Authorization": f"Bearer {key[1]}"})


def test_every_operation_that_changes_something_has_an_example(app_client: FlaskClient) -> None:
    unsafe = {
        rule.endpoint
        for rule in app_client.application.url_map.iter_rules()
        if (rule.methods or set()) - {"GET", "HEAD", "OPTIONS"}
    }
    changing = {endpoint for endpoint in unsafe if OPERATIONS[endpoint].changes}
    assert changing == set(CHANGES), "add an example to tests/api/changes.py"


KINDS = {
    "tune": "job",
    "datasets": "dataset",
    "models": "model",
    "monitoring": "model",
    "batches": "batch",
    "batches.start": "model",  # the first thing that its path names
}


@pytest.mark.both_databases
@pytest.mark.parametrize("endpoint", CHANGES)
def test_every_change_leaves_one_entry(
    world: World, audit: Callable[[], list[AuditEntry]], key: tuple[str, str], endpoint: str
) -> None:
    thing, send = CHANGES[endpoint].ready(world)
    before = len(audit())
    response = send(X_Request_ID="the-request")
    assert response.status_code < 300, response.get_json()
    entry, *others = audit()
    assert len(others) == before
    assert (entry.key_id, entry.key_name) == (key[0], "ops")
    assert entry.operation == OPERATIONS[endpoint].id
    assert entry.kind == KINDS.get(endpoint, KINDS[endpoint.partition(".")[0]])
    made = {} if thing or response.status_code == 204 else response.get_json()
    assert entry.id == (thing or made.get("id"))
    assert entry.request_id == "the-request"


@pytest.mark.parametrize("endpoint", CHANGES)
def test_what_is_refused_leaves_none(
    app_client: FlaskClient,
    database: Database,
    world: World,
    audit: Callable[[], list[AuditEntry]],
    endpoint: str,
) -> None:
    _, reader = KeyCatalog(database).create("reader", [Scope.READ])
    _, send = CHANGES[endpoint].ready(world)
    before = audit()
    assert send(Authorization=f"Bearer {reader}").status_code == 403
    method, path = CHANGES[endpoint].request.format("none").split()
    path += "&nothing=such" if "?" in path else ""
    assert world.send(method, path, {"nothing": "such"}).status_code >= 400
    assert audit() == before


def test_what_changes_nothing_leaves_none(
    world: World, audit: Callable[[], list[AuditEntry]], refused: Refused
) -> None:
    job, model, dataset = world.job("pause"), world.model(), world.dataset()
    before = audit()
    assert world.send("POST", f"/tune/{job}/pause").status_code == 202
    assert world.dataset() == dataset
    champion = f"/models/{model}/aliases/champion"
    assert world.send("PUT", champion, {"version": 3}).status_code == 200
    refused(world.send("POST", f"/tune/{job}/requeue"), 409)
    assert world.send("POST", "/tune?dry_run=true", TUNE).status_code == 200
    assert audit() == before


def test_the_details_tell_what_was_changed(
    world: World, audit: Callable[[], list[AuditEntry]]
) -> None:
    model = world.model()
    world.send("PUT", f"/models/{model}/aliases/stable", {"version": 1})
    world.send("PUT", f"/models/{model}/aliases/stable", {"version": 2})
    world.send("POST", f"/models/{model}/rollback")
    job = world.held()
    world.send("PATCH", f"/tune/{job}", {"budget": {"max_trials": 5}})
    world.send("POST", f"/tune/{job}/trials", {"trials": [{"units": 8}, {"units": 16}]})
    world.send("POST", f"/tune/{job}/requeue")
    found = [entry.details for entry in reversed(audit()) if entry.operation != "createKey"]
    assert found == [
        {"alias": "stable", "from": None, "to": 1},
        {"alias": "stable", "from": 1, "to": 2},
        {"alias": "champion", "from": 3, "to": 2},
        {"model": "m"},
        {"budget": {"max_trials": 5}},
        {"trials": [1, 2]},
        {"held_by": "a-worker"},
    ]


def test_a_job_with_its_file_is_one_entry_that_names_both(
    app_client: FlaskClient, world: World, audit: Callable[[], list[AuditEntry]]
) -> None:
    rows = "a,b\n" + "\n".join(f"{n},{2 * n}" for n in range(40))
    form = {"file": (BytesIO(rows.encode()), "rows.csv"), "target": "b"}
    response = app_client.post("/tune", data=form, headers=world.headers)
    assert response.status_code == 202, response.get_json()
    (entry,) = audit()
    job = response.get_json()
    assert (entry.operation, entry.kind, entry.id) == ("startTuning", "job", job["id"])
    assert entry.details == {"dataset": job["dataset"], "model": "rows"}


def test_callers_without_a_stored_key_are_named(
    settings: Settings, connect: Callable[[Settings], FlaskClient], database: Database
) -> None:
    secret = "s" * 32
    World(connect(settings), database, {}).job()
    closed = connect(Settings(data=settings.data, api_keys=f"ci:tune:{secret}"))
    World(closed, database, {"X-API-Key": secret}).job()
    entries = AuditLog(database).page(10)
    assert [(entry.key_name, entry.key_id) for entry in entries] == [
        ("ci", None),
        ("anonymous", None),
    ]


def test_keys_made_and_revoked_by_the_command_line_are_recorded(
    settings: Settings, database: Database
) -> None:
    run = CliRunner(env={"LUTHIER_DATA": settings.data})
    made = run.invoke(main, ["keys", "create", "--name", "ci", "--scopes", "tune,read"])
    key_id = made.stdout.split("_")[1]
    for _ in range(2):  # the second changes nothing
        assert run.invoke(main, ["keys", "revoke", key_id]).exit_code == 0
    assert run.invoke(main, ["keys", "revoke", "0" * 12]).exit_code == 1
    revoked, created = AuditLog(database).page(10)
    for entry, operation in ((created, "createKey"), (revoked, "revokeKey")):
        assert (entry.operation, entry.kind, entry.id) == (operation, "key", key_id)
        assert (entry.key_name, entry.key_id, entry.request_id) == ("luthier keys", None, None)
    assert created.details == {"name": "ci", "scopes": ["read", "tune"]}


def test_entries_come_newest_first_in_pages_and_by_filter(
    app_client: FlaskClient, database: Database, world: World, refused: Refused
) -> None:
    _, other = KeyCatalog(database).create("other", [Scope.TUNE])
    first, second = world.job(), world.job("cancel")
    World(app_client, database, {"Authorization": f"Bearer {other}"}).job()

    def found(query: str) -> list[dict[str, Any]]:
        response = world.send("GET", f"/audit?{query}")
        assert response.status_code == 200, response.get_json()
        return response.get_json()["items"]

    everything = found("")
    assert len(everything) == 4
    assert everything == sorted(everything, key=lambda entry: -entry["entry"])
    page = world.send("GET", "/audit?limit=3").get_json()
    rest = world.send("GET", f"/audit?limit=3&after={page['next']}").get_json()
    assert page["items"] + rest["items"] == everything
    assert rest["next"] is None
    assert {entry["key_name"] for entry in found("key=other")} == {"other"}
    assert len(found(f"key={everything[-1]['key_id']}")) == 3
    assert [entry["id"] for entry in found("operation=cancelJob")] == [second]
    assert [entry["id"] for entry in found(f"kind=job&id={first}")] == [first]
    assert found(f"kind=model&id={first}") == []
    moment = everything[1]["time"].replace("+", "%2B")
    assert found(f"since={moment}") == everything[:2]
    assert found(f"until={moment}") == everything[2:]
    for query in ("since=soon", "since=2026-01-01T00:00:00", "key=", "limit=0", "after=x"):
        refused(world.send("GET", f"/audit?{query}"), 422)


def test_only_operators_see_the_audit(
    app_client: FlaskClient, database: Database, world: World, refused: Refused
) -> None:
    _, key = KeyCatalog(database).create("tuner", [Scope.READ, Scope.TUNE])
    headers = {"Authorization": f"Bearer {key}"}
    refused(app_client.get("/audit", headers=headers), 403)
    assert world.send("GET", "/audit").status_code == 200


def test_jobs_and_versions_tell_who_made_them(world: World, database: Database) -> None:
    job = world.job()
    assert world.send("GET", f"/tune/{job}").get_json()["created_by"] == "ops"
    (listed,) = world.send("GET", "/tune").get_json()["items"]
    assert listed["created_by"] == "ops"
    catalog = ModelCatalog(database)
    version = catalog.reserve("m", "regression", job, 1)
    with database.write() as connection:
        catalog.publish(connection, "m", version, 1, {}, {"metrics": None, "baseline": None})
    assert world.send("POST", f"/tune/{job}/cancel").status_code == 202
    assert world.send("DELETE", f"/tune/{job}").status_code == 204
    assert world.send("GET", "/models/m").get_json()["versions"][0]["created_by"] == "ops"


def test_the_log_line_of_a_change_names_its_key(world: World) -> None:
    stream, root = StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(stream), root.level
    handler.setFormatter(JsonFormatter())
    root.addHandler(handler)
    root.setLevel("INFO")
    try:
        world.job()
        world.headers.clear()
        world.send("POST", "/tune", TUNE)
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
    entries = [json.loads(line) for line in stream.getvalue().splitlines()]
    lines = [entry for entry in entries if entry["logger"] == "api.hooks.request_log"]
    assert [(line["message"], line["status"], line.get("key")) for line in lines] == [
        ("POST /tune", 202, "ops"),
        ("POST /tune", 401, None),
    ]
