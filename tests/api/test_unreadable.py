"""Jobs that this version cannot read, over HTTP: each answers for itself alone."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text, update

from models.store.engine import Database
from models.store.tables import jobs

REQUEST = {"model": "m", "dataset": "builtin:iris", "target": "target"}
UNITS = "search_space.units.max"


@pytest.fixture
def unreadable(app_client: FlaskClient, database: Database) -> str:
    """A queued job whose stored space allows what this version does not."""
    job = app_client.post("/tune", json=REQUEST).get_json()
    document = job["request"] | {"search_space": {"units": {"type": "int", "min": 1, "max": 5000}}}
    with database.write() as connection:
        connection.execute(update(jobs).where(jobs.c.id == job["id"]).values(spec=document))
    return str(job["id"])


def test_it_is_listed_and_shown_as_it_is_stored(app_client: FlaskClient, unreadable: str) -> None:
    other = app_client.post("/tune", json=REQUEST).get_json()["id"]
    listed = app_client.get("/tune")
    assert listed.status_code == 200
    assert [job["id"] for job in listed.get_json()["items"]] == [other, unreadable]
    shown = app_client.get(f"/tune/{unreadable}").get_json()
    assert shown["request"]["search_space"]["units"]["max"] == 5000
    assert shown["best_trial"] is None
    assert app_client.get(f"/tune/{unreadable}/trials").get_json()["items"] == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "", {"budget": {"max_trials": 40}}),
        ("POST", "/trials", {"values": {"units": 8}}),
        ("GET", "/trials?sort=score", None),
        ("GET", "/report?format=png", None),
    ],
)
def test_what_needs_its_request_is_refused_with_the_field(
    app_client: FlaskClient,
    unreadable: str,
    refused: Callable[..., dict[str, Any]],
    method: str,
    path: str,
    body: Any,
) -> None:
    response = app_client.open(f"/tune/{unreadable}{path}", method=method, json=body)
    refused(response, 409)
    assert UNITS in response.get_json()["detail"]


def test_it_can_be_cancelled_and_deleted(app_client: FlaskClient, unreadable: str) -> None:
    cancelled = app_client.post(f"/tune/{unreadable}/cancel")
    assert (cancelled.status_code, cancelled.get_json()["state"]) == (202, "cancelled")
    assert app_client.delete(f"/tune/{unreadable}").status_code == 204
    assert app_client.get(f"/tune/{unreadable}").status_code == 404


@pytest.fixture
def with_trial(app_client: FlaskClient) -> str:
    """A queued job with one trial."""
    body = REQUEST | {"strategy": {"name": "random", "initial_trials": [{"units": 8}]}}
    return str(app_client.post("/tune", json=body).get_json()["id"])


def test_a_job_in_a_state_of_a_newer_version_is_shown_and_can_be_deleted(
    app_client: FlaskClient,
    database: Database,
    with_trial: str,
    refused: Callable[..., dict[str, Any]],
) -> None:
    with database.write() as connection:
        connection.execute(update(jobs).values(state="finishing"))
    (shown,) = app_client.get("/tune").get_json()["items"]
    assert (shown["state"], shown["id"]) == ("failed", with_trial)
    assert "finishing" in shown["error"]
    for ask in ("pause", "resume", "cancel"):
        refused(app_client.post(f"/tune/{with_trial}/{ask}"), 409)
    refused(app_client.patch(f"/tune/{with_trial}", json={"budget": {"max_trials": 40}}), 409)
    assert app_client.delete(f"/tune/{with_trial}").status_code == 204


@pytest.mark.parametrize(
    ("column", "stored"),
    [
        ("state", "resting"),
        ("values", "[1]"),
        ("values", "null"),
        ("failure_kind", "martian"),
        ("result", "[[1, 2, 3]]"),
        ("result", '{"folds": 3}'),
        ("result", '{"folds": [3]}'),
        ("result", '{"history": []}'),
    ],
)
def test_a_damaged_trial_is_shown_as_failed_and_hides_no_other(
    app_client: FlaskClient, database: Database, with_trial: str, column: str, stored: str
) -> None:
    more = {"values": {"units": 16}}
    assert app_client.post(f"/tune/{with_trial}/trials", json=more).status_code == 202
    sound = app_client.get(f"/tune/{with_trial}/trials/2").get_json()
    with database.write() as connection:
        change = f'UPDATE trials SET "{column}" = :stored WHERE number = 1'
        connection.execute(text(change), {"stored": stored})
    for query in ("", "?sort=score"):
        listed = app_client.get(f"/tune/{with_trial}/trials{query}").get_json()["items"]
        by_number = {trial["number"]: trial for trial in listed}
        assert by_number[2] == sound
        assert (by_number[1]["state"], by_number[1]["values"]) == ("failed", {})
        assert column in by_number[1]["failure"]["message"]
    assert app_client.get(f"/tune/{with_trial}/report?format=png").status_code == 200
    assert app_client.get(f"/tune/{with_trial}/importance").status_code == 409
    assert app_client.post(f"/tune/{with_trial}/cancel").status_code == 202


@pytest.mark.parametrize("stored", ["[]", "null", "7", '"text"', '{"model": ', "{}"])
def test_a_damaged_request_costs_its_own_job_alone(
    app_client: FlaskClient,
    database: Database,
    refused: Callable[..., dict[str, Any]],
    stored: str,
) -> None:
    job, other = (app_client.post("/tune", json=REQUEST).get_json()["id"] for _ in range(2))
    with database.write() as connection:
        connection.execute(
            text("UPDATE jobs SET spec = :spec WHERE id = :id"), {"spec": stored, "id": job}
        )
    assert [each["id"] for each in app_client.get("/tune").get_json()["items"]] == [other, job]
    shown = app_client.get(f"/tune/{job}").get_json()
    assert (shown["request"], shown["refit"]) == ({}, False)
    refused(app_client.patch(f"/tune/{job}", json={"budget": {"max_trials": 40}}), 409)
    rows = {"records": [{"a": 1}, {"a": 2}]}
    dataset = app_client.post("/datasets", json=rows).get_json()["id"]
    assert app_client.delete(f"/datasets/{dataset}").status_code == 204
    assert app_client.post(f"/tune/{job}/cancel").status_code == 202
    assert app_client.delete(f"/tune/{job}").status_code == 204
    assert app_client.delete(f"/tune/{other}").status_code == 204
