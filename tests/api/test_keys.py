"""Every request brings a key that may do what it asks for, once there are keys."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from flask.testing import FlaskClient
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.test import TestResponse

from api.hooks.auth import OPERATIONS, scope_of
from luthier.client import Client, RequestRefused
from models.access.catalog import REMEMBERED_SECONDS, KeyCatalog, KeyRing
from models.access.keys import Scope
from models.errors import Invalid
from models.settings import Settings
from models.store.engine import Database
from models.store.tables import api_keys
from tests.absence import database_away
from tests.processes import fetch, free_bind, running
from tests.waiting import PATIENCE, wait_until

Refused = Callable[..., dict[str, Any]]
Connect = Callable[[Settings], FlaskClient]

SECRET = "0123456789abcdef" * 2
BODIES = {  # of requests that go far enough with an empty database to be told from a refusal
    "POST /predict": {"model": "m", "instances": [[1]]},
    "POST /tune": {"model": "m", "dataset": "ds_0", "target": "y"},
}
EXAMPLES = {
    Scope.READ: ["GET /tune", "GET /datasets", "GET /models", "GET /tune/job_0/events"],
    Scope.TUNE: ["POST /tune", "POST /datasets", "POST /tune/job_0/cancel"],
    Scope.PREDICT: ["POST /predict"],
    Scope.PROMOTE: [
        "POST /models/m/rollback",
        "PUT /models/m/aliases/champion",
        "PATCH /models/m",
    ],
    Scope.ADMIN: [
        "DELETE /datasets/ds_0",
        "DELETE /tune/job_0",
        "POST /tune/job_0/requeue",
        "GET /audit",
    ],
}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def call(client: FlaskClient, request: str, key: str | None = None) -> TestResponse:
    method, path = request.split()
    headers = {} if key is None else bearer(key)
    return client.open(path, method=method, json=BODIES.get(request), headers=headers)


@pytest.fixture
def catalog(database: Database) -> KeyCatalog:
    return KeyCatalog(database)


def test_every_operation_declares_its_scope(app_client: FlaskClient) -> None:
    endpoints = {rule.endpoint for rule in app_client.application.url_map.iter_rules()}
    assert endpoints - set(OPERATIONS) == set(), "name their scopes in api/hooks/auth.py"
    assert set(OPERATIONS) - endpoints == set(), "api/hooks/auth.py names what is not there"


def test_what_declares_no_scope_needs_the_largest() -> None:
    assert scope_of("models.forgotten") is Scope.ADMIN
    assert scope_of(None) is None


def test_only_probes_and_documents_are_open(app_client: FlaskClient, catalog: KeyCatalog) -> None:
    catalog.create("ci", ["read"])
    for rule in app_client.application.url_map.iter_rules():
        page = "app.js" if rule.endpoint == "dashboard.static" else "swagger-ui.css"
        path = rule.rule.replace("<path:name>", page)
        path = re.sub("<[^>]+>", "x", re.sub("<int[^>]+>", "1", path))
        for method in (rule.methods or set()) - {"OPTIONS"}:
            status = app_client.open(path, method=method, buffered=True).status_code
            expected = (
                status in (200, 302) if OPERATIONS[rule.endpoint].scope is None else status == 401
            )
            assert expected, (method, path, status)


@pytest.mark.parametrize("scope", list(Scope))
def test_a_key_may_do_what_its_scope_says_and_no_more(
    app_client: FlaskClient, catalog: KeyCatalog, refused: Refused, scope: Scope
) -> None:
    _, key = catalog.create("one", [scope])
    for needed, requests in EXAMPLES.items():
        for request in requests:
            response = call(app_client, request, key)
            if scope in (needed, Scope.ADMIN):
                assert response.status_code not in (401, 403), request
            else:
                refused(response, 403)
                assert f"'{needed}'" in response.get_json()["detail"]


def test_every_key_that_is_not_good_gets_the_same_answer(
    app_client: FlaskClient, catalog: KeyCatalog, database: Database
) -> None:
    record, revoked = catalog.create("revoked", ["read"])
    catalog.revoke(record.id)
    record, expired = catalog.create("expired", ["read"])
    with database.write() as connection:
        earlier = datetime.now(UTC) - timedelta(seconds=1)
        connection.execute(api_keys.update().values(expires=earlier))
    other_secret = f"{expired[:-4]}AAAA"
    wrong = [
        None,
        "",
        "x",
        "ключ",
        revoked,
        expired,
        other_secret,
        f"luthier_{'0' * 12}_{'A' * 43}",
    ]
    answers = [
        app_client.get("/tune", headers={} if key is None else {"X-API-Key": key}) for key in wrong
    ] + [
        app_client.get("/tune", headers={"Authorization": text})
        for text in ("Basic YTpi", "Bearer", "Bearer  ", f"Bearer {revoked}", "Bearer a b")
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert {answer.headers["WWW-Authenticate"] for answer in answers} == {'Bearer realm="luthier"'}
    bodies = [answer.get_json() | {"request_id": ""} for answer in answers]
    assert all(body == bodies[0] for body in bodies)


def test_a_key_is_read_from_either_header(app_client: FlaskClient, catalog: KeyCatalog) -> None:
    _, key = catalog.create("ci", ["read"])
    for headers in (
        bearer(key),
        {"Authorization": f"bearer {key}"},
        {"X-API-Key": key},
        {"X-API-Key": key, "Authorization": "Basic YTpi"},  # of a proxy before the service
    ):
        assert app_client.get("/tune", headers=headers).status_code == 200


def test_a_key_of_the_settings_works_and_closes_the_service(
    settings: Settings, connect: Connect
) -> None:
    client = connect(Settings(data=settings.data, api_keys=f"ci:read:{SECRET}"))
    assert call(client, "GET /tune").status_code == 401
    assert call(client, "GET /tune", SECRET).status_code == 200
    assert call(client, "POST /predict", SECRET).status_code == 403
    assert call(client, "GET /tune", SECRET + "0").status_code == 401


@pytest.mark.parametrize(
    ("bind", "status"), [("127.0.0.1:1", 200), ("[::1]:1", 200), ("0.0.0.0:1", 401)]
)
def test_without_keys_only_loopback_is_open(
    settings: Settings, connect: Connect, bind: str, status: int
) -> None:
    client = connect(Settings(data=settings.data, bind=bind))
    assert call(client, "GET /tune").status_code == status
    anyone = connect(Settings(data=settings.data, bind=bind, allow_anonymous=True))
    assert call(anyone, "GET /tune").status_code == 200


def test_a_service_stays_closed_when_its_last_key_ends(
    settings: Settings, connect: Connect, catalog: KeyCatalog
) -> None:
    record, key = catalog.create("ci", ["read"])
    catalog.revoke(record.id)
    for allow_anonymous in (False, True):
        client = connect(Settings(data=settings.data, allow_anonymous=allow_anonymous))
        assert call(client, "GET /tune").status_code == 401
        assert call(client, "GET /tune", key).status_code == 401


def test_a_good_key_is_remembered_and_a_revoked_one_forgotten(catalog: KeyCatalog) -> None:
    clock = [0.0]
    ring = KeyRing(catalog, clock=lambda: clock[0])
    assert not ring.has_keys()
    record, key = catalog.create("ci", ["read"])
    assert not ring.has_keys()  # it has just looked
    clock[0] += REMEMBERED_SECONDS
    assert ring.has_keys()
    assert ring.caller(key)
    catalog.revoke(record.id)
    assert ring.caller(key)
    clock[0] += REMEMBERED_SECONDS
    assert ring.caller(key) is None
    assert ring.has_keys()


def test_an_open_service_stays_open_while_the_database_is_away(
    catalog: KeyCatalog, database: Database, settings: Settings
) -> None:
    clock = [0.0]
    ring, other = (KeyRing(catalog, clock=lambda: clock[0]) for _ in range(2))
    assert not ring.has_keys()
    clock[0] += REMEMBERED_SECONDS
    with database_away(settings, database):
        assert not ring.has_keys()
        with pytest.raises(SQLAlchemyError):
            other.has_keys()  # it never knew
    catalog.create("ci", ["read"])
    assert not ring.has_keys()
    clock[0] += REMEMBERED_SECONDS
    assert ring.has_keys()
    assert other.has_keys()


def test_an_expiry_is_not_outlived_by_what_is_remembered(catalog: KeyCatalog) -> None:
    clock = [0.0]
    ring = KeyRing(catalog, clock=lambda: clock[0])

    def was_remembered() -> bool:
        soon = datetime.now(UTC) + timedelta(seconds=2)
        _, key = catalog.create("ci", ["read"], expires=soon)
        if ring.caller(key) is None:
            return False  # a busy machine took two seconds to ask
        clock[0] += 2.0
        wait_until(lambda: datetime.now(UTC) >= soon)
        assert ring.caller(key) is None
        return True

    wait_until(was_remembered)


def test_a_key_cannot_be_made_for_the_past(catalog: KeyCatalog) -> None:
    with pytest.raises(Invalid, match=r"^expires: "):
        catalog.create("ci", ["read"], expires=datetime.now(UTC))


def test_answers_to_callers_are_not_stored(app_client: FlaskClient, catalog: KeyCatalog) -> None:
    _, key = catalog.create("ci", ["read"])
    for response in (call(app_client, "GET /tune"), call(app_client, "GET /tune", key)):
        assert response.headers["Cache-Control"] == "no-store"
    assert "Cache-Control" not in app_client.get("/healthz").headers


def test_the_contract_names_schemes_scopes_and_refusals(app_client: FlaskClient) -> None:
    contract = app_client.get("/openapi.json").get_json()
    assert set(contract["components"]["securitySchemes"]) == {"bearer", "apiKey"}
    predict = contract["paths"]["/predict"]["post"]
    assert predict["security"] == [{"bearer": []}, {"apiKey": []}]
    assert predict["x-scope"] == "predict"
    assert {"401", "403"} <= set(predict["responses"])
    assert contract["paths"]["/healthz"]["get"]["security"] == []
    assert "429" in contract["paths"]["/tune"]["post"]["responses"]


def test_the_client_sends_its_key_to_a_service_beyond_this_machine(
    settings: Settings, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real `luthier api` that is bound wide, and keys of the settings."""
    port = free_bind().rpartition(":")[2]
    bind, url = f"0.0.0.0:{port}", f"http://127.0.0.1:{port}"
    keys = f"ci:read:{SECRET}"
    with running("api", tmp_path / "log", bind=bind, data=settings.data, api_keys=keys) as process:
        wait_until(lambda: process.poll() is not None or _answers(url))
        assert process.poll() is None, (tmp_path / "log").read_text()
        with (
            Client(url, api_key=SECRET, timeout=PATIENCE) as client,
            pytest.raises(RequestRefused) as refusal,
        ):
            client.job("job_0")
        assert refusal.value.status == 404
        monkeypatch.setenv("LUTHIER_API_KEY", SECRET)
        with Client(url, timeout=PATIENCE) as client, pytest.raises(RequestRefused) as refusal:
            client.cancel("job_0")
        assert refusal.value.status == 403
        monkeypatch.delenv("LUTHIER_API_KEY")
        with Client(url, timeout=PATIENCE) as client, pytest.raises(RequestRefused) as refusal:
            client.job("job_0")
        assert refusal.value.status == 401
        assert SECRET not in (tmp_path / "log").read_text()
        assert "no valid key came from 127.0.0.1" in (tmp_path / "log").read_text()


def _answers(url: str) -> bool:
    try:
        return fetch(f"{url}/healthz").is_success
    except httpx.TransportError:
        return False
