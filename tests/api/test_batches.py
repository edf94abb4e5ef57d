"""What POST /models/{m}/batch refuses, lists of batches, and a batch of a trained model."""

import io
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from flask.testing import FlaskClient

from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.engine import Database
from tests.api.test_predict_tables import as_csv, post
from tests.batches.conftest import column, store, table_of
from tests.tiny_versions import publish_version
from tests.waiting import wait_until

RECORDS = [{"id": f"n{n}", "x": float(n)} for n in range(3)]
Refused = Callable[..., dict[str, Any]]


@pytest.fixture
def dataset(app_client: FlaskClient, settings: Settings, database: Database) -> str:
    """A stored dataset, and a model that takes it."""
    publish_version(database, Artifacts(settings.resolved_artifacts))
    return store(app_client, RECORDS)


@pytest.mark.parametrize(
    ("request_", "paths"),
    [
        ({"dataset": None}, ["dataset"]),
        ({"keep": ["id", "y"]}, ["keep.1"]),
        ({"keep": ["id", "id"]}, ["keep.1"]),
        ({"keep": "id"}, ["keep"]),
        ({"format": "xlsx"}, ["format"]),
        ({"interval": 0.9}, ["interval"]),
        ({"interval": 1}, ["interval"]),
        ({"threshold": 0.5}, ["threshold"]),
        ({"version": 1, "alias": "champion"}, ["alias"]),
        ({"unknown_columns": "ignore"}, ["unknown_columns"]),
    ],
)
def test_a_request_that_breaks_a_rule_names_the_field(
    app_client: FlaskClient,
    dataset: str,
    refused: Refused,
    request_: dict[str, Any],
    paths: list[str],
) -> None:
    body = {"dataset": dataset} | request_
    assert list(refused(app_client.post("/models/m/batch", json=body), 422)) == paths
    assert app_client.get("/batches").get_json() == {"items": [], "next": None}


def test_all_columns_can_be_kept(app_client: FlaskClient, dataset: str) -> None:
    body = {"dataset": dataset, "keep": "all"}
    assert app_client.post("/models/m/batch", json=body).get_json()["keep"] == ["id", "x"]
    file = {"file": (io.BytesIO(b"x,id\n1,a\n"), "rows.csv"), "keep": "all"}
    answer = app_client.post("/models/m/batch", data=file)
    assert answer.get_json()["keep"] == ["x", "id"]


def test_a_batch_needs_its_parts(app_client: FlaskClient, dataset: str, refused: Refused) -> None:
    def send(body: Any, model: str = "m", status: int = 404) -> dict[str, Any]:
        return refused(app_client.post(f"/models/{model}/batch", json=body), status)

    send({"dataset": dataset}, model="other")
    send({"dataset": dataset, "version": 2})
    send({"dataset": dataset, "alias": "stable"})
    send({"dataset": "ds_none"})
    send({"dataset": "builtin:iris"})
    assert list(send({}, status=422)) == ["dataset"]
    other = store(app_client, [{"id": "a", "z": 1.0}])
    assert list(send({"dataset": other}, status=422)) == ["columns.x"]
    assert list(send({"dataset": other, "missing_columns": "null"}, status=422)) == ["columns"]
    refused(app_client.post("/models/m/batch", data=b"x\n1\n", content_type="text/csv"), 415)
    form = {"data": {"file": "x"}, "content_type": "multipart/form-data"}
    assert list(refused(app_client.post("/models/m/batch", **form), 422)) == ["file"]
    for path in ("/batches/batch_1", "/batches/batch_1/file"):
        refused(app_client.get(path), 404)
    refused(app_client.delete("/batches/batch_1"), 404)


def test_batches_are_listed_in_pages(app_client: FlaskClient, dataset: str) -> None:
    body = {"dataset": dataset}
    made = [app_client.post("/models/m/batch", json=body) for _ in range(3)]
    ids = [response.get_json()["id"] for response in made]
    assert made[0].headers["Location"] == f"/batches/{ids[0]}"
    first = app_client.get("/batches?limit=2").get_json()
    assert [batch["id"] for batch in first["items"]] == [ids[2], ids[1]]
    rest = app_client.get(f"/batches?limit=2&after={first['next']}").get_json()
    assert ([batch["id"] for batch in rest["items"]], rest["next"]) == ([ids[0]], None)
    assert app_client.delete(f"/batches/{ids[0]}").status_code == 200
    found = app_client.get("/batches?state=cancelled").get_json()["items"]
    assert [batch["id"] for batch in found] == [ids[0]]


def test_a_request_sent_twice_with_its_key_makes_one_batch(
    app_client: FlaskClient, dataset: str
) -> None:
    headers = {"Idempotency-Key": "once"}
    first, again = (
        app_client.post("/models/m/batch", json={"dataset": dataset}, headers=headers)
        for _ in range(2)
    )
    assert first.get_json() == again.get_json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(app_client.get("/batches").get_json()["items"]) == 1


def test_a_dataset_needs_the_scope_read(
    settings: Settings, connect: Callable[[Settings], FlaskClient], dataset: str, refused: Refused
) -> None:
    key = "p" * 40
    client = connect(replace(settings, api_keys=f"app:predict:{key}"))
    headers = {"X-API-Key": key}
    body = {"dataset": dataset}
    assert list(refused(client.post("/models/m/batch", json=body, headers=headers), 403)) == [
        "dataset"
    ]
    form = {"file": (io.BytesIO(b"id,x\n1,2\n"), "rows.csv")}
    batch = client.post("/models/m/batch", data=form, headers=headers).get_json()
    assert batch["created_by"] == "app"
    assert client.get(f"/batches/{batch['id']}", headers=headers).status_code == 200
    refused(client.get("/batches", headers=headers), 403)


@pytest.mark.parametrize(("model", "columns"), [("flats", None), ("stock", ["area", "town"])])
def test_a_batch_of_a_trained_model_answers_as_predict(
    trained: Any, model: str, columns: list[str] | None
) -> None:
    rows = [{name: row[name] for name in columns or row} for row in trained.rows]
    numbered = [{"id": f"a{n}"} | row for n, row in enumerate(rows)]
    expected = table_of(
        post(trained, as_csv(rows), accept="text/csv", model=model, interval=0.5).content
    )
    stored = trained.http.post("/datasets", json={"records": numbered}).json()["id"]
    file = {"file": ("rows.csv", as_csv(numbered), "text/csv")}
    url = f"/models/{model}/batch"
    options = {"interval": 0.5, "keep": ["id"]}
    started = [
        trained.http.post(url, json={"dataset": stored, **options}),
        trained.http.post(url, files=file, data={"interval": "0.5", "keep": '["id"]'}),
    ]
    for response in started:
        assert response.status_code == 202, response.text
        location = response.headers["Location"]
        wait_until(partial(is_over, trained, location))
        found = table_of(trained.http.get(f"{location}/file").content)
        assert column(found, "id") == [f"a{n}" for n in range(len(rows))]
        assert column(found, "error") == [""] * len(rows)
        answers = [{k: v for k, v in row.items() if k not in ("id", "error")} for row in found]
        assert answers == expected


def is_over(trained: Any, location: str) -> bool:
    batch = trained.http.get(location).json()
    assert batch["state"] in ("queued", "running", "succeeded"), batch
    return bool(batch["state"] == "succeeded")
