"""Write a Keras network as an ONNX graph: layer by layer if all are known, else by its export."""

import logging
import math
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from models.data.encoding.onnx_builder import IR_VERSION, ML_OPSET, OPSET
from models.networks.averaging import members_of

Array = np.ndarray[Any, Any]


def network_graph(network: keras.Model) -> onnx.ModelProto:
    """Convert `network` alone: one input, one output, any number of rows.

    Dense networks are written from their weights. For others, such as convolutional ones, Keras
    traces the network and tf2onnx converts the trace, which takes a hundred times as long. An
    average of networks becomes the average of their graphs.
    """
    members = members_of(network)
    if len(members) > 1:
        return _mean([(network_graph(member), weight) for member, weight in members])
    model = _write_layers(network) if _is_chain(network) else None
    return _export(network) if model is None else model


def _mean(members: Sequence[tuple[onnx.ModelProto, float]]) -> onnx.ModelProto:
    """Join graphs of one input each: all take the same features, and the outputs are averaged."""
    first = members[0][0].graph
    features, output = (
        helper.make_tensor_value_info(
            name, TensorProto.FLOAT, ["N", *(part.dim_value for part in shape.dim[1:])]
        )
        for name, shape in (
            ("features", first.input[0].type.tensor_type.shape),
            ("mean", first.output[0].type.tensor_type.shape),
        )
    )
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []
    terms = []
    for number, (model, weight) in enumerate(members, 1):
        prefix = f"member_{number}/"
        graph = compose.add_prefix(model, prefix).graph
        source, target = graph.input[0].name, graph.output[0].name
        for node in graph.node:
            for place, name in enumerate(node.input):
                if name == source:
                    node.input[place] = "features"
        factor = numpy_helper.from_array(np.array(weight, np.float32), f"{prefix}factor")
        nodes += [*graph.node, helper.make_node("Mul", [target, factor.name], [f"{prefix}term"])]
        constants += [*graph.initializer, factor]
        terms.append(f"{prefix}term")
    nodes.append(helper.make_node("Sum", terms, ["mean"]))
    joined = helper.make_graph(nodes, "network", [features], [output], constants)
    return helper.make_model(joined, opset_imports=_opsets(), ir_version=IR_VERSION)


class _Chain:
    """A graph in which each node takes the output of the one before."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.end = "features"  # the name of the last output

    def add(self, operator: str, *others: str, **attributes: Any) -> str:
        """Append an operator on the last output and on `others`; return its output's name."""
        name = f"layers/{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, [self.end, *others], [name], **attributes))
        self.end = name
        return name

    def constant(self, values: Any) -> str:
        """Add an array in float32; return its name."""
        name = f"weights/{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, np.float32), name))
        return name


def _is_chain(network: keras.Model) -> bool:
    """Return whether each layer's input is the output of the one before."""
    layers = network.layers
    if network.input_shape is None or not isinstance(layers[0], keras.layers.InputLayer):
        return False
    return layers[-1].output is network.outputs[0] and all(
        layer.input is before.output for before, layer in pairwise(layers)
    )


def _write_layers(network: keras.Model) -> onnx.ModelProto | None:
    """Return the graph of known layers; None if there is another."""
    chain = _Chain()
    for layer in network.layers:
        write = _LAYERS.get(type(layer).__name__)
        if write is None or not write(chain, layer):
            return None
    shapes = {chain.end: network.output_shape, "features": network.input_shape}
    output, features = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape[1:]])
        for name, shape in shapes.items()
    )
    graph = helper.make_graph(chain.nodes, "network", [features], [output], chain.constants)
    return helper.make_model(graph, opset_imports=_opsets(), ir_version=IR_VERSION)


def _dense(chain: _Chain, layer: keras.layers.Dense) -> bool:
    if len(layer.input.shape) != 2:
        return False
    names = [chain.constant(weights) for weights in layer.get_weights()]
    chain.add("Gemm", *names)
    return _activation(chain, layer)


def _normalization(chain: _Chain, layer: keras.layers.BatchNormalization) -> bool:
    # In the order of ONNX: scale, offset, mean, variance.
    weights = layer.get_weights()
    if len(layer.input.shape) != 2 or len(weights) != 4:
        return False
    names = [chain.constant(array) for array in weights]
    chain.add("BatchNormalization", *names, epsilon=layer.epsilon)
    return True


def _activation(chain: _Chain, layer: keras.layers.Layer) -> bool:
    write = _ACTIVATIONS.get(keras.activations.serialize(layer.activation))
    if write is None:
        return False
    write(chain)
    return True


def _flatten(chain: _Chain, layer: keras.layers.Flatten) -> bool:
    chain.add("Flatten", axis=1)
    return bool(layer.data_format == "channels_last")


def _rescaling(chain: _Chain, layer: keras.layers.Rescaling) -> bool:
    chain.add("Mul", chain.constant(layer.scale))
    chain.add("Add", chain.constant(layer.offset))
    return True


def _nothing(chain: _Chain, layer: keras.layers.Layer) -> bool:
    return True


def _silu(chain: _Chain) -> None:
    before = chain.end
    chain.add("Sigmoid")
    chain.add("Mul", before)


def _gelu(chain: _Chain) -> None:
    before = chain.end
    chain.add("Mul", chain.constant(math.sqrt(0.5)))
    chain.add("Erf")
    chain.add("Add", chain.constant(1.0))
    chain.add("Mul", before)
    chain.add("Mul", chain.constant(0.5))


_LAYERS: Mapping[str, Callable[[_Chain, Any], bool]] = {
    "InputLayer": _nothing,
    "Flatten": _flatten,
    "Dense": _dense,
    "BatchNormalization": _normalization,
    "Activation": _activation,
    "Dropout": _nothing,
    "Rescaling": _rescaling,
}
_ACTIVATIONS: Mapping[str, Callable[[_Chain], object]] = {
    "linear": lambda chain: None,
    "relu": lambda chain: chain.add("Relu"),
    "selu": lambda chain: chain.add("Selu"),
    "elu": lambda chain: chain.add("Elu"),
    "gelu": _gelu,
    "silu": _silu,
    "tanh": lambda chain: chain.add("Tanh"),
    "sigmoid": lambda chain: chain.add("Sigmoid"),
    "softplus": lambda chain: chain.add("Softplus"),
    "leaky_relu": lambda chain: chain.add("LeakyRelu", alpha=0.2),
    "exponential": lambda chain: chain.add("Exp"),
    "softmax": lambda chain: chain.add("Softmax", axis=-1),
}


def _export(network: keras.Model) -> onnx.ModelProto:
    """Convert by keras.Model.export, which uses tf2onnx."""
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
    model.opset_import.extend(_opsets())
    model.ir_version = IR_VERSION
    return model


def _opsets() -> list[onnx.OperatorSetIdProto]:
    return [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]


def _replace_erfc(graph: onnx.GraphProto) -> None:
    # TensorFlow computes gelu with erfc, which ONNX and tf2onnx 1.17 do not know: 1 - erf.
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type != "Erfc":
            nodes.append(node)
            continue
        inner = f"{node.output[0]}/erf"
        if not any(known.name == "one" for known in graph.initializer):
            one = numpy_helper.from_array(np.array(1.0, np.float32), "one")
            graph.initializer.append(one)
        nodes.append(helper.make_node("Erf", [node.input[0]], [inner]))
        nodes.append(helper.make_node("Sub", ["one", inner], [node.output[0]]))
    del graph.node[:]
    graph.node.extend(nodes)
