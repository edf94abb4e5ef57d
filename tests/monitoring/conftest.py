import json
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from flask.testing import FlaskClient
from onnx import TensorProto, helper

from models.data.columns import ColumnType, measure
from models.data.dataset import Dataset
from models.registry.catalog.catalog import ModelCatalog
from models.registry.profile import PROFILE_FILE, profile_document
from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.engine import Database
from tests.tiny_versions import write_file, write_version

Publish = Callable[..., int]
TOWNS = np.array(["Graz", "Wien", "Linz", "Wels"], dtype=object)


def houses(rows: int, seed: int = 1) -> Dataset:
    """Rows of `x`, standard normal, and `town`, each as often."""
    generator = np.random.default_rng(seed)
    values = {"x": generator.normal(size=rows), "town": generator.choice(TOWNS, rows)}
    kinds = {"x": ColumnType.NUMBER, "town": ColumnType.CATEGORY}
    columns = tuple(measure(name, kinds[name], cells) for name, cells in values.items())
    return Dataset(columns, values)


def instances(dataset: Dataset) -> list[dict[str, Any]]:
    """The rows as a client sends them."""
    cells = (dataset.values[name].tolist() for name in dataset.names)
    return [dict(zip(dataset.names, row, strict=True)) for row in zip(*cells, strict=True)]


@pytest.fixture
def artifacts(settings: Settings) -> Artifacts:
    return Artifacts(settings.resolved_artifacts)


@pytest.fixture
def publish(database: Database, artifacts: Artifacts) -> Publish:
    """Publish the next version of a model of `houses`, which answers its number plus twice `x`."""
    return publisher(database, artifacts)


def publisher(database: Database, artifacts: Artifacts) -> Publish:
    """Return what publishes versions."""
    catalog = ModelCatalog(database)

    def publish_next(model: str = "m", classes: list[Any] | None = None, **document: Any) -> int:
        """With classes, `x` is the probability of the second one and the only column."""
        task = "regression" if classes is None else "binary"
        version = catalog.reserve(model, task, f"job_{model}", 1)
        if classes is None:
            files = _write_houses(artifacts, model, version)
        else:
            files = write_version(artifacts, model, version, classes)
        details = {"metrics": {"rmse": 0.5}, "baseline": None, **document}
        with database.write() as connection:
            catalog.publish(connection, model, version, 1, files, details)
        return version

    return publish_next


def _write_houses(artifacts: Artifacts, model: str, version: int) -> dict[str, Any]:
    columns = [{"name": "x", "type": "number"}, {"name": "town", "type": "category"}]
    signature = {
        "task": "regression",
        "target": "y",
        "columns": columns,
        "classes": None,
        "sample": {"x": 1.0, "town": "Graz"},
    }
    profile = profile_document(houses(2000), np.arange(2000), ("x", "town"))
    content = {
        "model.onnx": _graph(version),
        "signature.json": json.dumps(signature).encode(),
        PROFILE_FILE: json.dumps(profile).encode(),
    }
    folder = f"models/{model}/{version}"
    return {name: write_file(artifacts, folder, name, file) for name, file in content.items()}


def _graph(offset: int) -> bytes:
    nodes = [
        helper.make_node("Add", ["x", "x"], ["doubled"]),
        helper.make_node("Add", ["doubled", "offset"], ["prediction"]),
    ]
    graph = helper.make_graph(
        nodes,
        "houses",
        [
            helper.make_tensor_value_info("x", TensorProto.DOUBLE, ["rows", 1]),
            helper.make_tensor_value_info("town", TensorProto.STRING, ["rows", 1]),
        ],
        [helper.make_tensor_value_info("prediction", TensorProto.DOUBLE, ["rows", 1])],
        [helper.make_tensor("offset", TensorProto.DOUBLE, [1], [float(offset)])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    content: bytes = onnx.ModelProto.SerializeToString(model)
    return content


def predict(client: FlaskClient, rows: list[Any], model: str = "m", **wanted: Any) -> Any:
    """Send rows to predict; return the response."""
    return client.post("/predict", json={"model": model, "instances": rows, **wanted})


def monitored(client: FlaskClient, model: str = "m", query: str = "") -> dict[str, Any]:
    """What the monitor says of a model."""
    response = client.get(f"/models/{model}/monitor{query}")
    assert response.status_code == 200, response.get_json()
    return dict(response.get_json())


@pytest.fixture
def refused() -> Callable[..., dict[str, Any]]:
    """Check that a response is a problem of this status; answer its messages by path."""

    def check(response: Any, status: int) -> dict[str, Any]:
        body = response.get_json()
        assert response.status_code == status, body
        return dict(body.get("errors", {}))

    return check
