"""Whether a graph of unknown origin is one that ONNX Runtime runs by itself, from its bytes."""

from collections.abc import Iterable, Iterator

import onnx
from onnx import TensorProto

from models.errors import Invalid

_DOMAINS = frozenset(("", "ai.onnx", "ai.onnx.ml", "com.microsoft"))
MIN_OPSET = 9  # the first with all operators of the nodes that are put around a graph


def read_graph(content: bytes) -> onnx.ModelProto:
    """Parse a graph; raise Invalid at `file` for one that is none or needs more than itself.

    Refused are operators of other domains than those of ONNX and ONNX Runtime, tensors that lie in
    other files, and opsets below MIN_OPSET.
    """
    if not content:
        raise Invalid.at("file", "It is empty.")
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:
        raise _no_graph(error) from None
    local = {function.domain for function in model.functions}
    graphs = [model.graph.node, *(function.node for function in model.functions)]
    nodes = [node for each in graphs for node in _nodes(each)]
    foreign = sorted({f"{n.domain}.{n.op_type}" for n in nodes if n.domain not in _DOMAINS | local})
    if foreign:
        raise Invalid.at(
            "file", f"It has operators that are not those of ONNX: {', '.join(foreign[:10])}."
        )
    tensors = [*_tensors(model.graph), *_attribute_tensors(nodes)]
    if any(tensor.data_location == TensorProto.EXTERNAL for tensor in tensors):
        raise Invalid.at("file", "Some of its tensors lie in other files; save it as one file.")
    opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 0)
    if opset < MIN_OPSET:
        raise Invalid.at("file", f"Its opset is {opset}; {MIN_OPSET} is the lowest.")
    try:
        onnx.checker.check_model(model)
    except Exception as error:
        raise _no_graph(error) from None
    return model


def _nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Yield nodes and those of the graphs in their attributes."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from _nodes(graph.node)


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)


def _attribute_tensors(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            for graph in (attribute.g, *attribute.graphs):
                yield from _tensors(graph)


def _no_graph(error: Exception) -> Invalid:
    (first, *_) = str(error).strip().splitlines() or [type(error).__name__]
    return Invalid.at("file", f"It is not an ONNX graph: {first[:200]}")
