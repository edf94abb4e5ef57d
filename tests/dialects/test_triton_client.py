"""The Open Inference Protocol, driven by NVIDIA's own clients."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.dialects.versions import PRICES, ROWS

triton = pytest.importorskip("tritonclient.http")

ARRAYS = {
    "area": ("FP64", np.array([70.5, 30.0, np.nan, 12.25])),
    "town": ("BYTES", np.array(["Graz", "Wien", "", "Ζürich"], dtype=object)),
    "garden": ("BOOL", np.array([True, False, False, True])),
    "sold": ("BYTES", np.array([row["sold"] or "" for row in ROWS], dtype=object)),
}


@pytest.fixture(scope="module")
def client(served: str) -> Iterator[Any]:
    client = triton.InferenceServerClient(served)
    yield client
    client.close()


def inputs_of(library: Any, **binary: bool) -> list[Any]:
    inputs = []
    for name, (datatype, array) in ARRAYS.items():
        inputs.append(library.InferInput(name, list(array.shape), datatype))
        inputs[-1].set_data_from_numpy(array, **binary)
    return inputs


def test_server_and_models_are_ready_and_described(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("flats")
    assert client.is_model_ready("flats", "2")
    assert not client.is_model_ready("flats", "9")
    assert not client.is_model_ready("houses")
    assert client.get_server_metadata()["name"] == "luthier"
    metadata = client.get_model_metadata("flats")
    assert [entry["name"] for entry in metadata["inputs"]] == list(ARRAYS)
    assert client.get_model_metadata("flats", "1")["versions"] == ["2", "1"]


@pytest.mark.parametrize("version", ["", "2"])
def test_binary_tensors_are_predicted(client: Any, version: str) -> None:
    result = client.infer("flats", inputs_of(triton), model_version=version, request_id="7")
    offset = 1000 if version else 0
    assert result.as_numpy("prediction").tolist() == [price + offset for price in PRICES]
    assert result.get_response()["id"] == "7"
    assert result.get_response()["model_version"] == (version or "1")


@pytest.mark.parametrize("coding", [None, "gzip"])
def test_labels_and_probabilities_come_as_asked(client: Any, coding: str | None) -> None:
    x = triton.InferInput("x", [40, 1], "FP32")
    x.set_data_from_numpy(np.full((40, 1), 0.25, np.float32))
    for binary in (True, False):
        result = client.infer(
            "kinds",
            [x],
            outputs=[
                triton.InferRequestedOutput("prediction", binary_data=binary),
                triton.InferRequestedOutput("probabilities", binary_data=binary),
            ],
            request_compression_algorithm=coding,
            response_compression_algorithm=coding,
        )
        labels = result.as_numpy("prediction").tolist()
        assert {text.decode() if binary else text for text in labels} == {"cheap"}
        assert result.as_numpy("probabilities").tolist() == [[0.75, 0.25]] * 40
        assert result.as_numpy("classes") is None


def test_json_tensors_are_predicted(client: Any) -> None:
    x = triton.InferInput("x", [2], "INT64")
    x.set_data_from_numpy(np.array([0, 1]), binary_data=False)
    result = client.infer("digits", [x])
    assert result.as_numpy("prediction").tolist() == [3, 8]
    assert result.as_numpy("prediction").dtype == np.int64


def test_refusals_reach_the_caller(client: Any) -> None:
    from tritonclient.utils import InferenceServerException

    with pytest.raises(InferenceServerException, match=r"columns\.garden"):
        client.infer("flats", inputs_of(triton)[:2])
    with pytest.raises(InferenceServerException, match="There is no model 'houses'"):
        client.infer("houses", inputs_of(triton))
    with pytest.raises(InferenceServerException, match=r"parameters\.priority"):
        client.infer("flats", inputs_of(triton), priority=1)
