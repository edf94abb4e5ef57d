"""The bodies are those of MLflow's documentation of its inference server."""

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from models import __version__
from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.engine import Database
from tests.dialects.versions import PRICES, ROWS, SIGNATURE, publish, write_flats

PATH = "/invocations?model=flats"
NAMES = list(ROWS[0])
FRAME = pd.DataFrame(ROWS)


def refused(response: TestResponse, status: int, code: str) -> str:
    assert response.status_code == status, response.text
    assert response.mimetype == "application/json"
    body = response.get_json()
    assert set(body) == {"error_code", "message"}
    assert body["error_code"] == code
    return body["message"]


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": NAMES, "data": [list(row.values()) for row in ROWS]}},
        {"dataframe_split": {"data": [list(row.values()) for row in ROWS]}},
        {"dataframe_split": FRAME.astype(object).to_dict(orient="split")},
        {"dataframe_records": ROWS},
        {"instances": ROWS},
        {"instances": [list(row.values()) for row in ROWS]},
        {"inputs": {name: [row[name] for row in ROWS] for name in NAMES}},
        {"inputs": [list(row.values()) for row in ROWS]},
        {"dataframe_records": ROWS, "params": None},
    ],
)
def test_every_form_of_rows_is_predicted(api: FlaskClient, body: dict[str, Any]) -> None:
    # MLflow's client writes NaN for a missing number.
    for kind in ("application/json", "application/json; charset=utf-8", None):
        response = api.post(PATH, data=json.dumps(body), content_type=kind)
        assert response.status_code == 200, response.text
        assert response.get_json() == {"predictions": PRICES}


def test_csv_is_predicted(api: FlaskClient) -> None:
    text = FRAME.to_csv(index=False)
    response = api.post(PATH, data=text.encode(), content_type="text/csv")
    assert response.get_json() == {"predictions": PRICES}


def test_classes_answer_labels(api: FlaskClient) -> None:
    body = {"inputs": [[0.25], [0.75]]}
    for model, labels in (("kinds", ["cheap", "dear"]), ("digits", [3, 8])):
        path = f"/invocations?model={model}"
        assert api.post(path, json=body).get_json() == {"predictions": labels}
        assert (
            api.post(f"{path}&threshold=0.8", json=body).get_json()["predictions"]
            == [labels[0]] * 2
        )


def test_a_version_can_be_named_and_unknown_columns_are_left_out(api: FlaskClient) -> None:
    body = {"dataframe_records": [ROWS[0] | {"colour": "red"}]}
    for query in ("version=2", "alias=next"):
        answer = api.post(f"{PATH}&{query}", json=body).get_json()
        assert answer == {"predictions": [PRICES[0] + 1000]}
    strict = api.post(f"{PATH}&unknown_columns=error", json=body)
    assert "colour" in refused(strict, 400, "BAD_REQUEST")


def test_the_model_is_that_of_the_query_of_the_settings_or_the_only_one(
    published: Settings,
    app_client: FlaskClient,
    settings: Settings,
    api: FlaskClient,
    connect: Callable[[Settings], FlaskClient],
) -> None:
    body = {"dataframe_records": ROWS}
    assert "several models" in refused(api.post("/invocations", json=body), 400, "BAD_REQUEST")
    chosen = connect(replace(published, invocations_model="flats"))
    assert chosen.post("/invocations", json=body).get_json() == {"predictions": PRICES}
    gone = connect(replace(published, invocations_model="gone"))
    assert "'gone'" in refused(gone.post("/invocations", json=body), 404, "RESOURCE_DOES_NOT_EXIST")
    none = app_client.post("/invocations", json=body)
    assert "is no model" in refused(none, 400, "BAD_REQUEST")
    with closing(Database(settings.resolved_database_url)) as database:
        files = write_flats(Artifacts(settings.resolved_artifacts), 1)
        publish(database, files, "flats", SIGNATURE)
    assert app_client.post("/invocations", json=body).get_json() == {"predictions": PRICES}


def test_probes_and_the_version(api: FlaskClient) -> None:
    for path in ("/ping", "/health"):
        assert (api.get(path).status_code, api.get(path).text) == (200, "\n")
    assert api.get("/version").text == __version__


def test_probes_say_what_is_missing(
    tmp_path: Any, connect: Callable[[Settings], FlaskClient]
) -> None:
    client = connect(Settings(data=str(tmp_path)))
    for path in ("/ping", "/health"):
        assert "migrate" in refused(client.get(path), 503, "TEMPORARILY_UNAVAILABLE")
    ready = client.get("/v2/health/ready")
    assert (ready.status_code, list(ready.get_json())) == (503, ["error"])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "Expected one of"),
        ({"dataframe_records": ROWS, "inputs": [[1]]}, "Expected one of"),
        ([1], "not a JSON object"),
        ({"dataframe_records": [{"area": 1}]}, "instances.0.town"),
        ({"dataframe_records": ROWS * 30}, "LUTHIER_MAX_INSTANCES"),
        ({"dataframe_records": {}}, "dataframe_records"),
        ({"dataframe_split": {"columns": ["area"]}}, "dataframe_split"),
        ({"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}}, "same name"),
        ({"dataframe_split": {"columns": ["a", "b"], "data": [[1]]}}, "data.0"),
        ({"dataframe_split": {"columns": [1], "data": [[1]]}}, "columns"),
        ({"dataframe_split": {"data": [[1]], "rows": 1}}, "rows"),
        ({"inputs": {"area": 1}}, "inputs.area"),
        ({"instances": ROWS, "params": {"temperature": 1}}, "params"),
        ({"instances": ROWS, "params": []}, "params"),
        ({"dataframe_records": ROWS, "rows": 1}, "rows"),
    ],
)
def test_what_does_not_fit_is_refused(api: FlaskClient, body: Any, said: str) -> None:
    assert said in refused(api.post(PATH, json=body), 400, "BAD_REQUEST")


def test_a_parameter_comes_once(api: FlaskClient) -> None:
    response = api.post("/invocations?model=flats&model=kinds", json={"dataframe_records": ROWS})
    assert response.status_code == 400
    assert "model: Give it once." in response.get_json()["message"]


def test_other_content_is_refused(api: FlaskClient) -> None:
    text = api.post(PATH, data=b"<rows/>", content_type="text/xml")
    assert "text/csv" in refused(text, 415, "BAD_REQUEST")
    empty = api.post(PATH, data=b"", content_type="text/csv")
    assert refused(empty, 400, "BAD_REQUEST").startswith("body: ")
    query = api.post(f"{PATH}&rows=1", json={"instances": ROWS})
    assert "rows" in refused(query, 400, "BAD_REQUEST")
