"""Errors have one form, RFC 9457, and tell nothing about the inside."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from models.settings import Settings

Refused = Callable[..., dict[str, Any]]


def test_the_body_is_that_of_rfc_9457(app_client: FlaskClient) -> None:
    response = app_client.get("/tune/job_0", headers={"X-Request-ID": "this-one"})
    assert response.mimetype == "application/problem+json"
    detail = "There is no job 'job_0'."
    assert response.get_json() == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": detail,
        "instance": "/tune/job_0",
        "error": detail,
        "request_id": "this-one",
    }


def test_messages_are_told_by_the_path_of_their_field(app_client: FlaskClient) -> None:
    body = {
        "model": "m",
        "dataset": "builtin:iris",
        "target": "target",
        "search_space": {"units": {"type": "int", "min": 9, "max": 3}},
    }
    problem = app_client.post("/tune", json=body).get_json()
    (message,) = problem["errors"]["search_space.units.min"]
    assert problem["detail"] == f"search_space.units.min: {message}"


def test_an_unknown_route_is_not_found(app_client: FlaskClient, refused: Refused) -> None:
    for path in ("/nowhere", "/tunes", "/tune/", "/models/a/b/c", "/docs/assets/nothing.js"):
        refused(app_client.get(path), 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/tune", {"GET", "HEAD", "OPTIONS", "POST", "DELETE"}),
        ("POST", "/tune/job_0", {"GET", "HEAD", "OPTIONS", "DELETE", "PATCH"}),
        ("GET", "/predict", {"OPTIONS", "POST"}),
        ("PUT", "/models/m", {"GET", "HEAD", "OPTIONS", "DELETE", "PATCH"}),
        ("GET", "/tune/job_0/cancel", {"OPTIONS", "POST"}),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(
    app_client: FlaskClient, refused: Refused, method: str, path: str, allowed: set[str]
) -> None:
    response = app_client.open(path, method=method)
    refused(response, 405)
    assert set(response.headers["Allow"].split(", ")) == allowed


def test_a_database_that_does_not_answer_is_503_and_tells_nothing_of_its_inside(
    tmp_path: Path, connect: Callable[[Settings], FlaskClient], refused: Refused
) -> None:
    """Here every table is missing, which no request can be blamed for."""
    client = connect(Settings(data=str(tmp_path)))
    for response in (client.get("/tune"), client.get("/models/m"), client.get("/datasets")):
        assert refused(response, 503) == {}
        assert response.headers["Retry-After"] == "1"
        text = response.get_data(as_text=True).lower()
        for inside in ("sqlalchemy", "select", "no such table", "traceback", str(tmp_path)):
            assert inside not in text


def test_a_stored_file_that_is_gone_is_a_fault_of_the_service(
    app_client: FlaskClient, settings: Settings, refused: Refused
) -> None:
    rows = [{"a": number, "y": number} for number in range(12)]
    dataset = app_client.post("/datasets", json={"records": rows}).get_json()["id"]
    for file in (Path(settings.resolved_artifacts) / "datasets" / dataset).rglob("*"):
        if file.is_file():
            file.unlink()
    response = app_client.get(f"/datasets/{dataset}/preview")
    refused(response, 500)
    assert settings.data not in response.get_data(as_text=True)
