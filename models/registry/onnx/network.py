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
from onnx import TensorProto, helper, numpy_helper

from models.data.encoding.onnx_builder import IR_VERSION, ML_OPSET, OPSET, prefixed
from models.networks import members
from models.networks.averaging import Averaged, members_of

Array = np.ndarray[Any, Any]


def network_graph(network: keras.Model) -> onnx.ModelProto:
    """Convert `network` alone: its inputs, one output, any number of rows.

    Dense networks are written from their weights. For others, such as convolutional ones, Keras
    traces the network and tf2onnx converts the trace, which takes a hundred times as long. An
    average of networks becomes the average of their graphs.
    """
    averaged = members_of(network)
    if len(averaged) > 1:
        return _average(network, averaged)
    model = _write_layers(network) if _is_chain(network) else None
    return _export(network) if model is None else model


def _average(network: keras.Model, members: Sequence[Averaged]) -> onnx.ModelProto:
    """Join the graphs of all members, whose outputs are averaged."""
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []
    terms = []
    for number, member in enumerate(members, 1):
        prefix = f"member_{number}/"
        graph = prefixed(network_graph(member.network), prefix).graph
        source, target = graph.input[0].name, graph.output[0].name
        features = network.inputs[member.place].name
        factor = numpy_helper.from_array(np.array(member.weight, np.float32), f"{prefix}factor")
        nodes += [
            helper.make_node("Identity", [features], [source]),
            *graph.node,
            helper.make_node("Mul", [target, factor.name], [f"{prefix}term"]),
        ]
        constants += [*graph.initializer, factor]
        terms.append(f"{prefix}term")
    nodes.append(helper.make_node("Sum", terms, ["mean"]))
    inputs = [_value(tensor.name, tensor.shape) for tensor in network.inputs]
    output = _value("mean", network.output_shape)
    graph = helper.make_graph(nodes, "network", inputs, [output], constants)
    return helper.make_model(graph, opset_imports=_opsets(), ir_version=IR_VERSION)


def _value(name: str, shape: Sequence[int | None]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape[1:]])


class _Chain:
    """A graph in which each node takes the output of the one before."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.end = "features"  # the name of the last output
        self.by_member = False  # whether it is (members, rows, …), where Keras has rows first

    def add(self, operator: str, *others: str, **attributes: Any) -> str:
        """Append an operator on the last output and on `others`; return its output's name."""
        name = f"layers/{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, [self.end, *others], [name], **attributes))
        self.end = name
        return name

    def constant(self, values: Any, kind: type[np.generic] = np.float32) -> str:
        """Add an array, in float32 unless another type is given; return its name."""
        name = f"weights/{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, kind), name))
        return name


def _is_chain(network: keras.Model) -> bool:
    """Return whether each layer's input is the output of the one before."""
    layers = network.layers
    if network.input_shape is None or not isinstance(layers[0], keras.layers.InputLayer):
        return False
    return _ends(layers[-1])[1] is network.outputs[0] and all(
        _ends(layer)[0] is _ends(before)[1] for before, layer in pairwise(layers)
    )


def _ends(layer: keras.layers.Layer) -> tuple[Any, Any]:
    """Return input and output of a layer, where it is used; a network has others of its own."""
    if isinstance(layer, keras.Model):
        node = layer._inbound_nodes[-1]
        return node.input_tensors[0], node.outputs[0]
    return layer.input, layer.output


def _write_layers(network: keras.Model) -> onnx.ModelProto | None:
    """Return the graph of known layers; None if there is another."""
    chain = _Chain()
    for layer in network.layers:
        write = _LAYERS.get(type(layer).__name__)
        if write is None or not write(chain, layer):
            return None
    shapes = {chain.end: network.output_shape, "features": network.input_shape}
    output, features = (_value(name, shape) for name, shape in shapes.items())
    graph = helper.make_graph(chain.nodes, "network", [features], [output], chain.constants)
    return helper.make_model(graph, opset_imports=_opsets(), ir_version=IR_VERSION)


