"""Tensors of the Open Inference Protocol, to rows of the engine and back from its answers.

Sources: the protocol's `inference_rest.md`, and the extension for binary data of Triton's
documentation. Both transports, REST and gRPC, use what is here.
"""

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import marshmallow as ma
import numpy as np

from api.arrays import arrays_of, rows_of_arrays
from api.schemas.predict import PredictParameters
from models.data.columns import ColumnType
from models.errors import Invalid
from models.fields import flatten
from models.serving.cells import Array
from models.serving.engine import Prediction, Rows
from models.serving.signature import Signature

PLATFORM = "onnx_onnxv1"  # Triton's name for what ONNX Runtime runs
EXTENSIONS = ("binary_tensor_data",)

BYTES = "BYTES"
_DTYPES = {
    "BOOL": "?",
    **{f"INT{8 * size}": f"<i{size}" for size in (1, 2, 4, 8)},
    **{f"UINT{8 * size}": f"<u{size}" for size in (1, 2, 4, 8)},
    **{f"FP{8 * size}": f"<f{size}" for size in (2, 4, 8)},
}
_NAMES = {"b": "BOOL", "i": "INT64", "f": "FP64", "U": BYTES}
_JSON_TYPES: Mapping[str, frozenset[type]] = {
    "b": frozenset({bool, type(None)}),
    "i": frozenset({int, type(None)}),
    "u": frozenset({int, type(None)}),
    "f": frozenset({int, float, type(None)}),
}
_TEXTS = frozenset({str, type(None)})
_PARAMETERS = PredictParameters()
_LENGTH = struct.Struct("<I")
_MAX_SIDES = 8  # of an image are four
_MAX_ELEMENTS = 2**31 - 1
_COLUMN_TYPES = {
    ColumnType.NUMBER: "FP64",
    ColumnType.BOOLEAN: "BOOL",
    ColumnType.IMAGE: "FP32",
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A named array; `array` has the shape of the tensor."""

    name: str
    array: Array

    @property
    def datatype(self) -> str:
        """The protocol's name of the type of an answer's elements."""
        return _NAMES[self.array.dtype.kind]

    def raw(self) -> bytes:
        """Return the elements as the binary extension has them."""
        if self.datatype != BYTES:
            return self.array.astype(_DTYPES[self.datatype]).tobytes()
        texts = [text.encode() for text in self.array.ravel().tolist()]
        return b"".join(chain.from_iterable((_LENGTH.pack(len(text)), text) for text in texts))


def check_shape(name: str, shape: Any) -> tuple[int, ...]:
    """Return the shape of an input as a tuple; raise Invalid for anything but sizes."""
    is_shape = isinstance(shape, list | tuple) and all(
        type(size) is int and size >= 0 for size in shape
    )
    if not is_shape or not shape:
        raise Invalid.at(f"inputs.{name}.shape", "Expected a list of sizes from 0 up.")
    if len(shape) > _MAX_SIDES or math.prod(max(1, size) for size in shape) > _MAX_ELEMENTS:
        raise Invalid.at(
            f"inputs.{name}.shape",
            f"Expected at most {_MAX_SIDES} sizes, of {_MAX_ELEMENTS:,} elements together.",
        )
    return tuple(shape)


def from_raw(name: str, datatype: str, shape: tuple[int, ...], content: bytes) -> Tensor:
    """Read a tensor from its bytes; raise Invalid at `inputs.<name>` if they do not fit."""
    if datatype == BYTES:
        return from_elements(name, datatype, shape, _texts(name, content))
    dtype = _dtype(name, datatype)
    if len(content) != math.prod(shape) * dtype.itemsize:
        raise Invalid.at(
            f"inputs.{name}",
            f"Has {len(content):,} bytes; {datatype} of the shape {list(shape)} needs"
            f" {math.prod(shape) * dtype.itemsize:,}.",
        )
    return Tensor(name, np.frombuffer(content, dtype).reshape(shape))


def from_elements(name: str, datatype: str, shape: tuple[int, ...], elements: Any) -> Tensor:
    """Read a tensor from JSON, nested or flat in row-major order; null is a missing value.

    Raises Invalid at `inputs.<name>`.
    """
    kind = _TEXTS if datatype == BYTES else _JSON_TYPES[_dtype(name, datatype).kind]
    flat = elements
    if not isinstance(flat, list):
        raise Invalid.at(f"inputs.{name}.data", "Expected a list.")
    for _ in shape[1:]:
        if not flat or not all(isinstance(part, list) for part in flat):
            break
        flat = list(chain.from_iterable(flat))
    if len(flat) != math.prod(shape):
        raise Invalid.at(
            f"inputs.{name}.data",
            f"Has {len(flat):,} elements; the shape {list(shape)} has {math.prod(shape):,}.",
        )
    if not kind.issuperset(map(type, flat)):
        raise Invalid.at(f"inputs.{name}.data", f"Holds an element that is not of {datatype}.")
    array = np.empty(len(flat), dtype=object)
    array[:] = flat
    return Tensor(name, array.reshape(shape))


def rows_of(tensors: Sequence[Tensor], signature: Signature) -> Rows:
    """Return the cells by column: a tensor a column, or one tensor (rows, columns) for all.

    Raises Invalid for a name that comes twice, and as `api.arrays.cells_of`.
    """
    named = {tensor.name: tensor.array for tensor in tensors}
    if len(named) != len(tensors):
        raise Invalid.at("inputs", "Two inputs have the same name.")
    if not named:
        raise Invalid.at("inputs", "Expected an input for each column.")
    return rows_of_arrays(named, signature)


def outputs_of(prediction: Prediction, requested: Iterable[str] | None) -> list[Tensor]:
    """Return the answer as tensors: those requested, or all.

    Raises Invalid at `outputs` for a name that there is not.
    """
    arrays = arrays_of(prediction)
    names = list(arrays) if requested is None else list(requested)
    for name in names:
        if name not in arrays:
            raise Invalid.at("outputs", f"There is no output {name!r}, only {', '.join(arrays)}.")
    return [Tensor(name, arrays[name]) for name in names]


def described_inputs(signature: Signature) -> list[dict[str, Any]]:
    """Return name, datatype and shape of the inputs; -1 is the number of rows."""
    return [
        _described(column.name, _COLUMN_TYPES.get(column.type, BYTES), -1, *(column.shape or (1,)))
        for column in signature.columns
    ]


def described_outputs(signature: Signature) -> list[dict[str, Any]]:
    """Return name, datatype and shape of the outputs."""
    if not signature.classes:
        return [_described("prediction", "FP64", -1)]
    labels = Tensor("classes", np.array(signature.classes)).datatype
    count = len(signature.classes)
    return [
        _described("prediction", labels, -1),
        _described("probabilities", "FP64", -1, count),
        _described("classes", labels, count),
    ]


def read_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a request that change its answer; raise Invalid for others."""
    try:
        loaded: dict[str, Any] = _PARAMETERS.load(parameters)
    except ma.ValidationError as error:
        raise Invalid(flatten(error.messages)).under("parameters") from None
    return loaded


def version_named(text: str | None) -> dict[str, Any]:
    """Return what a version of the protocol, which is a text, means: a number or an alias."""
    if not text:
        return {}
    is_number = text.isdecimal() and text.isascii() and len(text) < 10
    return {"version": int(text)} if is_number else {"alias": text}


def _described(name: str, datatype: str, *shape: int) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(shape)}


def _dtype(name: str, datatype: Any) -> "np.dtype[Any]":
    if datatype not in _DTYPES:
        raise Invalid.at(
            f"inputs.{name}.datatype", f"{datatype!r} is not one of {', '.join([*_DTYPES, BYTES])}."
        )
    return np.dtype(_DTYPES[datatype])


def _texts(name: str, content: bytes) -> list[str]:
    """Split elements of BYTES, each after its length of four bytes."""
    texts, place = [], 0
    try:
        while place < len(content):
            (length,) = _LENGTH.unpack_from(content, place)
            place += _LENGTH.size + length
            if place > len(content):
                raise ValueError
            texts.append(content[place - length : place].decode())
    except (ValueError, struct.error):
        raise Invalid.at(f"inputs.{name}", "Is not BYTES of texts in UTF-8.") from None
    return texts
