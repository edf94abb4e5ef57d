import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from flask.testing import FlaskClient
from sqlalchemy import update

from models.store.engine import Database
from models.store.tables import datasets

ROWS: list[dict[str, Any]] = [
    {"größe": 1.5, "town": "Graz", "warm": True, "when": "2024-05-31", "y": 1},
    {"größe": 2.5, "town": "Wien", "warm": False, "when": "2024-06-01", "y": 2},
    {"größe": None, "town": None, "warm": None, "when": None, "y": 3},
]
TYPES = {"größe": "number", "town": "category", "warm": "boolean", "when": "datetime"}
CSV = "größe,town,warm,when,y\n1.5,Graz,true,2024-05-31,1\n2.5,Wien,false,2024-06-01,2\n,,,,3\n"


def parquet() -> bytes:
    frame = pd.DataFrame(ROWS).astype({"warm": "boolean"})
    frame["when"] = pd.to_datetime(frame["when"])
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


FILES = {
    "rows.csv": CSV.encode(),
    "rows.tsv": CSV.replace(",", "\t").encode(),
    "rows.json": json.dumps(ROWS).encode(),
    "rows.jsonl": "\n".join(map(json.dumps, ROWS)).encode(),
    "rows.parquet": parquet(),
}


def upload(client: FlaskClient, file: str, content: bytes, **form: str) -> dict[str, Any]:
    response = client.post("/datasets", data={"file": (io.BytesIO(content), file), **form})
    assert response.status_code == 201, response.get_json()
    body = response.get_json()
    assert response.headers["Location"] == f"/datasets/{body['id']}"
    return body


@pytest.mark.parametrize("name", FILES)
def test_every_format_of_a_table_is_read(app_client: FlaskClient, name: str) -> None:
    body = upload(app_client, name, FILES[name], types=json.dumps(TYPES))
    assert body["rows"] == 3
    assert body["name"] == name
    columns = {column["name"]: column for column in body["columns"]}
    assert {name: columns[name]["type"] for name in TYPES} == TYPES
    assert {column["missing"] for column in columns.values()} == {0, 1}
    assert app_client.get(f"/datasets/{body['id']}").get_json() == body


def test_the_same_rows_are_one_dataset_whatever_the_format(app_client: FlaskClient) -> None:
    ids = {
        upload(app_client, name, content, types=json.dumps(TYPES))["id"]
        for name, content in FILES.items()
    }
    body = {"records": ROWS, "types": TYPES}
    ids.add(app_client.post("/datasets", json=body).get_json()["id"])
    assert len(ids) == 1
    assert len(app_client.get("/datasets").get_json()["items"]) == 1


def test_arrays_are_read_from_npz_and_from_json(app_client: FlaskClient) -> None:
    x, y = np.arange(24.0).reshape(12, 2), np.arange(12)
    file = upload(app_client, "arrays.npz", npz(x=x, y=y))
    body = app_client.post("/datasets", json={"x": x.tolist(), "y": y.tolist()}).get_json()
    assert [column["name"] for column in body["columns"]] == ["x0", "x1", "y"]
    assert file["id"] == body["id"]


def test_images_are_read_as_one_column(app_client: FlaskClient) -> None:
    x, y = np.zeros((12, 4, 5, 3)), np.arange(12)
    body = upload(app_client, "images.npz", npz(x=x, y=y))
    assert body["columns"][0]["type"] == "image"
    assert body["columns"][0]["shape"] == [4, 5, 3]
    rows = app_client.get(f"/datasets/{body['id']}/preview?rows=1").get_json()["items"]
    assert np.array(rows[0]["x"]).shape == (4, 5, 3)


def test_types_that_are_given_win_over_those_that_are_seen(app_client: FlaskClient) -> None:
    content = b"zip,y\n8010,1\n8020,2\n1010,3\n"
    inferred = upload(app_client, "a.csv", content)
    given = upload(app_client, "a.csv", content, types='{"zip": "category"}')
    assert [inferred["columns"][0]["type"], given["columns"][0]["type"]] == ["number", "category"]
    assert inferred["id"] != given["id"]


def test_a_dataset_can_be_named(app_client: FlaskClient) -> None:
    assert upload(app_client, "a.csv", b"a,y\n1,2\n3,4\n", name="Häuser 🏠")["name"] == "Häuser 🏠"
    body = {"records": ROWS, "name": "Zeilen"}
    assert app_client.post("/datasets", json=body).get_json()["name"] == "Zeilen"


