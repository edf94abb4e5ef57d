"""The protocol by hand-made bodies; `test_triton_client.py` drives it by another's client."""

import json
import struct
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from models import __version__
from tests.dialects.test_tensorflow_serving import error_of
from tests.dialects.versions import PRICES, ROWS

FLATS = "/v2/models/flats"
LENGTH = "Inference-Header-Content-Length"


def tensor(name: str, datatype: str, data: Any, shape: list[int] | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "datatype": datatype,
        "shape": [len(data)] if shape is None else shape,
        "data": data,
    }


def of_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    types = {"area": "FP64", "town": "BYTES", "garden": "BOOL", "sold": "BYTES"}
    return [tensor(name, types[name], [row[name] for row in rows]) for name in types]


def ask(api: FlaskClient, body: Any, path: str = FLATS) -> dict[str, Any]:
    response = api.post(f"{path}/infer", json=body)
    assert response.status_code == 200, response.text
    return response.get_json()


def binary(api: FlaskClient, document: Any, *buffers: bytes, path: str = FLATS) -> TestResponse:
    head = json.dumps(document).encode()
    body = b"".join([head, *buffers])
    return api.post(f"{path}/infer", data=body, headers={LENGTH: str(len(head))})


def test_the_server_and_its_models_are_described(api: FlaskClient) -> None:
    assert api.get("/v2").get_json() == {
        "name": "luthier",
        "version": __version__,
        "extensions": ["binary_tensor_data"],
    }
    assert api.get("/v2/health/live").get_json() == {"live": True}
    assert api.get("/v2/health/ready").get_json() == {"ready": True}
    for path in (FLATS, f"{FLATS}/versions/2", f"{FLATS}/versions/next"):
        assert api.get(f"{path}/ready").get_json() == {"name": "flats", "ready": True}
        body = api.get(path).get_json()
        assert (body["name"], body["versions"], body["platform"]) == (
            "flats",
            ["2", "1"],
            "onnx_onnxv1",
        )
        assert body["inputs"][:2] == [
            {"name": "area", "datatype": "FP64", "shape": [-1, 1]},
            {"name": "town", "datatype": "BYTES", "shape": [-1, 1]},
        ]
        assert body["outputs"] == [{"name": "prediction", "datatype": "FP64", "shape": [-1]}]
    for model, datatype in (("kinds", "BYTES"), ("flags", "BOOL"), ("digits", "INT64")):
        assert api.get(f"/v2/models/{model}").get_json()["outputs"] == [
            {"name": "prediction", "datatype": datatype, "shape": [-1]},
            {"name": "probabilities", "datatype": "FP64", "shape": [-1, 2]},
            {"name": "classes", "datatype": datatype, "shape": [2]},
        ]


def test_a_tensor_a_column_is_predicted(api: FlaskClient) -> None:
    body = ask(api, {"id": "42", "inputs": of_rows(ROWS)})
    assert body == {
        "model_name": "flats",
        "model_version": "1",
        "id": "42",
        "outputs": [{"name": "prediction", "datatype": "FP64", "shape": [4], "data": PRICES}],
    }
    inputs = [entry | {"shape": [4, 1]} for entry in of_rows(ROWS)]
    nested = [entry | {"data": [[cell] for cell in entry["data"]]} for entry in inputs]
    hinted = [entry | {"parameters": {"content_type": "np"}} for entry in inputs]
    for given in (inputs, nested, hinted):
        assert ask(api, {"inputs": given}, f"{FLATS}/versions/2")["outputs"][0]["data"] == [
            price + 1000 for price in PRICES
        ]


