"""One ONNX graph from raw columns to the answer: preprocessing, network and decoding."""

from typing import Any

import keras
import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from models.data.preparation.onnx_graph import OUTPUT, preprocessing_graph
from models.data.preparation.preprocessing import Preprocessor, TargetEncoder
from models.data.preparation.tasks import Task
from models.registry.onnx_network import network_graph

_NETWORK = "network/"


def merge(preprocessor: Preprocessor, encoder: TargetEncoder, network: keras.Model) -> bytes:
    """The graph as a file: the inputs of `preprocessing_graph` in, one output out, any row count.

    The output is `prediction`, float64 (rows, 1) in the target's own units, for a regression, else
    `probabilities`, float32 (rows, classes) in the order of `encoder.classes`.
    """
    first = preprocessing_graph(preprocessor)
    second = network_graph(network)
    _decode(second.graph, encoder)
    merged = compose.merge_models(
        first,
        compose.add_prefix(second, _NETWORK),
        io_map=[(OUTPUT, _NETWORK + second.graph.input[0].name)],
        producer_name="luthier",
        producer_version="",
    )
    _name_output(merged, second.graph.output[0].name)
    for value in (*merged.graph.input, *merged.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "rows"
    onnx.checker.check_model(merged, full_check=True)
    content: bytes = merged.SerializeToString(deterministic=True)
    return content


def _decode(graph: onnx.GraphProto, encoder: TargetEncoder) -> None:
    """Put what makes the network's output the answer behind it."""
    raw = graph.output[0].name
    if encoder.task is Task.REGRESSION:
        # In double: a target such as 1.7e9 ± 10 has no float32 for its own units.
        graph.initializer.append(_scalar("target_mean", encoder.mean, np.float64))
        graph.initializer.append(_scalar("target_scale", encoder.scale, np.float64))
        nodes = [
            helper.make_node("Cast", [raw], ["wide"], to=TensorProto.DOUBLE),
            helper.make_node("Mul", ["wide", "target_scale"], ["scaled"]),
            helper.make_node("Add", ["scaled", "target_mean"], ["prediction"]),
        ]
        output = helper.make_tensor_value_info("prediction", TensorProto.DOUBLE, [None, 1])
    else:
        if encoder.task is Task.BINARY:
            graph.initializer.append(_scalar("whole", 1.0, np.float32))
            nodes = [
                helper.make_node("Sub", ["whole", raw], ["first_class"]),
                helper.make_node("Concat", ["first_class", raw], ["probabilities"], axis=1),
            ]
        else:
            nodes = [helper.make_node("Identity", [raw], ["probabilities"])]
        shape = [None, len(encoder.classes)]
        output = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, shape)
    graph.node.extend(nodes)
    del graph.output[:]
    graph.output.append(output)


def _scalar(name: str, value: float, kind: Any) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(value, dtype=kind), name)


def _name_output(model: onnx.ModelProto, name: str) -> None:
    """Take the prefix off the output, which the last node makes."""
    last = next(node for node in model.graph.node if _NETWORK + name in node.output)
    last.output[0] = model.graph.output[0].name = name
