"""What the graph of a version, imported again, says of itself: `metadata_props` of `describe`."""

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import onnx
from onnx import TensorProto

from models.data.cells.reader import normalized
from models.data.columns import ColumnType
from models.errors import Unreadable
from models.registry.documents import ColumnSchema, Document, check_document
from models.registry.onnx.interface import PRODUCER
from models.serving.imports.inputs import TAKEN

_TARGET = "target"  # of a graph that names none
_ELEMENTS = {
    ColumnType.NUMBER: TensorProto.DOUBLE,
    ColumnType.BOOLEAN: TensorProto.DOUBLE,
    ColumnType.DATETIME: TensorProto.DOUBLE,
    ColumnType.CATEGORY: TensorProto.STRING,
    ColumnType.TEXT: TensorProto.STRING,
    ColumnType.IMAGE: TensorProto.FLOAT,
}


def told(model: onnx.ModelProto, name: str) -> Any:
    """Return what the metadata of a version's own graph says of `name`; None for nothing."""
    if model.producer_name == PRODUCER:
        for entry in model.metadata_props:
            if entry.key == name:
                with suppress(ValueError, RecursionError):
                    return json.loads(entry.value)
    return None


def told_columns(model: onnx.ModelProto) -> dict[str, Document]:
    """Return the columns of a version's own graph, as a signature has them, by its inputs.

    It is empty for every other graph, and where the columns do not fit the inputs.
    """
    elements = {value.name: value.type.tensor_type.elem_type for value in model.graph.input}
    found: dict[str, Document] = {}
    listed = told(model, "columns")
    for each in listed if isinstance(listed, list) else ():
        column = dict(each) if isinstance(each, dict) else {}
        name = column.pop("input", None)
        description = column.pop("description", None)
        try:
            check_document(column, ColumnSchema(), "the graph")
        except Unreadable:
            return {}
        if not isinstance(name, str) or elements.get(name) != _ELEMENTS[ColumnType(column["type"])]:
            return {}
        is_described = isinstance(description, str)
        found[name] = column | ({"description": description} if is_described else {})
    names = {column["name"] for column in found.values()}
    is_whole = found.keys() == elements.keys() and len(names) == len(found)
    are_names = all(_is_name(name) and not name.startswith(TAKEN) for name in names)
    return found if is_whole and are_names else {}


def told_target(model: onnx.ModelProto, columns: Sequence[Document]) -> str:
    """Return the target that a version's own graph names, or a name for that of another graph."""
    found = told(model, "target")
    is_column = found in [column["name"] for column in columns]
    return found if isinstance(found, str) and _is_name(found) and not is_column else _TARGET


def told_rule(model: onnx.ModelProto, classes: Sequence[Any]) -> Document:
    """Return how a version's own graph says that its probabilities become one of two labels."""
    threshold, positive = told(model, "threshold"), told(model, "positive_class")
    if positive not in classes:
        return {}
    is_share = isinstance(threshold, float) and 0 < threshold < 1
    return {"threshold": threshold if is_share else None, "positive_class": positive}


def _is_name(text: str) -> bool:
    return bool(text) and normalized(text) == text
