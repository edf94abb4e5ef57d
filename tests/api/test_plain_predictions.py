"""Predictions that are answered before Flask are those that Flask answers."""

import gzip
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from flask import Flask, request_started
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from models.access.catalog import KeyCatalog
from models.access.keys import Scope
from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.engine import Database
from tests.answers import without_id
from tests.prometheus import value
from tests.tiny_versions import publish_version

BODY = {"model": "m", "instances": [[1.0], {"x": 2}]}
FLASK = {"Accept": "application/json;q=0.9"}  # no plain request
ANOTHER = ("X-Request-ID", "X-Prediction-ID")  # headers that differ between two answers

Post = Callable[..., TestResponse]


@pytest.fixture
def post(app_client: FlaskClient, database: Database, settings: Settings) -> Post:
    """Post a body to `/predict`; `m` adds one to twice a number, `c` has two classes."""
    artifacts = Artifacts(settings.resolved_artifacts)
    publish_version(database, artifacts)
    publish_version(database, artifacts, classes=["no", "yes"], model="c")

    def send(body: Any = BODY, path: str = "/predict", **headers: str) -> TestResponse:
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return app_client.post(
            path,
            data=content,
            content_type="application/json",
            headers=headers,
            buffered=True,
        )

    return send


@contextmanager
def seen_by_flask(app: Flask) -> Iterator[list[str]]:
    """The paths of requests that reach Flask."""
    seen: list[str] = []

    def note(sender: Flask, **_: Any) -> None:
        seen.append(sender.name)

    with request_started.connected_to(note, app):
        yield seen


def body_of(response: TestResponse) -> dict[str, Any]:
    is_packed = response.headers.get("Content-Encoding") == "gzip"
    return without_id(json.loads(gzip.decompress(response.data) if is_packed else response.data))


def headers_of(response: TestResponse) -> list[tuple[str, str]]:
    """All but those that differ with the id of a prediction, as the length of gzip does."""
    packed = ("Content-Length",) if "Content-Encoding" in response.headers else ()
    return sorted(header for header in response.headers if header[0] not in (*ANOTHER, *packed))


@pytest.mark.parametrize(
    "body",
    [
        BODY,
        BODY | {"version": 1},
        {"model": "c", "instances": [[0.25], [0.75]]},
        {"model": "m", "instances": [[float(n)] for n in range(500)]},
    ],
    ids=["rows", "version", "classes", "many"],
)
@pytest.mark.parametrize("coding", ["", "gzip"])
def test_both_answer_alike(app_client: FlaskClient, post: Post, body: Any, coding: str) -> None:
    accepted = {"Accept-Encoding": coding} if coding else {}
    with seen_by_flask(app_client.application) as seen:
        plain = post(body, **accepted)
        assert seen == []
        general = post(body, **accepted, **FLASK)
        assert len(seen) == 1
    assert plain.status_code == general.status_code == 200
    assert headers_of(plain) == headers_of(general)
    assert body_of(plain) == body_of(general)
    for header in ANOTHER:
        assert plain.headers[header] != general.headers[header]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"{", 400),
        (b'{"model": "m", "instances": [[NaN]]}', 400),
        (b'{"model": "m", "instances": [["\\u0000"]]}', 422),
        (b'{"model": "m", "instances": [[' + b"[" * 200 + b"]" * 200 + b"]]}", 422),
        ({"model": "m"}, 422),
        ({"model": "m", "instances": []}, 422),
        ({"model": "m", "instances": [["far"]]}, 422),
        ({"model": "m", "instances": [[1.7e308]]}, 422),
        ({"model": "m", "instances": [[1]], "version": 9}, 404),
        ({"model": "nobody", "instances": [[1]]}, 404),
    ],
    ids=lambda case: str(case)[:40],
)
def test_what_is_wrong_is_said_by_flask(
    app_client: FlaskClient, post: Post, body: Any, status: int
) -> None:
    with seen_by_flask(app_client.application) as seen:
        plain, general = post(body), post(body, **FLASK)
    assert len(seen) == 2
    assert (plain.status_code, general.status_code) == (status, status), plain.get_json()
    bodies = [response.get_json() for response in (plain, general)]
    for each in bodies:
        del each["request_id"]
    assert bodies[0] == bodies[1]


@pytest.mark.parametrize(
    "change",
    [
        {"Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "evil.example"},
    ],
    ids=str,
)
def test_pages_of_other_sites_are_refused(post: Post, change: dict[str, str]) -> None:
    assert post(**change).status_code == 403


def test_other_requests_reach_flask(app_client: FlaskClient, post: Post) -> None:
    with seen_by_flask(app_client.application) as seen:
        assert post(path="/predict?missing_columns=null").status_code == 200
        assert post(BODY | {"alias": "champion"}).status_code == 200
        assert post(BODY, Accept="text/csv").mimetype == "text/csv"
        assert app_client.get("/predict").status_code == 405
    assert len(seen) == 4


def test_keys_are_looked_at(app_client: FlaskClient, database: Database, post: Post) -> None:
    catalog = KeyCatalog(database)
    _, reads = catalog.create("dashboard", {Scope.READ})
    _, predicts = catalog.create("shop", {Scope.PREDICT})
    with seen_by_flask(app_client.application) as seen:
        assert post().status_code == 401
        assert post(Authorization="Bearer lk_nobody").status_code == 401
        assert post(Authorization=f"Bearer {reads}").status_code == 403
        assert len(seen) == 3
        assert post(Authorization=f"Bearer {predicts}").status_code == 200
        assert post(**{"X-API-Key": predicts}).status_code == 200
        assert len(seen) == 3


def test_each_request_is_counted_and_logged_once(
    app_client: FlaskClient, post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="api.hooks.request_log"):
        for headers in ({}, FLASK):
            post(**headers)
            post({"model": "m", "instances": [["far"]]}, **headers)
    fields: list[dict[str, Any]] = [record.__dict__["fields"] for record in caplog.records]
    messages = [record.getMessage() for record in caplog.records]
    lines = [(text, each["status"]) for text, each in zip(messages, fields, strict=True)]
    assert lines == [("POST /predict", 200), ("POST /predict", 422)] * 2
    assert {each["route"] for each in fields} == {"/predict"}
    text = app_client.get("/metrics").get_data(as_text=True)
    requests = "luthier_http_requests_total"
    assert value(text, requests, route="/predict", method="POST", status="2xx") == 2
    assert value(text, requests, route="/predict", method="POST", status="4xx") == 2
    assert value(text, "luthier_predicted_rows_total", model="m", version="1") == 4
    assert value(text, "luthier_http_requests_in_flight") == 1, "the scrape itself"
    app_client.application.extensions["luthier"].recorder.flush(whole=True)
    (figures,) = app_client.get("/models/m/monitor").get_json()["versions"]
    assert (figures["requests"], figures["rows"]) == (4, 4)
    assert figures["refused"] == 2
