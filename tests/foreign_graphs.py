"""ONNX graphs as other libraries write them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ML = "ai.onnx.ml"


def graph_of(
    nodes: Sequence[Any],
    inputs: Mapping[str, tuple[int, Any]],
    outputs: Mapping[str, tuple[int, Any]],
    constants: dict[str, Any] | None = None,
    opset: int = 18,
    domains: Mapping[str, int] | None = None,
) -> bytes:
    """The bytes of a graph; inputs and outputs by name, each a type and sides."""
    made = helper.make_graph(
        list(nodes),
        "foreign",
        _values(inputs),
        _values(outputs),
        [numpy_helper.from_array(np.asarray(v), name) for name, v in (constants or {}).items()],
    )
    opsets = {"": opset, ML: 3, **(domains or {})}
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    model = helper.make_model(made, opset_imports=imports, ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def _values(named: Mapping[str, tuple[int, Any]]) -> list[Any]:
    return [helper.make_tensor_value_info(name, *each) for name, each in named.items()]


def linear(width: int | None = 3, element: int = TensorProto.FLOAT, opset: int = 18) -> bytes:
    """`1·x1 + 2·x2 + …` of one matrix, as converters of scikit-learn write a regression."""
    factors = np.arange(1, (width or 3) + 1, dtype=np.float32)[:, None]
    nodes = [
        helper.make_node("Cast", ["X"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["numbers", "factors"], ["variable"]),
    ]
    sides = [None, width]
    outputs = {"variable": (TensorProto.FLOAT, [None, 1])}
    return graph_of(nodes, {"X": (element, sides)}, outputs, {"factors": factors}, opset)


def named_columns(rank: int = 2) -> bytes:
    """`2·area + count`, and 100 more where `garden` is and in Graz."""
    sides = [None, 1][:rank]
    nodes = [
        helper.make_node("Cast", ["count"], ["whole"], to=TensorProto.DOUBLE),
        helper.make_node("Add", ["area", "area"], ["twice"]),
        helper.make_node("Add", ["twice", "whole"], ["sum"]),
        helper.make_node(
            "LabelEncoder",
            ["town"],
            ["bonus"],
            domain=ML,
            keys_strings=["Graz"],
            values_floats=[100.0],
            default_float=0.0,
        ),
        helper.make_node("Cast", ["bonus"], ["bonus64"], to=TensorProto.DOUBLE),
        helper.make_node("Where", ["garden", "bonus64", "zero"], ["extra"]),
        helper.make_node("Add", ["sum", "extra"], ["price"]),
    ]
    types = (TensorProto.DOUBLE, TensorProto.INT64, TensorProto.BOOL, TensorProto.STRING)
    names = ("area", "count", "garden", "town")
    inputs = {name: (kind, sides) for name, kind in zip(names, types, strict=True)}
    outputs = {"price": (TensorProto.DOUBLE, sides)}
    return graph_of(nodes, inputs, outputs, {"zero": np.array(0.0)})


def classifier(labels: Sequence[Any] = ("cat", "dog"), zipmap: bool = True) -> bytes:
    """Labels and probabilities of two features, as skl2onnx writes a logistic regression."""
    is_text = isinstance(labels[0], str)
    named: dict[str, Any] = {"classlabels_strings" if is_text else "classlabels_ints": list(labels)}
    nodes = [
        helper.make_node(
            "LinearClassifier",
            ["X"],
            ["label", "scores"],
            domain=ML,
            coefficients=[float(n) / 4 for n in range(2 * len(labels))],
            intercepts=[0.0] * len(labels),
            post_transform="SOFTMAX",
            **named,
        ),
        helper.make_node("Identity", ["scores"], ["probabilities"]),
    ]
    kind = TensorProto.STRING if is_text else TensorProto.INT64
    outputs: dict[str, Any] = {"label": (kind, [None])}
    if not zipmap:
        outputs["probabilities"] = (TensorProto.FLOAT, [None, len(labels)])
        return graph_of(nodes, {"X": (TensorProto.FLOAT, [None, 2])}, outputs)
    zipped_by: dict[str, Any] = {
        "classlabels_strings" if is_text else "classlabels_int64s": list(labels)
    }
    nodes.append(
        helper.make_node(
            "ZipMap", ["probabilities"], ["output_probability"], domain=ML, **zipped_by
        )
    )
    content = graph_of(nodes, {"X": (TensorProto.FLOAT, [None, 2])}, outputs)
    model = onnx.load_model_from_string(content)
    each = helper.make_map_type_proto(kind, helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    sequence = helper.make_sequence_type_proto(each)
    model.graph.output.append(helper.make_value_info("output_probability", sequence))
    zipped: bytes = model.SerializeToString()
    return zipped


def ending(operator: str, width: int = 2, **attributes: Any) -> bytes:
    """A network of two features that ends with an operator."""
    weights = np.array([[0.5, -1.0, 2.0], [1.5, 0.5, -1.0]], np.float32)[:, :width]
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["raw"]),
        helper.make_node(operator, ["raw"], ["y"], **attributes),
    ]
    return graph_of(
        nodes,
        {"x": (TensorProto.FLOAT, [None, 2])},
        {"y": (TensorProto.FLOAT, [None, width])},
        {"w": weights},
    )


def with_external_data() -> bytes:
    """A graph one of whose tensors is said to lie in another file."""
    model = onnx.load_model_from_string(linear())
    (tensor,) = model.graph.initializer
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    content: bytes = model.SerializeToString()
    return content


def with_custom_operator() -> bytes:
    """A graph with an operator that only its maker has."""
    node = helper.make_node("Magic", ["x"], ["y"], domain="com.acme")
    sides = (TensorProto.FLOAT, [None, 1])
    return graph_of([node], {"x": sides}, {"y": sides}, domains={"com.acme": 1})


def endless() -> bytes:
    """A graph that counts for longer than anybody waits."""
    body = helper.make_graph(
        [
            helper.make_node("Add", ["state", "state"], ["next"]),
            helper.make_node("Identity", ["go"], ["go_on"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("n", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    nodes = [
        helper.make_node("Loop", ["most", "always", "x"], ["y"], body=body),
    ]
    sides = (TensorProto.FLOAT, [None, 1])
    constants = {"most": np.int64(2**60), "always": np.array(True)}
    return graph_of(nodes, {"x": sides}, {"y": sides}, constants)


def huge() -> bytes:
    """A small file that asks for 400 GB."""
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["nothing"], keepdims=0),
        helper.make_node("Add", ["x", "nothing"], ["y"]),
    ]
    sides = (TensorProto.FLOAT, [None, 1])
    return graph_of(nodes, {"x": sides}, {"y": sides}, {"size": np.array([10**11], np.int64)})
