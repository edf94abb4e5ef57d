"""The bodies are those of TensorFlow Serving's `api_rest.md`."""

import base64
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.dialects.versions import PRICES, ROWS

FLATS = "/v1/models/flats"
NAMES = list(ROWS[0])


def ask(api: FlaskClient, path: str, body: Any) -> Any:
    response = api.post(path, json=body)
    assert response.status_code == 200, response.text
    assert response.mimetype == "application/json"
    return response.get_json()


def error_of(response: TestResponse, status: int) -> str:
    assert response.status_code == status, response.text
    assert response.mimetype == "application/json"
    body = response.get_json()
    assert list(body) == ["error"]
    return body["error"]


def test_the_status_lists_versions_as_available(api: FlaskClient) -> None:
    def state(version: int) -> dict[str, Any]:
        status = {"error_code": "OK", "error_message": ""}
        return {"version": str(version), "state": "AVAILABLE", "status": status}

    for path, versions in (
        (FLATS, [2, 1]),
        (f"{FLATS}/versions/1", [1]),
        (f"{FLATS}/labels/next", [2]),
    ):
        body = api.get(path).get_json()
        assert body == {"model_version_status": [state(version) for version in versions]}


def test_metadata_names_inputs_and_outputs(api: FlaskClient) -> None:
    body = api.get(f"{FLATS}/metadata").get_json()
    assert body["model_spec"] == {"name": "flats", "signature_name": "", "version": "1"}
    (definition,) = body["metadata"]["signature_def"]["signature_def"].values()
    assert {name: tensor["dtype"] for name, tensor in definition["inputs"].items()} == {
        "area": "DT_DOUBLE",
        "town": "DT_STRING",
        "garden": "DT_BOOL",
        "sold": "DT_STRING",
    }
    assert definition["inputs"]["area"]["tensor_shape"] == {
        "dim": [{"size": "-1", "name": ""}],
        "unknown_rank": False,
    }
    assert list(definition["outputs"]) == ["prediction"]
    assert api.get(f"{FLATS}/labels/next/metadata").get_json()["model_spec"]["version"] == "2"
    kinds = api.get("/v1/models/kinds/versions/1/metadata").get_json()
    (definition,) = kinds["metadata"]["signature_def"]["signature_def"].values()
    sizes = [dim["size"] for dim in definition["outputs"]["probabilities"]["tensor_shape"]["dim"]]
    assert sizes == ["-1", "2"]


@pytest.mark.parametrize(
    "rows",
    [
        ROWS,
        [list(row.values()) for row in ROWS],
        [{name: [cell] for name, cell in row.items()} for row in ROWS],
        [[[cell] for cell in row.values()] for row in ROWS],
    ],
    ids=["objects", "lists", "tensors of one cell", "lists of them"],
)
def test_rows_are_predicted(api: FlaskClient, rows: list[Any]) -> None:
    assert ask(api, f"{FLATS}:predict", {"instances": rows}) == {"predictions": PRICES}


@pytest.mark.parametrize("wrap", [lambda cell: cell, lambda cell: [cell]])
def test_columns_are_predicted(api: FlaskClient, wrap: Any) -> None:
    columns = {name: [wrap(row[name]) for row in ROWS] for name in NAMES}
    assert ask(api, f"{FLATS}:predict", {"inputs": columns}) == {"outputs": PRICES}
    rows = [list(row.values()) for row in ROWS]
    assert ask(api, f"{FLATS}:predict", {"inputs": rows}) == {"outputs": PRICES}


def test_a_version_and_a_label_can_be_named(api: FlaskClient) -> None:
    body = {"signature_name": "serving_default", "instances": ROWS[:1]}
    for place in ("/versions/2", "/labels/next"):
        assert ask(api, f"{FLATS}{place}:predict", body) == {"predictions": [PRICES[0] + 1000]}
    assert ask(api, f"{FLATS}/versions/1:predict", body) == {"predictions": PRICES[:1]}


def test_the_only_column_needs_no_name(api: FlaskClient) -> None:
    expected = [[0.75, 0.25], [0.5, 0.5]]
    for values in ([0.25, 0.5], [[0.25], [0.5]], [{"x": 0.25}, {"x": [0.5]}]):
        body = ask(api, "/v1/models/kinds:predict", {"instances": values})
        assert body == {"predictions": expected}
    assert ask(api, "/v1/models/kinds:predict", {"inputs": {"x": [0.25, 0.5]}}) == {
        "outputs": expected
    }