def test_classes_have_labels_and_probabilities(api: FlaskClient) -> None:
    x = tensor("x", "FP32", [0.25, 0.75], [2, 1])
    for model, labels in (("kinds", ["cheap", "dear"]), ("flags", [False, True])):
        outputs = ask(api, {"inputs": [x]}, f"/v2/models/{model}")["outputs"]
        assert {output["name"]: output["data"] for output in outputs} == {
            "prediction": labels,
            "probabilities": [0.75, 0.25, 0.25, 0.75],
            "classes": labels,
        }
    wanted = {"inputs": [x], "outputs": [{"name": "probabilities"}]}
    (only,) = ask(api, wanted, "/v2/models/kinds")["outputs"]
    assert (only["name"], only["shape"]) == ("probabilities", [2, 2])
    strict = {"inputs": [x], "parameters": {"threshold": 0.8}}
    assert ask(api, strict, "/v2/models/kinds")["outputs"][0]["data"] == ["cheap", "cheap"]


def test_one_tensor_may_hold_all_columns(api: FlaskClient) -> None:
    matrix = tensor("input-0", "FP64", [1.5, 7.0, 1.0, 86400.0, 2.5, 8.0, 0.0, 0.0], [2, 4])
    assert ask(api, {"inputs": [matrix]})["outputs"][0]["data"] == [1.5 + 1 + 1, 2.5]
    document = {key: matrix[key] for key in ("name", "datatype", "shape")}
    content = np.array(matrix["data"], "<f8").tobytes()
    document["parameters"] = {"binary_data_size": len(content)}
    assert binary(api, {"inputs": [document]}, content).get_json()["outputs"][0]["data"] == [
        3.5,
        2.5,
    ]


def test_binary_data_in_and_out(api: FlaskClient) -> None:
    buffers = {
        "area": ("FP32", np.array([70.5, 30, np.nan, 12.25], "<f4").tobytes()),
        "town": ("BYTES", _packed("Graz", "Wien", "", "Ζürich")),
        "garden": ("BOOL", bytes([1, 0, 0, 1])),
        "sold": ("INT64", np.array([1717113600, 1717243200, 0, 86400], "<i8").tobytes()),
    }
    inputs = [
        {
            "name": name,
            "shape": [4],
            "datatype": datatype,
            "parameters": {"binary_data_size": len(content)},
        }
        for name, (datatype, content) in buffers.items()
    ]
    document = {"id": "a", "inputs": inputs, "parameters": {"binary_data_output": True}}
    response = binary(api, document, *(content for _, content in buffers.values()))
    assert response.status_code == 200, response.text
    assert response.mimetype == "application/octet-stream"
    length = int(response.headers[LENGTH])
    (output,) = json.loads(response.data[:length])["outputs"]
    assert output["parameters"] == {"binary_data_size": 32}
    assert np.frombuffer(response.data[length:], "<f8").tolist() == PRICES

    x = tensor("x", "FP64", [0.25, 0.75])
    named = [{"name": "prediction", "parameters": {"binary_data": True}}, {"name": "probabilities"}]
    response = api.post("/v2/models/kinds/infer", json={"inputs": [x], "outputs": named})
    length = int(response.headers[LENGTH])
    labels, shares = json.loads(response.data[:length])["outputs"]
    assert response.data[length:] == _packed("cheap", "dear")
    assert labels["parameters"] == {"binary_data_size": len(response.data) - length}
    assert shares["data"] == [0.75, 0.25, 0.25, 0.75]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"inputs": []}, "an input for each column"),
        ({"inputs": of_rows(ROWS)[:2]}, "columns.garden"),
        ({"inputs": of_rows(ROWS) * 2}, "same name"),
        ({"inputs": [tensor("area", "FP64", [1, 2], [3])]}, "2 elements"),
        ({"inputs": [tensor("area", "FP64", ["a"])]}, "not of FP64"),
        ({"inputs": [tensor("area", "INT8", [1.5])]}, "not of INT8"),
        ({"inputs": [tensor("area", "BF16", [1])]}, "BF16"),
        ({"inputs": [tensor("area", "FP64", [1], [-1])]}, "shape"),
        ({"inputs": [tensor("area", "FP64", [1, 2, 3], [1, 3])]}, "one cell a row"),
        ({"inputs": [tensor("a", "FP64", [1, 2, 3], [1, 3])]}, "4 columns"),
        ({"inputs": [tensor("a", "FP64", [], [0, 4])]}, "at least one row"),
        ({"inputs": [tensor("a", "FP64", [1], [])]}, "shape"),
        ({"inputs": [tensor("a", "FP64", [], [0, 10**30])]}, "inputs.a.shape"),
        ({"inputs": [tensor("a", "FP64", [1, 2], [10**3000, 10**3000])]}, "inputs.a.shape"),
        ({"inputs": [tensor("area", "FP64", [1], [1] * 70)]}, "inputs.area.shape"),
        ({"inputs": of_rows(ROWS), "id": {}}, "id: Must be a text"),
        ({"inputs": of_rows(ROWS), "outputs": [{"name": "nothing"}]}, "no output 'nothing'"),
        ({"inputs": of_rows(ROWS), "parameters": {"priority": 1}}, "parameters.priority"),
        ({"inputs": of_rows(ROWS), "parameters": {"threshold": 0.5}}, "threshold"),
        ({"inputs": of_rows(ROWS), "parameters": {"binary_data_output": 1}}, "true or false"),
        ({"inputs": of_rows(ROWS), "parameters": []}, "Expected an object"),
        ({"inputs": of_rows(ROWS), "rows": 1}, "rows"),
        ({"inputs": of_rows(ROWS * 30)}, "LUTHIER_MAX_INSTANCES"),
        ([], "not a JSON object"),
    ],
)
def test_what_does_not_fit_is_refused(api: FlaskClient, change: Any, said: str) -> None:
    assert said in error_of(api.post(f"{FLATS}/infer", json=change), 400)


