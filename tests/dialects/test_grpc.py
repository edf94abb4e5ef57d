"""The Open Inference Protocol over gRPC, driven by NVIDIA's client and by bare messages."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from api.dialects.grpc_messages import MESSAGES, SERVICE
from models import __version__
from models.settings import Settings
from tests.dialects.test_triton_client import inputs_of
from tests.dialects.versions import PRICES
from tests.processes import free_bind, run, running, stop
from tests.waiting import wait_until

KEYS = {"asks": "0123456789abcdef" * 2, "reads": "fedcba9876543210" * 2}
Call = Callable[..., Any]


@pytest.fixture(scope="module")
def client(grpc_served: str) -> Iterator[Any]:
    with library().InferenceServerClient(grpc_served) as client:
        yield client


@pytest.fixture(scope="module")
def call(grpc_served: str) -> Iterator[Call]:
    """Call by messages of our own."""
    with grpc.insecure_channel(grpc_served) as channel:

        def send(method: str, **fields: Any) -> Any:
            request, response = MESSAGES[f"{method}Request"], MESSAGES[f"{method}Response"]
            send_it = channel.unary_unary(
                f"/{SERVICE}/{method}", request.SerializeToString, response.FromString
            )
            return send_it(request(**fields))

        yield send


def library() -> Any:
    return pytest.importorskip("tritonclient.grpc")


def code_of(call: Call, method: str, **fields: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as refused:
        call(method, **fields)
    error: Any = refused.value
    return error.code(), error.details()


def test_server_and_models_are_ready_and_described(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("flats", "2")
    assert client.is_model_ready("flats", "next")
    assert not client.is_model_ready("flats", "9")
    assert not client.is_model_ready("houses")
    server = client.get_server_metadata(as_json=True)
    assert (server["name"], server["version"]) == ("luthier", __version__)
    metadata = client.get_model_metadata("kinds", as_json=True)
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP64", "shape": ["-1", "1"]}]
    assert metadata["outputs"][1] == {
        "name": "probabilities",
        "datatype": "FP64",
        "shape": ["-1", "2"],
    }


@pytest.mark.parametrize("version", ["", "2"])
def test_tensors_are_predicted(client: Any, version: str) -> None:
    inputs = inputs_of(library())
    result = client.infer("flats", inputs, model_version=version, request_id="7")
    offset = 1000 if version else 0
    assert result.as_numpy("prediction").tolist() == [price + offset for price in PRICES]
    assert result.get_response().id == "7"
    assert result.get_response().model_version == (version or "1")


def test_labels_and_probabilities_come_as_asked(client: Any) -> None:
    triton = library()
    x = triton.InferInput("x", [2, 1], "FP32")
    x.set_data_from_numpy(np.array([[0.25], [0.75]], np.float32))
    result = client.infer("kinds", [x], compression_algorithm="gzip")
    assert result.as_numpy("prediction").tolist() == [b"cheap", b"dear"]
    only = client.infer("kinds", [x], outputs=[triton.InferRequestedOutput("probabilities")])
    assert only.as_numpy("prediction") is None
    assert only.as_numpy("probabilities").tolist() == [[0.75, 0.25], [0.25, 0.75]]


def test_contents_of_every_type_are_read(call: Call) -> None:
    def ask(datatype: str, **contents: Any) -> list[int]:
        tensor = {"name": "x", "datatype": datatype, "shape": [2], "contents": contents}
        answer = call("ModelInfer", model_name="digits", inputs=[tensor])
        return np.frombuffer(answer.raw_output_contents[0], "<i8").tolist()

    for datatype, field in (
        ("INT8", "int_contents"),
        ("INT64", "int64_contents"),
        ("UINT16", "uint_contents"),
        ("UINT64", "uint64_contents"),
        ("FP32", "fp32_contents"),
        ("FP64", "fp64_contents"),
        ("BOOL", "bool_contents"),
    ):
        assert ask(datatype, **{field: [0, 1]}) == [3, 8], datatype
    assert ask("BYTES", bytes_contents=[b"0", b"1"]) == [3, 8]
    threshold = {"key": "threshold", "value": {"double_param": 0.8}}
    tensor = {"name": "x", "datatype": "FP32", "shape": [1], "contents": {"fp32_contents": [0.75]}}
    answer = call("ModelInfer", model_name="digits", inputs=[tensor], parameters=[threshold])
    assert np.frombuffer(answer.raw_output_contents[0], "<i8").tolist() == [3]


def test_what_does_not_fit_is_refused(call: Call) -> None:
    def refused(**fields: Any) -> str:
        code, text = code_of(call, "ModelInfer", **{"model_name": "kinds", **fields})
        assert code is grpc.StatusCode.INVALID_ARGUMENT, text
        return text

    x = {"name": "x", "datatype": "FP64", "shape": [2]}
    four = {"fp64_contents": [0.5] * 4}
    assert "needs 16" in refused(inputs=[x], raw_input_contents=[b"8 bytes."])
    assert "one for each input" in refused(inputs=[x], raw_input_contents=[b"", b""])
    assert "4 elements" in refused(inputs=[x | {"contents": four}])
    assert "sizes" in refused(inputs=[x | {"shape": [-1], "contents": four}])
    assert "BF16" in refused(inputs=[x | {"datatype": "BF16"}])
    broken = {"bytes_contents": [b"\xff", b"a"]}
    assert "UTF-8" in refused(inputs=[x | {"datatype": "BYTES", "contents": broken}])
    rows = {"shape": [101], "contents": {"fp64_contents": [0.5] * 101}}
    assert "LUTHIER_MAX_INSTANCES" in refused(inputs=[x | rows])
    assert "an input for each column" in refused()
    known = x | {"contents": {"fp64_contents": [0.5] * 2}}
    assert "no output 'y'" in refused(inputs=[known], outputs=[{"name": "y"}])
    for priority in ({"int64_param": 1}, {}):
        entry = {"key": "priority", "value": priority}
        assert "parameters.priority" in refused(inputs=[known], parameters=[entry])
        assert "parameters" in refused(inputs=[x | {"parameters": [entry]}])
    for method, field in (("ModelMetadata", "name"), ("ModelInfer", "model_name")):
        wanted = {"inputs": [known]} if method == "ModelInfer" else {}
        found = code_of(call, method, **{field: "houses"}, **wanted)
        assert found == (grpc.StatusCode.NOT_FOUND, "There is no model 'houses'.")


def test_the_command_wants_keys_keeps_limits_and_ends_when_told(
    published: Settings, tmp_path: Path
) -> None:
    triton = library()
    bind, log = free_bind(), tmp_path / "grpc.log"
    keys = f"asks:predict:{KEYS['asks']},reads:read:{KEYS['reads']}"
    settings = {"data": published.data, "api_keys": keys, "max_json_bytes": 2000}
    with running("grpc", log, grpc_bind=bind, **settings) as process:
        with triton.InferenceServerClient(bind) as client:
            wait_until(lambda: process.poll() is not None or is_live(client))
            assert process.poll() is None, log.read_text()
            assert client.is_server_ready()

            def ask(headers: Any, rows: int = 1, coding: str | None = None) -> Any:
                x = triton.InferInput("x", [rows], "FP64")
                x.set_data_from_numpy(np.full(rows, 0.25))
                return client.infer("kinds", [x], headers=headers, compression_algorithm=coding)

            key = {"authorization": f"Bearer {KEYS['asks']}"}
            for headers in (key, {"x-api-key": KEYS["asks"]}):
                assert ask(headers).as_numpy("prediction").tolist() == [b"cheap"]
            for coding in (None, "gzip"):
                with pytest.raises(Exception, match="RESOURCE_EXHAUSTED"):
                    ask(key, 1000, coding)
            for headers, code in (
                ({}, "UNAUTHENTICATED"),
                ({"authorization": "Bearer nothing"}, "UNAUTHENTICATED"),
                ({"authorization": f"Bearer {KEYS['reads']}"}, "PERMISSION_DENIED"),
            ):
                with pytest.raises(Exception, match=code):
                    ask(headers)
        second = run("grpc", grpc_bind=bind, **settings)
        assert second.returncode == 1
        assert f"LUTHIER_GRPC_BIND='{bind}'" in second.stderr
        assert stop(process) == 0, log.read_text()


def is_live(client: Any) -> bool:
    from tritonclient.utils import InferenceServerException

    try:
        return bool(client.is_server_live())
    except InferenceServerException:
        return False


def test_an_address_of_all_machines_needs_keys(published: Settings) -> None:
    for bind, said in (("0.0.0.0:0", "there is no API key"), ("nowhere", "address and port")):
        ended = run("grpc", grpc_bind=bind, data=published.data)
        assert ended.returncode == 1
        assert "LUTHIER_GRPC_BIND" in ended.stderr
        assert said in ended.stderr
