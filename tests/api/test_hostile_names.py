"""Names and addresses that try paths, headers, log lines or scripts."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from models.settings import Settings

Refused = Callable[..., dict[str, Any]]

TUNE = {"model": "m", "dataset": "builtin:iris", "target": "target"}
PATHS = [
    "..%2f..%2fluthier.db",
    "%2e%2e",
    "..%5c..%5cx",
    "%2fetc%2fpasswd",
    "C:%5cx",
    "....%2f%2f",
    "/evil.test",
]
CONTROLS = ["a%00", "a%0d%0aSet-Cookie:%20x=1", "a%0aERROR%20forged", "a%1b[2J", "a%e2%80%a8b"]
NAMES = [
    "../x",
    "..",
    "/etc/passwd",
    "a\\b",
    "a\r\nX: y",
    "a\nb",
    "a\x00",
    "a b",
    "ä",
    "<b>",
    "-a",
    "",
    "a" * 101,
]
PLACES = [
    "/datasets/{}",
    "/datasets/{}/preview",
    "/tune/{}",
    "/tune/{}/trials",
    "/tune/{}/events",
    "/tune/{}/report",
    "/models/{}",
    "/models/{}/versions/1",
    "/models/m/versions/1/artifacts/{}",
    "/docs/assets/{}",
]


@pytest.mark.parametrize("place", PLACES)
def test_no_place_leads_out_of_the_store(
    shared_client: FlaskClient, refused: Refused, place: str
) -> None:
    for name in PATHS:
        refused(shared_client.get(place.format(name)), 404)


@pytest.mark.parametrize("place", PLACES)
def test_control_characters_are_refused_before_anything_sees_them(
    shared_client: FlaskClient, refused: Refused, place: str
) -> None:
    for name in CONTROLS:
        response = shared_client.get(place.format(name))
        refused(response, 400)
        assert "Set-Cookie" not in response.headers


def test_control_characters_are_refused_in_queries(
    shared_client: FlaskClient, refused: Refused
) -> None:
    for query in ("after=a%00", "limit=1&x%0a=1", "after=b&after=a%0d"):
        response = shared_client.get(f"/models?{query}")
        refused(response, 400)
        assert response.get_json()["detail"] == "The address holds control characters."


@pytest.mark.parametrize("name", NAMES)
def test_a_model_s_name_is_safe_everywhere(
    shared_client: FlaskClient, refused: Refused, name: str
) -> None:
    bodies = {"/tune": TUNE | {"model": name}, "/predict": {"model": name, "instances": [[1]]}}
    for path, body in bodies.items():
        response = shared_client.post(path, json=body)
        assert "model" in refused(response, 422)


def form(filename: str, **fields: str) -> dict[str, Any]:
    parts = [
        f"--b\r\nContent-Disposition: form-data; name={key}\r\n\r\n{text}\r\n"
        for key, text in fields.items()
    ]
    file = f"--b\r\nContent-Disposition: form-data; name=file; {filename}\r\n\r\na,b\n1,2\n3,4\r\n"
    body = "".join([*parts, file, "--b--\r\n"]).encode()
    return {"data": body, "content_type": "multipart/form-data; boundary=b"}


def test_the_name_of_a_file_is_a_name_and_no_path(
    app_client: FlaskClient, settings: Settings, refused: Refused
) -> None:
    for filename in ("filename*=UTF-8''a%0D%0Ab.csv", "filename*=UTF-8''a%00.csv"):
        assert "file" in refused(app_client.post("/datasets", **form(filename)), 422)
    long = f'filename="{"x" * 200}.csv"'
    assert "file" in refused(app_client.post("/datasets", **form(long)), 422)
    made = app_client.post("/datasets", **form('filename="../../../../tmp/a.csv"'))
    assert made.status_code == 201
    assert re.fullmatch(r"/datasets/ds_[0-9a-f]{32}", made.headers["Location"])
    stored = {path.parts[-2] for path in Path(settings.data).rglob("*.parquet")}
    assert stored == {made.get_json()["id"]}


def test_the_name_of_a_dataset_is_one_line(app_client: FlaskClient, refused: Refused) -> None:
    upload = form("filename=a.csv", name="a\x0bb")
    assert "name" in refused(app_client.post("/datasets", **upload), 422)
    body = {"records": [{"a": 1}, {"a": 2}], "name": "a\r\nb"}
    assert "name" in refused(app_client.post("/datasets", json=body), 422)


def test_an_answer_s_headers_hold_nothing_of_the_caller(
    app_client: FlaskClient, refused: Refused
) -> None:
    key = {"Idempotency-Key": "k" * 256}
    refused(app_client.post("/tune", json=TUNE, headers=key), 422)
    made = app_client.post("/tune", json=TUNE, headers={"Idempotency-Key": "<script>"})
    assert re.fullmatch(r"/tune/job_[0-9a-f]{16}", made.headers["Location"])