def _dense(chain: _Chain, layer: keras.layers.Dense) -> bool:
    weights = layer.get_weights()
    if len(layer.input.shape) == 2:
        chain.add("Gemm", *(chain.constant(array) for array in weights))
        return _activation(chain, layer)
    # On the last axis, whatever the others are.
    for operator, array in zip(("MatMul", "Add"), weights, strict=False):
        chain.add(operator, chain.constant(array))
    return _activation(chain, layer)


def _einsum(chain: _Chain, layer: keras.layers.EinsumDense) -> bool:
    weights = layer.get_weights()
    match layer.equation:
        case members.ADAPTERS:
            # The members go first, so that each output layer is one product.
            chain.add("Mul", chain.constant(weights[0][:, None]))
            chain.by_member = True
        case members.SCALES:
            chain.add("Mul", chain.constant(weights[0]))
        case members.HEADS if chain.by_member:
            chain.add("MatMul", chain.constant(weights[0]))
            chain.add("Add", chain.constant(weights[1][:, None]))
        case equation if not chain.by_member:
            kernel, *bias = (chain.constant(array) for array in weights)
            chain.add("Einsum", kernel, equation=equation)
            for name in bias:
                chain.add("Add", name)
        case _:
            return False
    return _activation(chain, layer)


def _mean(chain: _Chain, layer: keras.layers.GlobalAveragePooling1D) -> bool:
    if not chain.by_member:
        return False
    chain.add("ReduceMean", chain.constant([0], np.int64), keepdims=0)
    chain.by_member = False
    return True


def _normalization(chain: _Chain, layer: keras.layers.BatchNormalization) -> bool:
    # In the order of ONNX: scale, offset, mean, variance.
    weights = layer.get_weights()
    if layer.axis not in (-1, len(layer.input.shape) - 1) or len(weights) != 4:
        return False
    if len(layer.input.shape) != 2:
        gamma, beta, mean, variance = (array.astype(np.float64) for array in weights)
        scale = gamma / np.sqrt(variance + layer.epsilon)
        chain.add("Mul", chain.constant(scale))
        chain.add("Add", chain.constant(beta - mean * scale))
        return True
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


def _stage(chain: _Chain, stage: keras.Model) -> bool:
    """Write the trained encodings that `models.networks.embeddings.stage_network` builds.

    Its operations are no chain: a row is split into parts, whose outputs are concatenated.
    """
    names = {id(stage.inputs[0]): chain.end}
    for operation in stage.operations:
        node, kind = operation._inbound_nodes[0], type(operation).__name__
        inputs = [names[id(tensor)] for tensor in node.input_tensors]
        chain.end = inputs[0] if inputs else chain.end
        if kind == "Split":
            names |= zip(map(id, node.outputs), _pieces(chain, node.outputs), strict=True)
            continue
        if kind == "Concatenate":
            chain.add("Concat", *inputs[1:], axis=operation.axis)
        elif kind not in _LAYERS or not _LAYERS[kind](chain, operation):
            return False
        names[id(node.outputs[0])] = chain.end
    chain.end = names[id(stage.outputs[0])]
    return True


def _pieces(chain: _Chain, pieces: Sequence[Any]) -> list[str]:
    """Write a division of the last output, (rows, features), side by side."""
    whole, start, names = chain.end, 0, []
    axis = chain.constant([1], np.int64)
    for piece in pieces:
        end = start + piece.shape[1]
        limits = [chain.constant([limit], np.int64) for limit in (start, end)]
        chain.end, start = whole, end
        names.append(chain.add("Slice", *limits, axis))
    return names


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
    "EinsumDense": _einsum,
    "GlobalAveragePooling1D": _mean,
    "BatchNormalization": _normalization,
    "Activation": _activation,
    "Dropout": _nothing,
    "Rescaling": _rescaling,
    "Sin": lambda chain, layer: bool(chain.add("Sin")),
    "Cos": lambda chain, layer: bool(chain.add("Cos")),
    "Functional": _stage,
}
_ACTIVATIONS: Mapping[str, Callable[[_Chain], object]] = {
    "linear": lambda chain: None,
    "relu": lambda chain: chain.add("Relu"),
    "selu": lambda chain: chain.add("Selu"),
    "elu": lambda chain: chain.add("Elu"),
    "gelu": _gelu,
    "mish": lambda chain: chain.add("Mish"),
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