def test_base64_is_text_and_nan_is_a_missing_cell(api: FlaskClient) -> None:
    town = {"b64": base64.b64encode(b"Graz").decode()}
    assert ask(api, f"{FLATS}:predict", {"instances": [ROWS[0] | {"town": town}]}) == {
        "predictions": PRICES[:1]
    }
    text = '{"instances": [{"area": NaN, "town": "", "garden": null, "sold": null}]}'
    response = api.post(f"{FLATS}:predict", data=text)  # curl -d sends it as a form
    assert response.get_json() == {"predictions": [0.0]}


def test_classes_and_numbers_of_examples(api: FlaskClient) -> None:
    examples = {"examples": [{"x": 0.25}, {"x": [0.5]}]}
    assert ask(api, "/v1/models/kinds:classify", examples) == {
        "results": [[["cheap", 0.75], ["dear", 0.25]], [["cheap", 0.5], ["dear", 0.5]]]
    }
    assert ask(api, "/v1/models/flags/versions/1:classify", examples)["results"][0] == [
        ["false", 0.75],
        ["true", 0.25],
    ]
    shared = {"context": {"town": "Graz"}, "examples": [{"area": 1, "garden": False, "sold": None}]}
    assert ask(api, f"{FLATS}/labels/champion:regress", shared) == {"results": [2.0]}
    assert "use :regress" in error_of(api.post(f"{FLATS}:classify", json=shared), 400)
    assert "use :classify" in error_of(api.post("/v1/models/kinds:regress", json=examples), 400)


def test_columns_that_differ_may_be_allowed_in_the_query(api: FlaskClient) -> None:
    row = {"area": 1, "town": "Graz", "colour": "red", "id": 7}
    assert "colour" in error_of(api.post(f"{FLATS}:predict", json={"instances": [row]}), 400)
    query = "unknown_columns=ignore&missing_columns=null"
    assert ask(api, f"{FLATS}:predict?{query}", {"instances": [row]}) == {"predictions": [2.0]}
    assert "rows" in error_of(api.post(f"{FLATS}:predict?rows=3", json={"instances": [row]}), 400)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"instances": [ROWS[0] | {"area": "big"}]}, "instances.0.area"),
        ({"instances": [{"area": 1}]}, "instances.0.town"),
        ({"instances": []}, "at least one row"),
        ({"instances": ROWS[0]}, "Expected a list"),
        ({"instances": ROWS * 30}, "LUTHIER_MAX_INSTANCES"),
        ({"inputs": {"area": [1], "town": ["a", "b"], "garden": [0], "sold": [0]}}, "columns.town"),
        ({"inputs": {"area": 1}}, "inputs.area"),
        ({"inputs": {name: [] for name in NAMES}}, "at least one row"),
        ({"instances": ROWS, "inputs": {}}, "Expected one of"),
        ({}, "Expected one of"),
        ([1], "not a JSON object"),
        ({"instances": ROWS, "rows": 1}, "rows"),
        ({"instances": ROWS, "signature_name": 0}, "signature_name"),
        ({"instances": ROWS, "signature_name": "other"}, 'Serving signature name: "other"'),
        ({"instances": [{**ROWS[0], "town": {"b64": "?"}}]}, "Base64"),
    ],
)
def test_what_does_not_fit_is_refused(api: FlaskClient, body: Any, said: str) -> None:
    assert said in error_of(api.post(f"{FLATS}:predict", json=body), 400)


def test_what_is_not_json_or_not_there_is_refused(api: FlaskClient) -> None:
    for content in (b"", b"instances = [1, 2]", b'{"instances": [Infinity]}', b"\xff"):
        assert "JSON" in error_of(api.post(f"{FLATS}:predict", data=content), 400)
    for path in (
        "/v1/models/houses",
        f"{FLATS}/versions/9",
        f"{FLATS}/labels/none",
        "/v1/models/houses/metadata",
    ):
        assert "There is no" in error_of(api.get(path), 404)
    error_of(api.post(f"{FLATS}/versions/9:predict", json={"instances": ROWS}), 404)
    assert error_of(api.get("/v1/foo"), 400) == "Malformed request: GET /v1/foo"
    error_of(api.post(FLATS), 405)
