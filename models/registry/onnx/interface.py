"""What a version's graphs say of themselves: order and meaning of inputs, classes, producer."""

import json
from collections.abc import Sequence

import onnx
from onnx import helper

import models
from models.data.columns import ColumnType
from models.data.encoding.features import input_name
from models.registry.documents import Document

PRODUCER = "luthier"
_TOLD = ("task", "target", "classes", "threshold", "positive_class", "columns")
PREDICTION, PROBABILITIES = "prediction", "probabilities"  # the output of a version's graph
_MAX_LISTED = 20  # classes of a sentence; the metadata has them all


def describe(content: bytes, signature: Document, model: str, version: int | None = None) -> bytes:
    """Return a graph whose inputs are in the order of the signature, and that explains itself.

    Inputs and outputs get a `doc_string`. `metadata_props` gets parts of the signature, each as
    JSON: `columns`, with the name of its input as `input`, `classes` and others. `content` is the
    graph of `models.registry.onnx.model.merge`, or of `preprocess`.
    """
    graph = onnx.load_model_from_string(content)
    columns = [column | {"input": input_name(column["name"])} for column in signature["columns"]]
    by_name = {value.name: value for value in graph.graph.input}
    inputs = []
    for column in columns:
        if column["input"] in by_name:
            inputs.append(by_name[column["input"]])
            inputs[-1].doc_string = explain_input(column)
    inputs = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in inputs]
    del graph.graph.input[:]
    graph.graph.input.extend(inputs)
    for place, value in enumerate(graph.graph.output, 1):
        value.doc_string = explain_output(value.name, signature, place)
        value.type.tensor_type.shape.dim[0].dim_param = "rows"
    for value in graph.graph.input:
        value.type.tensor_type.shape.dim[0].dim_param = "rows"
    graph.producer_name, graph.producer_version = PRODUCER, models.__version__
    graph.model_version = version or 0
    graph.doc_string = f"{named(model, version)}, predicts {signature['target']}"
    told = signature | {"columns": columns}
    props = {name: json.dumps(told.get(name), ensure_ascii=False) for name in _TOLD}
    helper.set_model_props(graph, props)
    onnx.checker.check_model(graph, full_check=True)
    described: bytes = graph.SerializeToString(deterministic=True)
    return described


def explain_input(column: Document) -> str:
    """Return in a sentence or two what the graph takes for a column of the signature."""
    if "description" in column:
        others = {name: value for name, value in column.items() if name != "description"}
        return f"{explain_input(others)} {column['description']}"
    match column["type"]:
        case ColumnType.BOOLEAN:
            words = column.get("spelling", {}).get("words")
            false, true = (f" ({word})" for word in words) if words else ("", "")
            return f"A boolean: 1 for true{true}, 0 for false{false}, NaN where it is missing."
        case ColumnType.DATETIME:
            return "A datetime: seconds since 1970-01-01 UTC, NaN where it is missing."
        case ColumnType.CATEGORY:
            listed = _listed(column.get("categories", ()))
            seen = f", in training {listed}" if listed else ""
            return f'A category: a text{seen}; "" where it is missing.'
        case ColumnType.TEXT:
            return 'A text; "" where it is missing.'
        case ColumnType.IMAGE:
            return f"An image: pixels, {' × '.join(map(str, column['shape']))}."
    return "A number; NaN where it is missing."


def explain_output(name: str, signature: Document, place: int = 1) -> str:
    """Return in a sentence what an output of a version's graphs is."""
    if name == PREDICTION:
        return f"The predicted {signature['target']}, in its own units."
    if name == PROBABILITIES:
        return f"The probability of each class, in this order: {_listed(signature['classes'])}."
    return f"What input {place} of model.keras takes."


def named(model: str, version: int | None) -> str:
    """Return what a graph or a page is called; an imported graph has no number yet."""
    return f"{model}, imported" if version is None else f"{model}, version {version}"


def _listed(values: Sequence[object]) -> str:
    shown = ", ".join(map(str, values[:_MAX_LISTED]))
    more = len(values) - _MAX_LISTED
    return f"{shown} and {more} more" if more > 0 else shown
