"""Versions whose answers are known, published as a worker does, without training."""

import json
from typing import Any

from onnx import TensorProto, helper

from models.registry.catalog.catalog import ModelCatalog
from models.registry.catalog.routes import RouteChange
from models.store.artifacts import Artifacts
from models.store.engine import Database
from tests.tiny_versions import signature_of, write_file, write_version

TOWNS = {"Graz": 1.0, "Wien": 2.0}
SIGNATURE: dict[str, Any] = {
    "task": "regression",
    "target": "price",
    "columns": [
        {"name": "area", "type": "number"},
        {"name": "town", "type": "category", "categories": list(TOWNS)},
        {"name": "garden", "type": "boolean"},
        {"name": "sold", "type": "datetime"},
    ],
    "classes": None,
    "sample": {"area": 70.5, "town": "Graz", "garden": True, "sold": "2024-05-31"},
    "unused": ["id"],
}
ROWS: list[dict[str, Any]] = [
    {"area": 70.5, "town": "Graz", "garden": True, "sold": "2024-05-31"},
    {"area": 30.0, "town": "Wien", "garden": False, "sold": "2024-06-01T12:00:00Z"},
    {"area": None, "town": None, "garden": None, "sold": None},
    {"area": 12.25, "town": "Ζürich", "garden": True, "sold": "1970-01-02"},
]
PRICES = [70.5 + 1 + 1 + 19874.0, 30.0 + 2 + 19875.5, 0.0, 12.25 + 1 + 1.0]
"""What version 1 of `flats` answers to ROWS: area, town, garden and days, summed; missing is 0."""


def publish(
    database: Database, files: dict[str, Any], model: str, signature: dict[str, Any]
) -> int:
    """Publish a version of these files, which is the champion then."""
    catalog = ModelCatalog(database)
    version = catalog.reserve(model, "regression", "job_1", 1)
    with database.write() as connection:
        details = {"metrics": None, "baseline": None, "signature": signature}
        catalog.publish(connection, model, version, 1, files, details)
    return version


def publish_all(database: Database, artifacts: Artifacts) -> None:
    """Publish `flats` in two versions, the second adding 1000, with the alias `next` for it.

    And `kinds`, `flags` and `digits`, which give [1 - x, x] for two classes.
    """
    for version in (1, 2):
        publish(database, write_flats(artifacts, version), "flats", SIGNATURE)
    for alias, version in (("next", 2), ("champion", 1)):
        ModelCatalog(database).set_alias("flats", alias, RouteChange.to(version))
    labels: dict[str, list[Any]] = {"kinds": ["cheap", "dear"], "flags": [False, True]}
    for model, classes in (labels | {"digits": [3, 8]}).items():
        files = write_version(artifacts, model, 1, classes)
        publish(database, files, model, signature_of(classes))


def write_flats(artifacts: Artifacts, version: int) -> dict[str, Any]:
    """Write a version of `flats`; answer the entries of its files."""
    content = {"model.onnx": _graph(1000.0 * (version - 1))}
    content["signature.json"] = json.dumps(SIGNATURE).encode()
    folder = f"models/flats/{version}"
    return {name: write_file(artifacts, folder, name, file) for name, file in content.items()}


def _graph(offset: float) -> bytes:
    double, text = TensorProto.DOUBLE, TensorProto.STRING
    constants = [
        helper.make_tensor(name, double, [1], [value])
        for name, value in (("zero", 0.0), ("day", 86400.0), ("offset", offset))
    ]
    nodes = [
        helper.make_node(
            "LabelEncoder",
            ["town"],
            ["town_float"],
            domain="ai.onnx.ml",
            keys_strings=list(TOWNS),
            values_floats=list(TOWNS.values()),
            default_float=0.0,
        ),
        helper.make_node("Cast", ["town_float"], ["town_0"], to=double),
        helper.make_node("Div", ["sold", "day"], ["days"]),
    ]
    for name in ("area", "garden", "days"):
        nodes.append(helper.make_node("IsNaN", [name], [f"{name}_nan"]))
        nodes.append(helper.make_node("Where", [f"{name}_nan", "zero", name], [f"{name}_0"]))
    parts = ["area_0", "town_0", "garden_0", "days_0", "offset"]
    nodes.append(helper.make_node("Sum", parts, ["prediction"]))
    inputs = [
        helper.make_tensor_value_info(name, text if name == "town" else double, ["rows", 1])
        for name in ("area", "town", "garden", "sold")
    ]
    output = helper.make_tensor_value_info("prediction", double, ["rows", 1])
    graph = helper.make_graph(nodes, "flats", inputs, [output], constants)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    content: bytes = helper.make_model(
        graph, opset_imports=opsets, ir_version=8
    ).SerializeToString()
    return content
