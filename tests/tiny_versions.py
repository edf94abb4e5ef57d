"""Versions of one column whose answers are known, written without training."""

import hashlib
import json
import secrets
from typing import Any

import onnx
from onnx import TensorProto, helper

from models.registry.catalog.catalog import ModelCatalog
from models.registry.files import entry_path
from models.store.artifacts import Artifacts
from models.store.engine import Database


def signature_of(classes: list[Any] | None = None) -> dict[str, Any]:
    """The signature of both graphs below."""
    return {
        "task": "regression" if classes is None else "binary",
        "target": "y",
        "columns": [{"name": "x", "type": "number"}],
        "classes": classes,
        "sample": {"x": 1.0},
    }


def write_file(artifacts: Artifacts, folder: str, name: str, content: bytes) -> dict[str, Any]:
    """Write a file of a version as an export does; answer its entry in the registry."""
    sha256 = hashlib.sha256(content).hexdigest()
    path = entry_path(name, sha256)
    artifacts.write(f"{folder}/{path}", content)
    return {"sha256": sha256, "bytes": len(content), "path": path}


def write_version(
    artifacts: Artifacts, model: str, version: int, classes: list[Any] | None = None
) -> dict[str, Any]:
    """Write a version that doubles `x` and adds its number, or gives [1 - x, x] as classes."""
    graph = _doubling(version) if classes is None else _two_classes()
    content = {"model.onnx": graph, "signature.json": json.dumps(signature_of(classes)).encode()}
    folder = f"models/{model}/{version}"
    return {name: write_file(artifacts, folder, name, file) for name, file in content.items()}


def publish_version(
    database: Database,
    artifacts: Artifacts,
    model: str = "m",
    classes: list[Any] | None = None,
    job: str | None = None,
) -> int:
    """Publish the next version of a model, as `write_version` makes it; the champion moves."""
    catalog = ModelCatalog(database)
    task = str(signature_of(classes)["task"])
    version = catalog.reserve(model, task, job or f"job_{secrets.token_hex(4)}", 1)
    files = write_version(artifacts, model, version, classes)
    details = {"metrics": {"r2": 0.5}, "baseline": None}
    with database.write() as connection:
        catalog.publish(connection, model, version, 1, files, details)
    return version


def _doubling(offset: int) -> bytes:
    nodes = [
        helper.make_node("Add", ["x", "x"], ["doubled"]),
        helper.make_node("Add", ["doubled", "offset"], ["prediction"]),
    ]
    constant = helper.make_tensor("offset", TensorProto.DOUBLE, [1], [float(offset)])
    return _graph(nodes, [constant], "prediction", 1)


def _two_classes() -> bytes:
    nodes = [
        helper.make_node("Sub", ["one", "x"], ["rest"]),
        helper.make_node("Concat", ["rest", "x"], ["probabilities"], axis=1),
    ]
    one = helper.make_tensor("one", TensorProto.DOUBLE, [1], [1.0])
    return _graph(nodes, [one], "probabilities", 2)


def _graph(nodes: list[Any], constants: list[Any], output: str, width: int) -> bytes:
    kind = TensorProto.DOUBLE
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", kind, ["rows", 1])],
        [helper.make_tensor_value_info(output, kind, ["rows", width])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content
