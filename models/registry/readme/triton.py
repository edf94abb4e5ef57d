"""The configuration of a version's graph for Triton Inference Server."""

import json
from collections.abc import Iterable, Mapping

import onnx
from onnx import TensorProto

MAX_BATCH = 1024  # rows of a request, and of requests that are answered together

# The names of https://github.com/triton-inference-server/common, protobuf/model_config.proto.
_TYPES: Mapping[int, str] = {
    TensorProto.FLOAT: "TYPE_FP32",
    TensorProto.DOUBLE: "TYPE_FP64",
    TensorProto.STRING: "TYPE_STRING",
    TensorProto.INT64: "TYPE_INT64",
}


def triton_config(graph: onnx.ModelProto, model: str) -> str:
    """Return the content of config.pbtxt, in the text format of protocol buffers.

    The first dimension of every tensor is the batch. Triton knows no tensor without another, so
    that inputs of (rows,) are (rows, 1) for its clients, and reshaped.
    """
    return "\n".join(
        [
            f"name: {_text(model)}",
            'backend: "onnxruntime"',
            f"max_batch_size: {MAX_BATCH}",
            *_tensors("input", graph.graph.input),
            *_tensors("output", graph.graph.output),
            "dynamic_batching { }",
        ]
    )


def _tensors(field: str, values: Iterable[onnx.ValueInfoProto]) -> Iterable[str]:
    for value in values:
        tensor = value.type.tensor_type
        sides = [side.dim_value for side in tensor.shape.dim[1:]]
        yield f"{field} {{"
        yield f"  name: {_text(value.name)}"
        yield f"  data_type: {_TYPES[tensor.elem_type]}"
        yield f"  dims: [ {', '.join(map(str, sides or [1]))} ]"
        if not sides:
            yield "  reshape { shape: [ ] }"
        yield "}"


def _text(value: str) -> str:
    """Return a quoted text; outside ASCII its bytes in octal, which every parser reads."""
    quoted = json.dumps(value, ensure_ascii=False)
    return "".join(
        letter if " " <= letter <= "~" else "".join(f"\\{byte:03o}" for byte in letter.encode())
        for letter in quoted
    )
