"""Make a version's graph and signature of an imported graph, and run it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from models.data.columns import ColumnType
from models.data.encoding.onnx_builder import prefixed
from models.data.preparation.tasks import Task
from models.errors import Invalid
from models.registry.documents import Document
from models.registry.onnx.interface import describe
from models.registry.readme.readme import write_readme
from models.serving.engine import LoadedVersion, session_options
from models.serving.imports.inputs import INNER, Front, GraphInput, Wanted, read_inputs
from models.serving.imports.metadata import told_columns, told_rule, told_target
from models.serving.imports.outputs import (
    Answer,
    named_classes,
    read_answer,
    unzip,
    write_answer,
)
from models.serving.imports.safety import read_graph
from models.serving.signature import Signature

_MIN_IR = 4  # from which on constants need not be inputs
_ROWS = 16  # that are run beside the sample
_SUM_TOLERANCE = 1e-3  # of the probabilities of a row


def import_graph(content: bytes, wanted: Wanted, model: str) -> tuple[bytes, Document, str]:
    """Return model.onnx, the signature and the README of a version that answers as the graph does.

    The graph is loaded by ONNX Runtime, and run on a sample row and others. Raises Invalid, at
    `file` or `request.…`, for a graph that is no table's predictor, or that fails.
    """
    graph = read_graph(content)
    inputs = read_inputs(graph.graph, wanted, told_columns(graph))
    classes = named_classes(graph)
    unzip(graph.graph)
    answer = read_answer(graph.graph, classes, wanted)
    signature = _signature(graph, inputs, answer, wanted)
    width = _width(_joined(graph, Front(inputs), answer, None), signature, answer)
    wrapped = _joined(graph, Front(inputs), answer, width).SerializeToString()
    found = describe(wrapped, signature, model)
    _run(found, signature, model)
    page = write_readme(found, signature, model, None, networks=0, encodings=0)
    return found, signature, page


def _signature(
    graph: onnx.ModelProto, inputs: list[GraphInput], answer: Answer, wanted: Wanted
) -> Document:
    columns = [column for each in inputs for column in each.columns]
    target = wanted.target or told_target(graph, columns)
    signature: Document = {
        "task": answer.task.value,
        "target": target,
        "columns": columns,
        "classes": list(answer.classes) or None,
        "sample": wanted.sample or {column["name"]: _example(column) for column in columns},
        "unused": [],
    }
    if answer.task is Task.BINARY:
        signature |= {"threshold": None, "positive_class": answer.classes[1]}
        if not wanted.classes:
            signature |= told_rule(graph, answer.classes)
    if target in {column["name"] for column in columns}:
        raise Invalid.at("request.target", f"{target!r} is a column of the graph.")
    return signature


def _example(column: Document) -> Any:
    match column["type"]:
        case ColumnType.IMAGE:
            return np.zeros(column["shape"]).tolist()
        case ColumnType.CATEGORY | ColumnType.TEXT:
            return next(iter(column.get("categories", ())), "a")
        case ColumnType.DATETIME:
            return "2000-01-01"
        case ColumnType.BOOLEAN:
            return False
    return 0


def _joined(
    graph: onnx.ModelProto, front: Front, answer: Answer, width: int | None
) -> onnx.ModelProto:
    """Put the nodes of `front` before the graph, and those of the answer behind it.

    Without a width the output is that of the graph itself.
    """
    inner = prefixed(graph, INNER)
    output = next(value for value in inner.graph.output if value.name == INNER + answer.name)
    before = list(front.nodes)
    if width is not None:
        output = write_answer(front, answer, width)
    nodes = [*before, *inner.graph.node, *front.nodes[len(before) :]]
    given = {tensor.name for tensor in inner.graph.initializer}
    made = helper.make_graph(
        nodes,
        "imported",
        [*front.values, *(value for value in inner.graph.input if value.name in given)],
        [output],
        [*front.constants, *inner.graph.initializer],
        sparse_initializer=inner.graph.sparse_initializer,
    )
    return helper.make_model(
        made,
        opset_imports=inner.opset_import,
        functions=inner.functions,
        ir_version=max(inner.ir_version, _MIN_IR),
    )


def _load(content: bytes) -> Any:
    try:
        return onnxruntime.InferenceSession(
            content, sess_options=session_options(), providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        raise Invalid.at("file", f"ONNX Runtime cannot load it: {_shown(error)}") from None


def _width(raw: onnx.ModelProto, signature: Document, answer: Answer) -> int:
    """Run the graph on a few equal rows; return how many numbers its answer has a row."""
    loaded = _loaded(raw.SerializeToString(), signature, "")
    rows = 3
    feed = _feed(loaded, signature, rows)
    found = np.asarray(_answers(loaded, feed))
    if found.dtype.kind not in "fiu" or found.shape[:1] != (rows,) or found.size == 0:
        raise Invalid.at(
            "file", f"For {rows} rows its output {answer.name!r} has the shape {found.shape}."
        )
    width = found.size // rows
    wanted = {1} if answer.task is Task.REGRESSION else {len(answer.classes)}
    if answer.task is Task.BINARY:
        wanted.add(1)  # the probability of the second class
    if width not in wanted:
        is_open = answer.task is Task.REGRESSION
        raise Invalid.at(
            "request.classes",
            f"The output {answer.name!r} has {width} numbers a row"
            + (": are they probabilities? Name their classes." if is_open else "."),
        )
    return width


def _run(content: bytes, signature: Document, model: str) -> None:
    """Answer the sample as a version would, and look at the answers of random rows."""
    loaded = _loaded(content, signature, model)
    sample = _feed(loaded, signature)
    if not np.isfinite(loaded.outputs(sample)).all():
        raise Invalid.at(
            "request.sample", "Has no finite answer: give a row that the graph can answer."
        )
    feed = _feed(loaded, signature, _ROWS)
    generator = np.random.default_rng(0)
    for name, cells in feed.items():
        if cells.dtype != object:
            feed[name] = np.floor(generator.normal(0, 10, cells.shape)).astype(cells.dtype)
    if not loaded.signature.classes:
        return
    samples = [sample]
    try:
        _answers(loaded, feed)
        samples.append(feed)
    except Invalid:
        pass  # such as numbers that are places of a table
    for each in samples:
        _check_probabilities(np.asarray(_answers(loaded, each)))


def _feed(loaded: LoadedVersion, signature: Document, rows: int = 1) -> dict[str, Any]:
    """Return the inputs for the sample row, so many times; raise Invalid at `request.sample`."""
    try:
        loaded.signature.feed([signature["sample"]])
    except Invalid as error:
        first = "instances.0"
        paths = {path.replace(first, "request.sample", 1): path for path in error.errors}
        raise Invalid({path: error.errors[old] for path, old in paths.items()}) from None
    return loaded.signature.feed([signature["sample"]] * rows)


def _check_probabilities(found: np.ndarray[Any, Any]) -> None:
    sums = found.sum(axis=1)
    known = np.isfinite(sums)
    is_sound = (found[known] >= -_SUM_TOLERANCE).all() and (
        np.abs(sums[known] - 1) <= _SUM_TOLERANCE
    ).all()
    if not is_sound:
        raise Invalid.at(
            "file",
            "Its answers are no probabilities: they are below 0 or do not add up to 1. If they are"
            " logits, let the graph end with Softmax or Sigmoid.",
        )


def _loaded(content: bytes, signature: Document, model: str) -> LoadedVersion:
    session = _load(content)
    is_flat = all(len(entry.shape) == 1 for entry in session.get_inputs())
    read = Signature.from_json(signature)
    return LoadedVersion(model, 0, read, session, is_flat=is_flat)


def _answers(loaded: LoadedVersion, feed: Mapping[str, Any]) -> Any:
    cells = {name: array[:, 0] for name, array in feed.items()} if loaded.is_flat else dict(feed)
    try:
        return loaded.session.run(None, cells)[0]
    except Exception as error:
        raise Invalid.at("file", f"Running it on a row fails: {_shown(error)}") from None


def _shown(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
