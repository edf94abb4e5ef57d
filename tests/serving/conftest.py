import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from models.registry.files import VersionFiles
from models.store.artifacts import Artifacts


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(str(tmp_path))


Register = Callable[..., None]


@pytest.fixture
def registered() -> dict[tuple[str, int], dict[str, Any]]:
    """What is registered of the files of each version."""
    return {}


@pytest.fixture
def files(artifacts: Artifacts, registered: dict[tuple[str, int], dict[str, Any]]) -> VersionFiles:
    return VersionFiles(artifacts, lambda model, version: registered[model, version])


@pytest.fixture
def register(artifacts: Artifacts, registered: dict[tuple[str, int], dict[str, Any]]) -> Register:
    """Write a version that doubles `x` and adds its number, or gives [1 - x, x] as classes."""

    def write(model: str, version: int, classes: list[Any] | None = None) -> None:
        entries = registered.setdefault((model, version), {})
        graph = _doubling(version) if classes is None else _two_classes()
        signature = {
            "task": "regression" if classes is None else "binary",
            "target": "y",
            "columns": [{"name": "x", "type": "number"}],
            "classes": classes,
            "sample": {"x": 1.0},
        }
        folder = f"models/{model}/{version}"
        content = {"model.onnx": graph, "signature.json": json.dumps(signature).encode()}
        for name, file in content.items():
            entries[name] = {"sha256": artifacts.write(f"{folder}/{name}", file)}

    return write


def _doubling(version: int) -> bytes:
    nodes = [
        helper.make_node("Add", ["x", "x"], ["doubled"]),
        helper.make_node("Add", ["doubled", "offset"], ["prediction"]),
    ]
    offset = helper.make_tensor("offset", TensorProto.DOUBLE, [1], [float(version)])
    return _graph(nodes, [offset], TensorProto.DOUBLE, "prediction", 1)


def _two_classes() -> bytes:
    nodes = [
        helper.make_node("Sub", ["one", "x"], ["rest"]),
        helper.make_node("Concat", ["rest", "x"], ["probabilities"], axis=1),
    ]
    one = helper.make_tensor("one", TensorProto.DOUBLE, [1], [1.0])
    return _graph(nodes, [one], TensorProto.DOUBLE, "probabilities", 2)


def _graph(nodes: list[Any], constants: list[Any], kind: int, output: str, width: int) -> bytes:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, ["rows", 1])],
        [helper.make_tensor_value_info(output, kind, ["rows", width])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content
