"""The inputs of an imported graph as columns, and the nodes that turn columns into them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.data.cells.reader import normalized
from models.data.columns import ColumnType
from models.data.encoding.features import input_name
from models.data.preparation.tasks import ClassLabel
from models.errors import Invalid
from models.registry.documents import Document

INNER = "imported/"  # begins every name of the imported graph
TAKEN = (INNER, "front/", "back/")  # begin the names of a version's graph

_NUMBERS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.INT32)
_WHOLE = (TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL)
_MAX_COLUMNS = 10_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What whoever imports a graph says of it; None for what the graph is to say itself."""

    task: str | None = None
    target: str | None = None
    classes: Sequence[ClassLabel] | None = None
    columns: Sequence[str] | None = None  # of a matrix
    output: str | None = None  # the name of the one that answers
    sample: Document | None = None
    descriptions: Document | None = None  # sentences by column


@dataclass(frozen=True, slots=True)
class GraphInput:
    """One input of the imported graph, and the columns that it is made of."""

    name: str
    element: int  # of TensorProto
    rank: int
    columns: tuple[Document, ...]  # as a signature has them
    is_matrix: bool = False


def read_inputs(
    graph: onnx.GraphProto, wanted: Wanted, known: Mapping[str, Document]
) -> list[GraphInput]:
    """Return the inputs of a graph; raises Invalid for one that is no table's columns.

    `known` are the columns of inputs that need no guess.
    """
    given = {tensor.name for tensor in graph.initializer}
    values = [value for value in graph.input if value.name not in given]
    if not values:
        raise Invalid.at("file", "It has no inputs.")
    inputs = [_input(value, wanted, known, is_only=len(values) == 1) for value in values]
    if wanted.columns is not None and not inputs[0].is_matrix:
        raise Invalid.at("request.columns", "Only the columns of one matrix are named.")
    names = [column["name"] for each in inputs for column in each.columns]
    for name in wanted.descriptions or ():
        if name not in names:
            raise Invalid.at(f"request.descriptions.{name}", "There is no such column.")
    return inputs


def _input(
    value: onnx.ValueInfoProto, wanted: Wanted, known: Mapping[str, Document], is_only: bool
) -> GraphInput:
    tensor = value.type.tensor_type
    element, sides = tensor.elem_type, [side.dim_value or None for side in tensor.shape.dim]
    if not value.type.HasField("tensor_type") or not sides:
        raise _refused(value.name, "is no tensor with a row for each row of a table")
    if sides[0] is not None:
        raise _refused(value.name, f"takes exactly {sides[0]} rows; export it for any number")
    if value.name in known:
        column = _described(known[value.name], wanted)
        return GraphInput(value.name, element, len(sides), (column,))
    if len(sides) in (3, 4) and is_only and None not in sides[1:] and element == TensorProto.FLOAT:
        image = _column(value.name, ColumnType.IMAGE, wanted) | {"shape": sides[1:]}
        return GraphInput(value.name, element, len(sides), (image,))
    kind = _kind(value.name, element)
    if len(sides) == 1 or sides[1:] == [1]:
        return GraphInput(value.name, element, len(sides), (_column(value.name, kind, wanted),))
    if len(sides) != 2 or not is_only:
        raise _refused(value.name, f"has the shape {sides}, which is no column")
    names = _names(sides[1], wanted.columns)
    columns = tuple(_column(name, kind, wanted) for name in names)
    return GraphInput(value.name, element, 2, columns, is_matrix=True)


def _names(width: int | None, names: Sequence[str] | None) -> Sequence[str]:
    """Return the names of a matrix's columns."""
    if names is None:
        if width is None:
            raise Invalid.at("request.columns", "The graph does not say how many columns it takes.")
        names = [f"x{number}" for number in range(1, width + 1)]
    if width not in (None, len(names)) or not 1 <= len(names) <= _MAX_COLUMNS:
        raise Invalid.at(
            "request.columns", f"There are {len(names)} names, but the graph takes {width} columns."
        )
    return names


