"""Tags and descriptions of jobs: given, shown, changed, and found by."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update

from models.store.engine import Database
from models.store.tables import job_tags, jobs

MINIMAL = {"model": "iris", "dataset": "builtin:iris", "target": "target"}
# Names that a query without parameters, or one by patterns, would confuse.
ODD = ["größe", "a,b", "100%", "_", "it's", '"q"', "a b", "日本 🎻", "-1", "null", "A"]
Refused = Callable[..., dict[str, Any]]


def start(client: FlaskClient, **changes: Any) -> str:
    response = client.post("/tune", json=MINIMAL | changes)
    assert response.status_code == 202, response.get_json()
    return str(response.get_json()["id"])


def listed(client: FlaskClient, *tags: str, **query: Any) -> list[str]:
    response = client.get("/tune", query_string={"tag": tags, **query})
    assert response.status_code == 200, response.get_json()
    return [job["id"] for job in response.get_json()["items"]]


def labels(client: FlaskClient, job: str) -> tuple[list[str], str | None]:
    shown = client.get(f"/tune/{job}").get_json()
    assert {"tags", "description"}.isdisjoint(shown["request"])
    return shown["tags"], shown["description"]


@pytest.mark.both_databases
def test_jobs_are_found_by_all_of_their_tags(app_client: FlaskClient) -> None:
    first = start(app_client, tags=["b", "a"], description="Line one\nline two")
    second = start(app_client, model="other", tags=["a", *ODD])
    third = start(app_client)
    assert labels(app_client, first) == (["b", "a"], "Line one\nline two")
    assert labels(app_client, third) == ([], None)
    assert listed(app_client) == [third, second, first]
    assert listed(app_client, "a") == [second, first]
    assert listed(app_client, "a", "b") == [first]
    assert listed(app_client, "a", model="other") == [second]
    assert listed(app_client, "a", limit=1) == [second]
    assert listed(app_client, "a", limit=1, after=second) == [first]
    assert listed(app_client, "a", state="failed") == []
    assert listed(app_client, model="iris") == [third, first]
    for tag in ODD:
        assert listed(app_client, tag) == [second], tag
    for tag in ("grosse", "1", "%", "q", "a' OR '1'='1", "日本"):
        assert listed(app_client, tag) == [], tag


@pytest.mark.both_databases
def test_labels_are_changed_in_any_state(app_client: FlaskClient, database: Database) -> None:
    job = start(app_client, tags=["old", "kept"], description="first")
    with database.write() as connection:
        connection.execute(update(jobs).values(state="cancelled", stop_reason=None))
    changed = app_client.patch(f"/tune/{job}", json={"tags": ["new", "kept"]})
    assert changed.status_code == 202, changed.get_json()
    assert changed.get_json()["tags"] == ["new", "kept"]
    assert changed.get_json()["state"] == "cancelled"
    assert labels(app_client, job) == (["new", "kept"], "first")
    assert listed(app_client, "old") == []
    app_client.patch(f"/tune/{job}", json={"description": None, "tags": []})
    assert labels(app_client, job) == ([], None)
    assert app_client.patch("/tune/job_0", json={"tags": []}).status_code == 404


def test_budget_and_labels_change_together_or_not_at_all(
    app_client: FlaskClient, refused: Refused
) -> None:
    job = start(app_client, tags=["old"], pruning={"rule": "median"})
    body: dict[str, Any] = {"budget": {"max_trials": 30}, "tags": ["new"]}
    raised = app_client.patch(f"/tune/{job}", json=body).get_json()
    assert (raised["tags"], raised["progress"]["total"]) == (["new"], 30)
    wrong = {"budget": {"epochs": 1}, "tags": ["newer"], "description": "no"}
    assert "budget.epochs" in refused(app_client.patch(f"/tune/{job}", json=wrong), 422)
    assert labels(app_client, job) == (["new"], None)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"tags": "prices"}, "tags"),
        ({"tags": None}, "tags"),
        ({"tags": ["a", "b", "a"]}, "tags"),
        ({"tags": [str(n) for n in range(21)]}, "tags"),
        ({"tags": ["a", ""]}, "tags.1"),
        ({"tags": ["x" * 65]}, "tags.0"),
        ({"tags": [" a"]}, "tags.0"),
        ({"tags": ["a\u00a0"]}, "tags.0"),
        ({"tags": ["a\nb"]}, "tags.0"),
        ({"tags": [3]}, "tags.0"),
        ({"description": ""}, "description"),
        ({"description": "x" * 2001}, "description"),
        ({"description": "a\u0000b"}, "description"),
    ],
)
def test_other_labels_are_refused(
    shared_client: FlaskClient, refused: Refused, body: dict[str, Any], path: str
) -> None:
    assert path in refused(shared_client.post("/tune", json=MINIMAL | body), 422)
    assert path in refused(shared_client.patch("/tune/job_0", json=body), 422)


def test_the_limits_themselves_are_accepted(app_client: FlaskClient) -> None:
    tags = [f"{n:02}" + "🎻" * 62 for n in range(20)]
    job = start(app_client, tags=tags, description="🎻" * 2000)
    assert labels(app_client, job) == (tags, "🎻" * 2000)
    assert listed(app_client, *tags) == [job]


def test_a_filter_of_no_tag_is_refused(shared_client: FlaskClient, refused: Refused) -> None:
    for tag in ("", "x" * 65, " "):
        assert "tag.0" in refused(shared_client.get("/tune", query_string={"tag": tag}), 422)
    assert "tag" in refused(shared_client.get("/tune?tag=a&tag=a"), 422)


@pytest.mark.both_databases
def test_jobs_are_deleted_by_tags_and_take_theirs_along(
    app_client: FlaskClient, database: Database
) -> None:
    both, one = start(app_client, tags=["a", "b"]), start(app_client, tags=["a"])
    for job in (both, one):
        app_client.post(f"/tune/{job}/cancel")
    query = {"tag": ["a", "b"]}
    assert app_client.delete("/tune", query_string=query).get_json()["ids"] == [both]
    assert app_client.delete("/tune", query_string={"tag": "b"}).get_json()["ids"] == []
    assert listed(app_client) == [one]
    with database.read() as connection:
        assert connection.execute(select(job_tags.c.job)).scalars().all() == [one]
    (entry, *_) = app_client.get("/audit", query_string={"id": both}).get_json()["items"]
    assert entry["details"]["tag"] == ["a", "b"]
