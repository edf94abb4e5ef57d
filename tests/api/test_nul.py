"""U+0000 in a text: PostgreSQL would not keep it, so it is refused over every database."""

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from flask.testing import FlaskClient

pytestmark = pytest.mark.both_databases
Refused = Callable[..., dict[str, Any]]


def parquet(columns: dict[str, list[Any]]) -> bytes:
    sink = io.BytesIO()
    pa.parquet.write_table(pa.table(columns), sink)
    return sink.getvalue()


def archive(**columns: Any) -> bytes:
    sink = io.BytesIO()
    np.savez(sink, **columns)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("method", "path", "body", "places"),
    [
        ("POST", "/datasets", {"records": [{"a": 1}], "name": "x\0"}, ["name"]),
        ("POST", "/datasets", {"records": [{"a": "b"}, {"a": "b\0"}]}, ["records.1.a"]),
        ("POST", "/datasets", {"records": [{"a\0": 1}]}, [r"records.0.a\u0000"]),
        ("POST", "/tune", {"model": "m", "dataset": "ds_\0", "target": "y"}, ["dataset"]),
        (
            "POST",
            "/tune",
            {"model": "m", "dataset": {"records": [{"a": "\0"}]}, "target": "a"},
            ["dataset.records.0.a"],
        ),
        ("POST", "/predict", {"model": "m", "instances": [["\0"]]}, ["instances.0.0"]),
        ("POST", "/tune/x/trials", {"values": {"units": "\0"}}, ["values.units"]),
    ],
)
def test_a_body_names_the_place(
    app_client: FlaskClient,
    refused: Refused,
    method: str,
    path: str,
    body: dict[str, Any],
    places: list[str],
) -> None:
    response = app_client.open(path, method=method, json=body)
    assert list(refused(response, 422)) == places
    assert "U+0000" in response.get_json()["detail"]


def test_an_escaped_backslash_is_no_such_character(app_client: FlaskClient) -> None:
    body = {"records": [{"a": "\\u0000"}, {"a": "b"}], "name": "\\u0000"}
    assert app_client.post("/datasets", json=body).status_code == 201


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"model": "m", "instances": [["\\u0000"]]}', 422),
        (b'{"model": "m\\\\\\u0000", "instances": [[1]]}', 422),
        (b'{"model": "m", "instances": [["\\\\u0000"]]}', 404),  # a backslash, and text
    ],
)
def test_a_nul_character_is_told_from_its_spelling(
    app_client: FlaskClient, refused: Refused, body: bytes, status: int
) -> None:
    refused(app_client.post("/predict", data=body, content_type="application/json"), status)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", b"a,b\n1,x\n2,y\0z\n", "Row 2 holds 'y\\x00z'"),
        ("a.csv", b"a\0,b\n1,x\n2,y\n", "column 'a\\x00'"),
        ("a.jsonl", b'{"a": "x"}\n{"a": "\\u0000"}\n', "Row 2 holds '\\x00'"),
        ("a.json", json.dumps([{"a\0": 1}]).encode(), "column 'a\\x00'"),
        ("a.parquet", parquet({"a": ["x", "y\0"]}), "Row 2 holds 'y\\x00'"),
        ("a.parquet", parquet({"a\0b": [1, 2]}), "column 'a\\x00b'"),
        ("a.npz", archive(a=np.array(["x\0y", "z"])), "Row 1 holds 'x\\x00y'"),
    ],
)
def test_a_file_names_column_or_row(
    app_client: FlaskClient, refused: Refused, name: str, content: bytes, says: str
) -> None:
    response = app_client.post("/datasets", data={"file": (io.BytesIO(content), name)})
    (message,) = refused(response, 422)["file"]
    assert says in message
    assert "U+0000" in message


def test_the_name_in_a_form_is_refused(app_client: FlaskClient, refused: Refused) -> None:
    form = {"file": (io.BytesIO(b"a\n1\n2\n"), "a.csv"), "name": "x\0"}
    assert list(refused(app_client.post("/datasets", data=form), 422)) == ["name"]
