import io
import json
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
import pytest
from flask.testing import FlaskClient
from sqlalchemy import update

from api.schemas.reading import ReadOptionsSchema
from models.data.table import ReadOptions
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


def test_a_stored_file_is_read_anew_with_other_types(app_client: FlaskClient) -> None:
    first = upload(app_client, "a.csv", b"zip,y\n8010,1\n8020,2\n1010,3\n")
    response = app_client.post(
        "/datasets", json={"from": first["id"], "types": {"zip": "category"}}
    )
    again = response.get_json()
    assert response.status_code == 201, again
    assert response.headers["Location"] == f"/datasets/{again['id']}"
    assert [first["columns"][0]["type"], again["columns"][0]["type"]] == ["number", "category"]
    assert (again["name"], again["rows"]) == ("a.csv", 3)
    named = app_client.post("/datasets", json={"from": again["id"], "name": "other"}).get_json()
    assert (named["id"], named["name"]) == (first["id"], "a.csv")  # it is known by that name


def test_only_a_dataset_with_its_file_is_read_anew(
    app_client: FlaskClient, database: Database, refused: Callable[..., dict[str, Any]]
) -> None:
    first = upload(app_client, "a.csv", b"zip,y\n8010,1\n8020,2\n")
    with database.write() as connection:
        connection.execute(update(datasets).values(source=None))
    response = app_client.post("/datasets", json={"from": first["id"]})
    assert "Upload it again" in refused(response, 422)["from"][0]
    refused(app_client.post("/datasets", json={"from": "ds_none"}), 404)
    for body in ({"from": first["id"], "records": ROWS}, {"from": "a", "url": "https://b/c.csv"}):
        assert list(refused(app_client.post("/datasets", json=body), 422)) == ["records"]
    bad_type = {"from": first["id"], "types": {"zap": "number"}}
    upload(app_client, "a.csv", b"zip,y\n8010,1\n8020,2\n")
    assert list(refused(app_client.post("/datasets", json=bad_type), 422)) == ["types.zap"]


def test_a_dataset_tells_how_it_was_read_and_what_is_odd(
    app_client: FlaskClient, database: Database
) -> None:
    body = upload(app_client, "rows.csv", FILES["rows.csv"])
    path = f"/datasets/{body['id']}"
    warning = {"column": "y", "code": "identifier", "message": "Every cell differs.", "rows": 3}
    for reading, warnings, shown in (
        ({"delimiter": ","}, [warning], [warning]),
        (None, None, []),  # as an older version stored it
    ):
        with database.write() as connection:
            connection.execute(update(datasets).values(reading=reading, warnings=warnings))
        found = app_client.get(path).get_json()
        assert (found["reading"], found["warnings"]) == (reading, shown)


GOOD_OPTIONS: list[dict[str, Any]] = [
    {"header": 2},
    {"header": "none"},
    {"delimiter": "\t", "encoding": "cp1252", "skip_rows": 0},
    {"decimal": ",", "thousands": "."},
    {"na_values": ["-999", ""], "date_formats": {"when": "%d.%m.%Y"}},
    {"sheet": 1},
    {"sheet": "2024"},
]


@pytest.mark.parametrize("options", GOOD_OPTIONS)
def test_options_of_reading_are_those_of_the_contract(options: dict[str, Any]) -> None:
    read = ReadOptionsSchema().load(options)
    shown = {name: getattr(read, name) for name in options}
    assert shown | {"na_values": list(read.na_values)} == {"na_values": [], **options}
    unnamed = {field.name for field in fields(ReadOptions)} - options.keys()
    assert all(getattr(read, name) == getattr(ReadOptions(), name) for name in unnamed)


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"header": 0}, "header"),
        ({"header": True}, "header"),
        ({"header": 2**31}, "header"),
        ({"header": "auto"}, "header"),
        ({"header": None}, "header"),
        ({"delimiter": ""}, "delimiter"),
        ({"delimiter": "a" * 10}, "delimiter"),
        ({"delimiter": '"'}, "delimiter"),
        ({"delimiter": "\n"}, "delimiter"),
        ({"encoding": "latin-42"}, "encoding"),
        ({"encoding": "../x"}, "encoding"),
        ({"encoding": "hex"}, "encoding"),
        ({"encoding": "zip"}, "encoding"),
        ({"encoding": "punycode"}, "encoding"),
        ({"encoding": "unicode_escape"}, "encoding"),
        ({"decimal": ";"}, "decimal"),
        ({"thousands": "x"}, "thousands"),
        ({"thousands": "."}, "thousands"),
        ({"thousands": ",", "decimal": ","}, "thousands"),
        ({"na_values": "-999"}, "na_values"),
        ({"na_values": [-999]}, "na_values.0"),
        ({"na_values": ["x"] * 1001}, "na_values"),
        ({"skip_rows": -1}, "skip_rows"),
        ({"skip_rows": "1"}, "skip_rows"),
        ({"date_formats": "%Y"}, "date_formats"),
        ({"date_formats": {"a": ""}}, "date_formats.a"),
        ({"sheet": 0}, "sheet"),
        ({"sheet": ""}, "sheet"),
        ({"quote": "'"}, "quote"),
    ],
)
def test_options_that_are_wrong_are_named(
    app_client: FlaskClient,
    refused: Callable[..., dict[str, Any]],
    options: dict[str, Any],
    path: str,
) -> None:
    form = {"file": (io.BytesIO(b"a,y\n1,2\n3,4\n"), "a.csv"), "options": json.dumps(options)}
    for request in ({"data": form}, {"json": {"records": ROWS, "options": options}}):
        assert list(refused(app_client.post("/datasets", **request), 422)) == [f"options.{path}"]


@pytest.mark.parametrize("text", ["{", "x", "5", "[]", "null"])
def test_options_that_are_no_object_are_refused(
    app_client: FlaskClient, refused: Callable[..., dict[str, Any]], text: str
) -> None:
    form = {"file": (io.BytesIO(b"a,y\n1,2\n3,4\n"), "a.csv"), "options": text}
    assert list(refused(app_client.post("/datasets", data=form), 422)) == ["options"]


def test_options_of_a_files_layout_do_not_fit_rows(
    app_client: FlaskClient, refused: Callable[..., dict[str, Any]]
) -> None:
    body = {"records": ROWS, "options": {"delimiter": ";", "na_values": ["-"]}}
    response = app_client.post("/datasets", json=body)
    assert list(refused(response, 422)) == ["options.delimiter"]
