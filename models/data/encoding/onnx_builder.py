"""A graph of ONNX under construction, and the opsets that its operators come from."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto, helper, numpy_helper

from models.data.encoding.features import input_name

OPSET = 18
ML_OPSET = 3
IR_VERSION = 8  # the one that belongs to opset 18
ML = "ai.onnx.ml"
RUNTIME = "com.microsoft"  # operators that every build of ONNX Runtime has
OUTPUT = "features"

_OPSETS = {"": OPSET, ML: ML_OPSET, RUNTIME: 1}


@dataclass(slots=True)
class Graph:
    """A graph under construction; internal names start with `preprocessing/`."""

    nodes: list[Any] = field(default_factory=list)
    inputs: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)
    domains: set[str] = field(default_factory=lambda: {"", ML})
    is_flat: bool = False  # whether an input of cells is [N], else [N, 1]

    def input(self, column: str, element: int, shape: tuple[int, ...]) -> str:
        """Add the input of a column of images of `shape`; return its name."""
        name = input_name(column)
        self.inputs.append(helper.make_tensor_value_info(name, element, ["N", *shape]))
        return name

    def cells(self, column: str, element: int) -> str:
        """Add the input of a column of cells; return the name of its cells, [N]."""
        if self.is_flat:
            return self.input(column, element, ())
        number, name = len(self.inputs), self.input(column, element, (1,))
        flat = self.constant(f"cells_{number}_shape", [-1], np.int64)
        return self.add("Reshape", [name, flat], f"cells_{number}")

    def side_by_side(self, cells: list[str], name: str) -> str:
        """Join cells, each [N], to [N, columns]; return the name of the result."""
        if len(cells) == 1:
            axis = self.constant(f"{name}_axis", [1], np.int64)
            return self.add("Unsqueeze", [*cells, axis], name)
        # Three operators, where one for each column takes longer.
        end_to_end = self.add("Concat", cells, f"{name}_in_line", axis=0)
        shape = self.constant(f"{name}_shape", [len(cells), -1], np.int64)
        stacked = self.add("Reshape", [end_to_end, shape], f"{name}_stacked")
        return self.add("Transpose", [stacked], name, perm=[1, 0])

    def constant(self, name: str, values: Any, kind: Any = None) -> str:
        """Add an array; return its name."""
        path = f"preprocessing/{name}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype=kind), path))
        return path

    def add(
        self, operator: str, inputs: list[str], name: str, domain: str = "", **attributes: Any
    ) -> str:
        """Add an operator; return the name of its output."""
        path = name if name == OUTPUT else f"preprocessing/{name}"
        self.domains.add(domain)
        self.nodes.append(
            helper.make_node(operator, inputs, [path], name=path, domain=domain, **attributes)
        )
        return path

    def model(self, output_shape: tuple[int, ...]) -> ModelProto:
        """Return the model, whose output OUTPUT is float rows of `output_shape`."""
        output = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N", *output_shape])
        graph = helper.make_graph(
            self.nodes, "preprocessing", self.inputs, [output], self.constants
        )
        return helper.make_model(
            graph,
            opset_imports=[
                helper.make_opsetid(domain, _OPSETS[domain]) for domain in sorted(self.domains)
            ],
            ir_version=IR_VERSION,
            producer_name="luthier",
        )

    def body(
        self,
        inputs: list[ValueInfoProto],
        outputs: list[ValueInfoProto],
        known: list[ValueInfoProto],
    ) -> GraphProto:
        """Return the nodes as the body of a loop; `known` are types that ONNX cannot infer."""
        return helper.make_graph(self.nodes, "row", inputs, outputs, value_info=known)


def prefixed(model: ModelProto, prefix: str) -> ModelProto:
    """Return a copy in which all names of values and nodes begin with `prefix`.

    Unlike `onnx.compose.add_prefix`, it includes what the body of a loop takes from the graph
    around it.
    """
    copy = ModelProto()
    copy.CopyFrom(model)
    _add_prefix(copy.graph, prefix)
    return copy


def _add_prefix(graph: GraphProto, prefix: str) -> None:
    named: list[Any] = [*graph.input, *graph.output, *graph.value_info, *graph.initializer]
    for tensor in graph.sparse_initializer:
        named += [tensor.values, tensor.indices]
    for value in named:
        value.name = prefix + value.name
    for annotation in graph.quantization_annotation:
        annotation.tensor_name = prefix + annotation.tensor_name
    for node in graph.node:
        node.name = node.name and prefix + node.name  # "": none
        for names in (node.input, node.output):
            names[:] = [name and prefix + name for name in names]
        for attribute in node.attribute:
            for body in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
                _add_prefix(body, prefix)
