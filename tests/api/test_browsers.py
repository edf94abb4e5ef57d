"""What a browser is told, and what pages of other sites cannot make it do here."""

import base64
import hashlib
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from models.access.catalog import KeyCatalog
from models.settings import Settings
from models.store.engine import Database

Refused = Callable[..., dict[str, Any]]
Connect = Callable[[Settings], FlaskClient]

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
ROLLBACK = "/models/m/rollback"  # needs no body, so that any page could send it


@pytest.mark.parametrize(
    "call",
    ["GET /", "GET /docs", "GET /openapi.yaml", "GET /healthz", "GET /tune", "GET /none",
     "POST /tune", "PUT /tune", "OPTIONS /tune", "GET /tune/job_0"],
)  # fmt: skip
def test_every_answer_has_the_security_headers(shared_client: FlaskClient, call: str) -> None:
    method, path = call.split()
    response = shared_client.open(path, method=method)
    for name, value in HEADERS.items():
        assert response.headers[name] == value
    assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]


def test_only_the_docs_may_run_scripts_and_only_their_own(shared_client: FlaskClient) -> None:
    policy = shared_client.get("/tune").headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    page = shared_client.get("/docs")
    policy = page.headers["Content-Security-Policy"]
    (scripts,) = re.findall(r"script-src ([^;]+);", policy)
    assert "unsafe" not in scripts
    (inline,) = re.findall(r"<script>(.*?)</script>", page.get_data(as_text=True), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
    assert scripts == f"'self' 'sha256-{digest}'"


def test_cors_is_off(shared_client: FlaskClient, refused: Refused) -> None:
    origin = {"Origin": "https://evil.test"}
    for path in ("/tune", "/openapi.yaml", "/healthz"):
        response = shared_client.get(path, headers=origin)
        assert response.status_code == 200
        assert not [name for name in dict(response.headers) if "access-control" in name.lower()]
    preflight = origin | {"Access-Control-Request-Method": "POST"}
    response = shared_client.options("/tune", headers=preflight)
    refused(response, 403)
    assert not [name for name in dict(response.headers) if "access-control" in name.lower()]


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.test"},
        {"Origin": "http://localhost:9999"},
        {"Origin": "null"},
    ],
)
def test_a_page_of_another_site_changes_nothing(
    shared_client: FlaskClient, refused: Refused, headers: dict[str, str]
) -> None:
    refused(shared_client.post(ROLLBACK, headers=headers), 403)
    refused(shared_client.delete("/tune/job_0", headers=headers), 403)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://localhost"},
    ],
)
def test_our_own_pages_and_other_clients_are_served(
    shared_client: FlaskClient, refused: Refused, headers: dict[str, str]
) -> None:
    refused(shared_client.post(ROLLBACK, headers=headers), 404)


def test_an_open_service_answers_only_under_a_loopback_name(
    settings: Settings, database: Database, connect: Connect, refused: Refused
) -> None:
    """Or a page could reach it under its own name, once that means 127.0.0.1 (DNS rebinding)."""
    client = connect(settings)
    for host in ("localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000"):
        assert client.get("/tune", headers={"Host": host}).status_code == 200
    for host in (
        "evil.test",
        "evil.test:8000",
        "127.0.0.1.evil.test",
        "10.0.0.1",
        "localhost.evil",
    ):
        refused(client.get("/tune", headers={"Host": host}), 403)
    assert client.get("/healthz", headers={"Host": "evil.test"}).status_code == 200
    asked_for = connect(Settings(data=settings.data, allow_anonymous=True))
    assert asked_for.get("/tune", headers={"Host": "luthier.test"}).status_code == 200
    _, key = KeyCatalog(database).create("ci", ["read"])
    headers = {"Host": "luthier.test", "X-API-Key": key}
    assert connect(settings).get("/tune", headers=headers).status_code == 200
