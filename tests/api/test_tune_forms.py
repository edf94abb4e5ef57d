"""`POST /tune` as a form: a file and what to do with it, in one call."""

import io
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from flask.testing import FlaskClient

from api.schemas.tune.form import default_model
from luthier.client import Client
from tests.waiting import PATIENCE

Refused = Callable[..., dict[str, Any]]

CSV = "zip,town,price\n" + "".join(
    f"{8000 + n % 7},{['Graz', 'Wien', 'Linz'][n % 3]},{1000.0 * n}\n" for n in range(60)
)
SPACE = {"num_layers": 1, "units": {"type": "choice", "values": [4, 8]}}


def send(client: FlaskClient, path: str = "/tune", **form: Any) -> Any:
    headers = form.pop("headers", None)
    files = form.pop("files", {"file": (io.BytesIO(CSV.encode()), "houses.csv")})
    return client.post(
        path, data={**form, **files}, headers=headers, content_type="multipart/form-data"
    )


def start(client: FlaskClient, **form: Any) -> dict[str, Any]:
    response = send(client, **form)
    assert response.status_code == 202, response.get_json()
    return response.get_json()


def test_a_file_and_its_target_are_enough(app_client: FlaskClient) -> None:
    response = send(app_client, target="price")
    job = response.get_json()
    assert response.status_code == 202, job
    assert response.headers["Location"] == f"/tune/{job['id']}"
    assert (job["model"], job["state"]) == ("houses", "queued")
    stored = app_client.get(f"/datasets/{job['dataset']}").get_json()
    assert (stored["name"], stored["rows"]) == ("houses.csv", 60)
    same = {"model": "houses", "dataset": job["dataset"], "target": "price"}
    assert app_client.post("/tune", json=same).get_json()["request"] == job["request"]


def test_fields_are_text_or_json(app_client: FlaskClient) -> None:
    asked = start(
        app_client,
        model="m",
        target='"price"',
        features='["zip"]',
        strategy="grid",
        search_space=json.dumps(SPACE),
        budget='{"max_trials": 2}',
        seed="7",
        refit="true",
        early_stopping="null",
    )["request"]
    assert (asked["target"], asked["features"]) == ("price", ["zip"])
    assert asked["strategy"]["name"] == "grid"
    assert asked["search_space"]["units"] == SPACE["units"]
    assert asked["budget"]["max_trials"] == 2
    assert (asked["seed"], asked["refit"], asked["early_stopping"]) == (7, True, None)


def test_one_field_may_hold_the_whole_request(app_client: FlaskClient) -> None:
    request = {"target": "price", "seed": 7, "search_space": SPACE}
    whole = start(app_client, request=json.dumps(request))
    beside = start(app_client, request=json.dumps(request), model="houses")
    assert whole["request"]["seed"] == 7
    assert beside["request"] == whole["request"]


@pytest.mark.parametrize("name", ["5", "true", "null", "[a]", "{a", 'a "b"'])
def test_a_column_needs_no_quotes_whatever_its_name(app_client: FlaskClient, name: str) -> None:
    csv = CSV.replace("price", '"' + name.replace('"', '""') + '"', 1)
    file = (io.BytesIO(csv.encode()), "houses.csv")
    assert start(app_client, target=name, files={"file": file})["request"]["target"] == name


def test_types_say_what_columns_are(app_client: FlaskClient) -> None:
    job = start(app_client, target="price", types='{"zip": "category"}')
    columns = app_client.get(f"/datasets/{job['dataset']}").get_json()["columns"]
    assert columns[0]["type"] == "category"


def test_a_plan_of_a_file_starts_nothing(app_client: FlaskClient) -> None:
    plan = send(app_client, "/tune?dry_run=true", target="price").get_json()
    assert plan["trials"] == 20
    assert app_client.get("/tune").get_json()["items"] == []


@pytest.mark.parametrize(
    ("form", "paths"),
    [
        ({}, ["target"]),
        ({"target": ""}, ["target"]),
        ({"target": "prize"}, ["target"]),
        ({"target": "price", "max_trials": "3"}, ["max_trials"]),
        ({"target": "price", "budget": "10"}, ["budget"]),
        ({"target": "price", "budget": "{max_trials: 10}"}, ["budget"]),
        ({"target": "price", "budget": '{"max_trials": "3"}'}, ["budget.max_trials"]),
        ({"target": "price", "budget": '{"max_trials": NaN}'}, ["budget"]),
        ({"target": "price", "budget": "[" * 100_000}, ["budget"]),
        ({"target": "price", "budget": '{"a\\u0000": 1}'}, ["budget.a\\u0000"]),
        ({"target": "price\0"}, ["target"]),
        ({"target": "price", "seed": "-1", "model": "a b"}, ["seed", "model"]),
        ({"target": "price", "seed": "1.5"}, ["seed"]),
        (
            {"target": "price", "search_space": '{"units": {"type": "int", "min": 9, "max": 3}}'},
            ["search_space.units.min"],
        ),
        (
            {"request": '{"target": "price", "search_space": {"units": {"type": "int"}}}'},
            ["search_space.units.max", "search_space.units.min"],
        ),
        ({"request": "{"}, ["request"]),
        ({"request": "[]"}, ["request"]),
        ({"request": "price"}, ["request"]),
        ({"request": '{"request": {}, "target": "price"}'}, ["request"]),
        ({"request": '{"target": "price"}', "target": "price"}, ["target"]),
        ({"request": '{"target": "price", "file": "x"}'}, ["file"]),
        ({"request": '{"target": "price", "dataset": "builtin:iris"}'}, ["dataset"]),
        ({"target": "price", "dataset": "builtin:iris"}, ["dataset"]),
        ({"target": "price", "types": "zip"}, ["types"]),
        ({"target": "price", "types": '{"zap": "number"}'}, ["types.zap"]),
        ({"target": "price", "options": '{"delimiter": ""}'}, ["options.delimiter"]),
        ({"target": "price", "options": ";"}, ["options"]),
        ({"target": "price", "features": '["zap"]'}, ["features.0"]),
    ],
)
def test_errors_name_the_field_as_in_json(
    app_client: FlaskClient, refused: Refused, form: dict[str, str], paths: list[str]
) -> None:
    assert sorted(refused(send(app_client, **form), 422)) == sorted(paths)
    assert app_client.get("/tune").get_json()["items"] == []