def _column(name: str, kind: ColumnType, wanted: Wanted) -> Document:
    if normalized(name) != name or not name:
        raise _refused(name, "has a name that no column of a table can have")
    if name.startswith(TAKEN):
        raise _refused(name, f"begins with one of {', '.join(TAKEN)}, as names of the version do")
    return _described({"name": name, "type": kind.value}, wanted)


def _described(column: Document, wanted: Wanted) -> Document:
    described = (wanted.descriptions or {}).get(column["name"])
    return column if described is None else column | {"description": described}


def _kind(name: str, element: int) -> ColumnType:
    if element in _NUMBERS:
        return ColumnType.NUMBER
    if element == TensorProto.BOOL:
        return ColumnType.BOOLEAN
    if element == TensorProto.STRING:
        return ColumnType.CATEGORY
    shown = TensorProto.DataType.Name(element)
    raise _refused(name, f"is of type {shown}; numbers, BOOL and STRING are columns")


def _refused(name: str, why: str) -> Invalid:
    return Invalid.at("file", f"Its input {name!r} {why}.")


class Front:
    """The nodes before an imported graph: from the inputs of a version's graph to its own."""

    def __init__(self, inputs: Sequence[GraphInput]) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.values: list[Any] = []  # inputs of the version's graph
        self.refusals: list[str] = []  # names of bool [rows]: no whole number, where one is needed
        self._is_flat = sum(len(each.columns) for each in inputs) > 1
        for each in inputs:
            self._write(each)

    def add(self, operator: str, inputs: list[str], name: str, **attributes: Any) -> str:
        """Add an operator; return the name of its output."""
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def constant(self, name: str, value: Any, kind: Any) -> str:
        """Add an array; return its name."""
        self.constants.append(numpy_helper.from_array(np.array(value, kind), name))
        return name

    def _write(self, each: GraphInput) -> None:
        inner, name = INNER + each.name, f"front/{len(self.values)}"
        first = each.columns[0]
        if first["type"] == ColumnType.IMAGE:
            self._declare(first["name"], TensorProto.FLOAT, first["shape"])
            self.add("Identity", [input_name(first["name"])], inner)
            return
        cells = [self._cells(column, each.element) for column in each.columns]
        if len(cells) > 1:
            joined = self.add("Concat", cells, f"{name}/joined", axis=0)
            shape = self.constant(f"{name}/columns", [len(cells), -1], np.int64)
            stacked = self.add("Reshape", [joined, shape], f"{name}/stacked")
            whole = self.add("Transpose", [stacked], f"{name}/matrix", perm=[1, 0])
        else:
            sides = [-1] if each.rank == 1 else [-1, 1]
            shape = self.constant(f"{name}/shape", sides, np.int64)
            whole = self.add("Reshape", [*cells, shape], f"{name}/shaped")
        self.add("Identity", [whole], inner)

    def _cells(self, column: Document, element: int) -> str:
        """Return the name of a column's cells, [rows], in the type of the imported graph."""
        is_text = element == TensorProto.STRING
        raw = self._declare(
            column["name"],
            TensorProto.STRING if is_text else TensorProto.DOUBLE,
            [] if self._is_flat else [1],
        )
        name = f"front/{len(self.values)}/cells"
        shape = self.constant(f"{name}/shape", [-1], np.int64)
        flat = self.add("Reshape", [raw, shape], f"{name}/flat")
        if is_text:
            return flat
        if element in _WHOLE:
            # What is left of NaN is NaN, which counts as true: a missing number has no answer.
            floor = self.add("Floor", [flat], f"{name}/floor")
            rest = self.add("Sub", [flat, floor], f"{name}/rest")
            is_refused = self.add("Cast", [rest], f"{name}/is_refused", to=TensorProto.BOOL)
            self.refusals.append(is_refused)
        return self.add("Cast", [flat], f"{name}/cast", to=element)

    def _declare(self, column: str, element: int, sides: Sequence[int]) -> str:
        name = input_name(column)
        self.values.append(helper.make_tensor_value_info(name, element, ["rows", *sides]))
        return name