def test_names_in_any_script_come_back_as_they_were(app_client: FlaskClient) -> None:
    rows = [
        {"площадь": 1, "価格 ($)": 2, 'a"b,c': "naïve"},
        {"площадь": 3, "価格 ($)": 4, 'a"b,c': "x"},
    ]
    body = app_client.post("/datasets", json={"records": rows}).get_json()
    assert [column["name"] for column in body["columns"]] == list(rows[0])
    types = {'a"b,c': "category"}
    body = app_client.post("/datasets", json={"records": rows, "types": types}).get_json()
    preview = app_client.get(f"/datasets/{body['id']}/preview").get_json()["items"]
    assert preview == rows


def test_a_preview_shows_the_first_rows_with_null_for_what_is_missing(
    app_client: FlaskClient,
) -> None:
    body = upload(app_client, "rows.csv", FILES["rows.csv"], types=json.dumps(TYPES))
    path = f"/datasets/{body['id']}/preview"
    rows = app_client.get(path).get_json()["items"]
    assert rows[0] | {"when": None} == ROWS[0] | {"when": None}
    assert rows[0]["when"].startswith("2024-05-31")
    assert rows[2] == ROWS[2]
    assert app_client.get(f"{path}?rows=1").get_json()["items"] == rows[:1]


def test_datasets_come_newest_first_in_pages(app_client: FlaskClient) -> None:
    made = [
        app_client.post("/datasets", json={"records": [{"a": n, "y": 1}, {"a": 1, "y": 2}]})
        for n in range(5)
    ]
    ids = [response.get_json()["id"] for response in made]
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = app_client.get(f"/datasets?limit=2{cursor}").get_json()
        assert len(page["items"]) <= 2
        seen += [item["id"] for item in page["items"]]
        cursor = f"&after={page['next']}" if page["next"] else None
    assert seen == ids[::-1]


def test_a_dataset_that_cannot_be_read_hides_no_other(
    app_client: FlaskClient, database: Database
) -> None:
    made = [
        app_client.post("/datasets", json={"records": [{"a": n, "y": 1}, {"a": 1, "y": 2}]})
        for n in range(2)
    ]
    ids = [response.get_json()["id"] for response in made]
    for columns in ("of another version", ["of another version"], 3):
        with database.write() as connection:
            connection.execute(
                update(datasets).where(datasets.c.id == ids[0]).values(columns=columns)
            )
        response = app_client.get("/datasets")
        assert response.status_code == 200, response.get_json()
        assert [item["id"] for item in response.get_json()["items"]] == ids[::-1]


def test_a_deleted_dataset_is_gone_and_may_come_back(
    app_client: FlaskClient, refused: Callable[..., dict[str, Any]]
) -> None:
    path = f"/datasets/{upload(app_client, 'rows.csv', FILES['rows.csv'])['id']}"
    response = app_client.delete(path)
    assert (response.status_code, response.data) == (204, b"")
    for response in (
        app_client.get(path),
        app_client.delete(path),
        app_client.get(path + "/preview"),
    ):
        refused(response, 404)
    upload(app_client, "rows.csv", FILES["rows.csv"])
    assert len(app_client.get(path + "/preview").get_json()["items"]) == 3


def test_a_dataset_that_a_job_needs_cannot_be_deleted(
    app_client: FlaskClient, refused: Callable[..., dict[str, Any]]
) -> None:
    both = [
        app_client.post("/datasets", json={"records": [{"a": n * k, "y": n} for n in range(20)]})
        for k in (1, 2)
    ]
    train, validate = (response.get_json()["id"] for response in both)
    job = app_client.post(
        "/tune",
        json={
            "model": "m",
            "dataset": train,
            "target": "y",
            "evaluation": {"validation_dataset": validate},
        },
    ).get_json()
    for dataset in (train, validate):
        response = app_client.delete(f"/datasets/{dataset}")
        refused(response, 409)
        assert job["id"] in response.get_json()["detail"]
    app_client.post(f"/tune/{job['id']}/cancel")
    for dataset in (train, validate):
        assert app_client.delete(f"/datasets/{dataset}").status_code == 204
