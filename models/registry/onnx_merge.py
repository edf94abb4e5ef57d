"""One ONNX graph from raw columns to the answer: preprocessing, network and decoding."""

import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from models.data.onnx_graph import IR_VERSION, ML_OPSET, OPSET, OUTPUT, preprocessing_graph
from models.data.preprocessing import Preprocessor, TargetEncoder
from models.data.tasks import Task

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


def network_graph(network: keras.Model) -> onnx.ModelProto:
    """`network` alone, as keras.Model.export writes it through tf2onnx, at our opsets."""
    network(np.zeros((1, *network.input_shape[1:]), np.float32))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # Keras looks for the old np.object before it gives it to tf2onnx.
        warnings.filterwarnings("ignore", "In the future `np.object`", FutureWarning)
        path = Path(folder) / "network.onnx"
        # It also logs an error for every Erfc, which is replaced below.
        logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
        network.export(path, format="onnx", opset_version=OPSET, verbose=False)
        model = onnx.load(path)
    _replace_erfc(model.graph)
    # compose.merge_models refuses graphs that differ in these. The network uses no operator of
    # ai.onnx.ml, which tf2onnx lists at an older version.
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", OPSET))
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", ML_OPSET))
    model.ir_version = IR_VERSION
    return model


def _replace_erfc(graph: onnx.GraphProto) -> None:
    # TensorFlow computes gelu with erfc, which ONNX and tf2onnx 1.17 do not know: 1 - erf.
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type != "Erfc":
            nodes.append(node)
            continue
        inner = f"{node.output[0]}/erf"
        if not any(known.name == "one" for known in graph.initializer):
            graph.initializer.append(_scalar("one", 1.0, np.float32))
        nodes.append(helper.make_node("Erf", [node.input[0]], [inner]))
        nodes.append(helper.make_node("Sub", ["one", inner], [node.output[0]]))
    del graph.node[:]
    graph.node.extend(nodes)


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