def test_a_request_that_is_wrong_stores_no_dataset(
    app_client: FlaskClient, refused: Refused
) -> None:
    refused(send(app_client, target="price", budget="10"), 422)
    assert app_client.get("/datasets").get_json()["items"] == []


def test_a_form_must_be_multipart(app_client: FlaskClient, refused: Refused) -> None:
    response = app_client.post("/tune", data={"target": "price"})
    refused(response, 415)
    assert "multipart/form-data" in response.get_json()["detail"]


def test_a_form_without_a_file_is_refused(app_client: FlaskClient, refused: Refused) -> None:
    assert list(refused(send(app_client, target="price", files={}), 422)) == ["file"]
    as_text = refused(send(app_client, target="price", files={}, file="houses.csv"), 422)
    assert "its name" in as_text["file"][0]
    both = refused(send(app_client, target="price", files={}, dataset="builtin:iris"), 422)
    assert sorted(both) == ["dataset", "file"]


@pytest.mark.parametrize("path", ["/tune", "/datasets"])
def test_a_field_that_is_given_twice_is_refused(
    app_client: FlaskClient, refused: Refused, path: str
) -> None:
    for form in (
        {"types": ["{}", "{}"]},
        {"file": [(io.BytesIO(CSV.encode()), name) for name in ("a.csv", "b.csv")]},
        {"file": [(io.BytesIO(CSV.encode()), "a.csv"), "a.csv"]},
    ):
        response = app_client.post(path, data=form, content_type="multipart/form-data")
        assert list(refused(response, 422)) == list(form)


@pytest.mark.parametrize(
    ("name", "content", "path"),
    [("a.csv", b"", "file"), ("a.json", b'[{"a": []}]', "records.0.a"), ("a.npz", b"x", "file")],
)
def test_errors_of_the_file_have_the_paths_of_an_upload(
    app_client: FlaskClient, refused: Refused, name: str, content: bytes, path: str
) -> None:
    messages = []
    for address, form in (("/tune", {"target": "a"}), ("/datasets", {})):
        response = send(app_client, address, files={"file": (io.BytesIO(content), name)}, **form)
        messages.append(refused(response, 422))
    assert messages[0] == messages[1]
    assert list(messages[0]) == [path]


def test_a_key_answers_the_same_job_whatever_the_boundary(
    app_client: FlaskClient, refused: Refused
) -> None:
    key = {"Idempotency-Key": "once"}
    first = start(app_client, target="price", headers=key)
    assert start(app_client, target="price", headers=key) == first
    assert len(app_client.get("/tune").get_json()["items"]) == 1
    other_file = {"file": (io.BytesIO(CSV.encode() + b"8000,Graz,5\n"), "houses.csv")}
    for form in ({"target": "zip"}, {"target": "price", "files": other_file}):
        assert list(refused(send(app_client, headers=key, **form), 422)) == ["Idempotency-Key"]


@pytest.mark.parametrize(
    ("filename", "target", "model"),
    [
        ("houses.csv", "price", "houses"),
        ("houses.csv.gz", "price", "houses"),
        ("My Häuser (2024).xlsx", "price", "My-Hauser-2024"),
        ("住宅.csv", "price", "price"),
        ("住宅.csv", "価格", "model"),
        (".csv", None, "csv"),
        ("", None, "model"),
        ("../../etc/passwd", "price", "passwd"),
        ("a" * 150 + ".csv", None, "a" * 100),
        ("-1.5.csv", None, "1.5"),
    ],
)
def test_a_model_is_named_after_its_file(filename: str, target: Any, model: str) -> None:
    assert default_model(filename, target) == model


def test_a_file_is_tuned_and_predicted(
    client: Client, http: httpx.Client, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("form") / "villas.csv"
    path.write_text(CSV)
    job = client.tune(
        {"target": "price", "search_space": SPACE, "budget": {"max_trials": 1, "epochs": 2}},
        file=path,
        types={"zip": "category"},
        wait=PATIENCE,
    )
    assert (job["state"], job["model"]) == ("succeeded", "villas")
    answer = client.predict("villas", [{"zip": "8001", "town": "Graz"}])
    assert len(answer["predictions"]) == 1
