"""The output of an imported graph that answers, and the nodes that make it a version's answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from models.data.preparation.tasks import ClassLabel, Task
from models.errors import Invalid
from models.registry.onnx.interface import PREDICTION, PROBABILITIES
from models.serving.imports.inputs import INNER, Front, Wanted
from models.serving.imports.metadata import told

_FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE)
_NUMBERS = (*_FLOATS, TensorProto.INT64, TensorProto.INT32)
_PROBABILITIES = ("probabilities", "output_probability", "probability")  # of skl2onnx and others
_CLASS_ATTRIBUTES = ("classlabels_strings", "classlabels_int64s", "classlabels_ints")


@dataclass(frozen=True, slots=True)
class Answer:
    """The output that answers, and what it means."""

    name: str
    task: Task
    classes: tuple[ClassLabel, ...]  # empty for a regression


def unzip(graph: onnx.GraphProto) -> None:
    """Take out each `ZipMap`, which makes a map of each row of probabilities.

    scikit-learn's converter appends it. The output is then the tensor that it takes.
    """
    for node in [node for node in graph.node if node.op_type == "ZipMap"]:
        for value in graph.output:
            if value.name == node.output[0]:
                made = helper.make_tensor_value_info(node.input[0], TensorProto.FLOAT, None)
                value.CopyFrom(made)
        graph.node.remove(node)


def read_answer(graph: onnx.GraphProto, classes: Sequence[Any] | None, wanted: Wanted) -> Answer:
    """Choose the output that answers; raises Invalid where the graph leaves it open.

    `classes` are those that the graph itself names. A label alone is no answer: it has no
    probability.
    """
    numbers = {
        value.name: value.type.tensor_type.elem_type
        for value in graph.output
        if value.type.HasField("tensor_type") and value.type.tensor_type.elem_type in _NUMBERS
    }
    floats = [name for name, element in numbers.items() if element in _FLOATS]
    known = wanted.classes or classes
    is_regression = wanted.task == Task.REGRESSION or (wanted.task is None and not known)
    candidates = list(numbers) if wanted.task == Task.REGRESSION and not floats else floats
    name = _choose(candidates, wanted.output, [value.name for value in graph.output])
    if is_regression:
        if wanted.classes:
            raise Invalid.at("request.classes", "A regression has no classes.")
        return Answer(name, Task.REGRESSION, ())
    if not known:
        raise Invalid.at(
            "request.classes", "The graph does not name its classes; give them in its order."
        )
    found = tuple(known)
    if len(set(found)) != len(found) or len(found) < 2:
        raise Invalid.at("request.classes", "There must be two or more different classes.")
    task = Task.BINARY if len(found) == 2 else Task.MULTICLASS
    if wanted.task not in (None, task):
        raise Invalid.at("request.task", f"With {len(found)} classes it is {task}.")
    return Answer(name, task, found)


def _choose(candidates: Sequence[str], asked: str | None, every: Sequence[str]) -> str:
    listed = ", ".join(every)
    if asked is not None:
        if asked not in candidates:
            raise Invalid.at(
                "request.output", f"{asked!r} is not an output of numbers; outputs are: {listed}."
            )
        return asked
    named = [name for name in candidates if name in _PROBABILITIES]
    if len(candidates) != 1 and len(named) != 1:
        if not candidates:
            told = f"None of its outputs, {listed}, holds" if listed else "It has no output with"
            raise Invalid.at("file", f"{told} predictions or probabilities.")
        raise Invalid.at("request.output", f"Several outputs may be the answer: {listed}.")
    return candidates[0] if len(candidates) == 1 else named[0]


def named_classes(model: onnx.ModelProto) -> list[Any] | None:
    """Return the classes that the graph names; None for none.

    They are those in the metadata of a version's own graph, or else of a classifier or a `ZipMap`.
    """
    labels = told(model, "classes")
    if isinstance(labels, list) and all(isinstance(each, str | int) for each in labels):
        return labels
    found: list[list[Any]] = []
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name in _CLASS_ATTRIBUTES:
                labels = [text.decode() for text in attribute.strings] or list(attribute.ints)
                if labels:
                    found.append(labels)
    return found[-1] if found else None


def write_answer(front: Front, answer: Answer, width: int) -> Any:
    """Add the nodes after the imported graph; return the output of the version's graph.

    `width` is how many numbers a row of the answering output has.
    """
    is_regression = answer.task is Task.REGRESSION
    element = TensorProto.DOUBLE if is_regression else TensorProto.FLOAT
    kind: Any = np.float64 if is_regression else np.float32
    shape = front.constant("back/shape", [-1, width], np.int64)
    rows = front.add("Reshape", [INNER + answer.name, shape], "back/rows")
    found = front.add("Cast", [rows], "back/numbers", to=element)
    if not is_regression and width == 1:
        whole = front.constant("back/whole", 1.0, kind)
        other = front.add("Sub", [whole, found], "back/other")
        found = front.add("Concat", [other, found], "back/both", axis=1)
    if front.refusals:
        refused = front.refusals[0]
        for number, each in enumerate(front.refusals[1:]):
            refused = front.add("Or", [refused, each], f"back/refused_{number}")
        column = front.constant("back/column", [-1, 1], np.int64)
        mask = front.add("Reshape", [refused, column], "back/mask")
        nothing = front.constant("back/nothing", np.nan, kind)
        found = front.add("Where", [mask, nothing, found], "back/kept")
    name = PREDICTION if is_regression else PROBABILITIES
    front.add("Identity", [found], name)
    return helper.make_tensor_value_info(
        name, element, ["rows", 1 if is_regression else len(answer.classes)]
    )