def test_a_query_is_refused(api: FlaskClient) -> None:
    response = api.post(f"{FLATS}/infer?missing_columns=null", json={"inputs": of_rows(ROWS)})
    assert "missing_columns: Give it in `parameters`." in error_of(response, 400)


def test_binary_data_that_does_not_fit_is_refused(api: FlaskClient) -> None:
    def document(size: Any, datatype: str = "FP64") -> dict[str, Any]:
        parameters = {"binary_data_size": size}
        entry = {"name": "x", "datatype": datatype, "shape": [2], "parameters": parameters}
        return {"inputs": [entry]}

    kinds = "/v2/models/kinds"
    for size, content, said in (
        (8, b"8 bytes.", "needs 16"),
        (99, b"short", "Does not fit"),
        (-1, b"", "Does not fit"),
        (True, b"", "Does not fit"),
        (16, b"x" * 20, "4 bytes of the body"),
    ):
        assert said in error_of(binary(api, document(size), content, path=kinds), 400)
    for content in (b"abc", struct.pack("<I", 9) + b"a", struct.pack("<I", 1) + b"\xff"):
        response = binary(api, document(len(content), "BYTES"), content, path=kinds)
        assert "BYTES" in error_of(response, 400)
    for length in ("x", "-1", "9999999", "9" * 5000):
        response = api.post(f"{kinds}/infer", data=b"{}", headers={LENGTH: length})
        assert LENGTH in error_of(response, 400)


def test_what_is_not_there_is_not_found(api: FlaskClient) -> None:
    body = {"inputs": of_rows(ROWS)}
    for path in ("/v2/models/houses", f"{FLATS}/versions/9", f"{FLATS}/versions/none"):
        for end in ("", "/ready"):
            assert "There is no" in error_of(api.get(f"{path}{end}"), 404)
        error_of(api.post(f"{path}/infer", json=body), 404)
    error_of(api.get("/v2/nothing"), 404)
    error_of(api.get(f"{FLATS}/infer"), 405)


def _packed(*texts: str) -> bytes:
    encoded = [text.encode() for text in texts]
    return b"".join(struct.pack("<I", len(text)) + text for text in encoded)
