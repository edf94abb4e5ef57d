"""The Open Inference Protocol (V2) over REST, with its extension for binary data.

Sources: `specification/protocol/inference_rest.md` of the protocol, and "Binary Tensor Data
Extension" of Triton's documentation. A version in a path is a number or an alias.
"""

from collections.abc import Callable, Mapping
from typing import Any

import marshmallow as ma
from flask import Response, json, jsonify, request
from flask.typing import ResponseReturnValue

from api.dialects.tensors import (
    EXTENSIONS,
    PLATFORM,
    Tensor,
    check_shape,
    described_inputs,
    described_outputs,
    from_elements,
    from_raw,
    outputs_of,
    read_parameters,
    rows_of,
    version_named,
)
from api.errors import problem
from api.hooks.limits import current_body
from api.monitoring import OK
from api.parsing import Blueprint, parse_json
from api.predictions import answer
from api.services import services
from models import __version__
from models.errors import Invalid, Malformed
from models.fields import described

blueprint = Blueprint(
    "open_inference",
    __name__,
    url_prefix="/v2",
    description="The Open Inference Protocol, V2; see docs/protocols.md",
)

HEADER_LENGTH = "Inference-Header-Content-Length"
_MAX_DIGITS = 18  # of it

_PLACES = {"": "/models/<model>", "_version": "/models/<model>/versions/<version>"}
_FIELDS = frozenset({"id", "parameters", "inputs", "outputs"})
_INPUT_FIELDS = frozenset({"name", "shape", "datatype", "parameters", "data"})
# MLServer's clients say with `content_type` how an input is to be decoded; its column says it here.
_INPUT_PARAMETERS = frozenset({"binary_data_size", "content_type"})
_BINARY = "application/octet-stream"


class ServerSchema(ma.Schema):
    """The server and its extensions of the protocol."""

    name = ma.fields.String()
    version = ma.fields.String()
    extensions = ma.fields.List(ma.fields.String())


class LiveSchema(ma.Schema):
    """An answer of the server means that it is live."""

    live = ma.fields.Boolean()


class ServerReadySchema(ma.Schema):
    """Whether requests can be served."""

    ready = ma.fields.Boolean()


class ModelReadySchema(ma.Schema):
    """Whether a version is loaded."""

    name = ma.fields.String()
    ready = ma.fields.Boolean()


class TensorMetadataSchema(ma.Schema):
    """An input or output."""

    name = ma.fields.String()
    datatype = ma.fields.String(metadata=described("`FP64`, `BOOL`, `BYTES` …"))
    shape = ma.fields.List(ma.fields.Integer(), metadata=described("-1: the number of rows."))


class InferenceMetadataSchema(ma.Schema):
    """A model's versions, and the inputs and outputs of one."""

    name = ma.fields.String()
    versions = ma.fields.List(ma.fields.String(), metadata=described("Newest first."))
    platform = ma.fields.String()
    inputs = ma.fields.List(ma.fields.Nested(TensorMetadataSchema))
    outputs = ma.fields.List(ma.fields.Nested(TensorMetadataSchema))


class InferInputSchema(TensorMetadataSchema):
    """The cells of one column, or of all columns in their order."""

    data = ma.fields.List(ma.fields.Raw(), metadata=described("Flat or nested, row by row."))
    parameters = ma.fields.Dict(metadata=described("`binary_data_size`: bytes after the JSON."))


class InferOutputSchema(ma.Schema):
    """A requested output."""

    name = ma.fields.String(required=True)
    parameters = ma.fields.Dict(metadata=described("`binary_data`: send it after the JSON."))


class InferRequestSchema(ma.Schema):
    """Rows to predict."""

    id = ma.fields.String(metadata=described("Comes back in the answer."))
    parameters = ma.fields.Dict(
        metadata=described(
            "`binary_data_output`: send all outputs after the JSON; `interval`, `threshold`,"
            " `unknown_columns` and `missing_columns` as in `/predict`."
        )
    )
    inputs = ma.fields.List(ma.fields.Nested(InferInputSchema), required=True)
    outputs = ma.fields.List(
        ma.fields.Nested(InferOutputSchema), metadata=described("Default: all.")
    )


class InferResponseSchema(ma.Schema):
    """The answer of a version."""

    model_name = ma.fields.String()
    model_version = ma.fields.String()
    id = ma.fields.String()
    outputs = ma.fields.List(ma.fields.Nested(InferInputSchema))


@blueprint.route("", methods=["GET"])
@blueprint.response(200, ServerSchema)
def server() -> dict[str, Any]:
    """Show the name and the extensions of the server."""
    return {"name": "luthier", "version": __version__, "extensions": list(EXTENSIONS)}


@blueprint.route("/health/live", methods=["GET"])
@blueprint.response(200, LiveSchema)
def live() -> dict[str, Any]:
    """Report that the process answers."""
    return {"live": True}


@blueprint.route("/health/ready", methods=["GET"])
@blueprint.response(200, ServerReadySchema)
@blueprint.alt_response(503, description="Something is missing")
def ready() -> ResponseReturnValue:
    """Report whether requests can be served, as `/readyz` does."""
    missing = [found for found in services().readiness.checks().values() if found != OK]
    if missing:
        return problem(503, " ".join(missing))
    return {"ready": True}


@blueprint.response(200, InferenceMetadataSchema)
def metadata(model: str, version: str | None = None) -> dict[str, Any]:
    """Show a model's versions, inputs and outputs."""
    catalog = services().models
    number = catalog.resolve(model, **version_named(version))
    signature = services().predictions.load(model, number).signature
    return {
        "name": model,
        "versions": list(map(str, catalog.numbers(model))),
        "platform": PLATFORM,
        "inputs": described_inputs(signature),
        "outputs": described_outputs(signature),
    }


@blueprint.response(200, ModelReadySchema)
def model_ready(model: str, version: str | None = None) -> dict[str, Any]:
    """Load a version, and report that it can be asked."""
    number = services().models.resolve(model, **version_named(version))
    services().predictions.load(model, number)
    return {"name": model, "ready": True}


@blueprint.alt_response(200, schema=InferResponseSchema, description="Outputs")
@blueprint.doc(
    requestBody={
        "required": True,
        "content": {
            "application/json": {"schema": InferRequestSchema},
            _BINARY: {"schema": {"type": "string", "format": "binary"}},
        },
    },
    responses={200: {"content": {_BINARY: {"schema": {"type": "string", "format": "binary"}}}}},
    parameters=[
        {
            "in": "header",
            "name": HEADER_LENGTH,
            "description": "Bytes of the JSON at the start of a body with binary data.",
            "schema": {"type": "integer", "minimum": 1},
        }
    ],
)
def infer(model: str, version: str | None = None) -> Response:
    """Predict rows that come as a tensor for each column."""
    if request.args:
        raise Invalid({name: ["Give it in `parameters`."] for name in request.args})
    document, binary = _read_body()
    parameters = dict(_members(document, "parameters", dict) or {})
    is_binary = _flag(parameters.pop("binary_data_output", None), "binary_data_output")
    tensors = _read_inputs(document, binary)
    wanted_outputs = _members(document, "outputs", list) or None
    requested = None if wanted_outputs is None else list(map(_requested, wanted_outputs))
    wanted = read_parameters(parameters) | {"model": model} | version_named(version)
    found = answer(services(), lambda signature: rows_of(tensors, signature), wanted)
    outputs = outputs_of(found, None if requested is None else [name for name, _ in requested])
    flags = [None] * len(outputs) if requested is None else [flag for _, flag in requested]
    head = {"model_name": model, "model_version": str(found.version)}
    if document.get("id") is not None:
        head["id"] = document["id"]
    return _response(head, outputs, [bool(is_binary if flag is None else flag) for flag in flags])


def _read_body() -> tuple[dict[str, Any], memoryview]:
    """Return the JSON of the present request and the bytes that follow it."""
    body = current_body()
    length = len(body)
    text = request.headers.get(HEADER_LENGTH)
    if text is not None:
        is_number = text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS
        if not is_number or int(text) > length:
            raise Malformed(f"{HEADER_LENGTH} is not a number of bytes of the body.")
        length = int(text)
    document = parse_json(body[:length], nan_is_null=True)
    if not isinstance(document, dict):
        raise Malformed("The body is not a JSON object.")
    _refuse_unknown(document, _FIELDS, "")
    if not isinstance(document.get("id"), str | None):
        raise Invalid.at("id", "Must be a text.")
    return document, memoryview(body)[length:]


def _read_inputs(document: dict[str, Any], binary: memoryview) -> list[Tensor]:
    tensors, place = [], 0
    for number, entry in enumerate(_members(document, "inputs", list) or []):
        where = f"inputs.{number}"
        texts = [entry.get(key) for key in ("name", "datatype")] if isinstance(entry, dict) else []
        if not texts or not all(isinstance(text, str) for text in texts):
            raise Invalid.at(where, "Expected an object with name, shape, datatype and data.")
        _refuse_unknown(entry, _INPUT_FIELDS, where)
        parameters = _members(entry, "parameters", dict) or {}
        _refuse_unknown(parameters, _INPUT_PARAMETERS, f"{where}.parameters")
        name, datatype = entry["name"], entry["datatype"]
        shape, size = check_shape(name, entry.get("shape")), parameters.get("binary_data_size")
        if size is None:
            tensors.append(from_elements(name, datatype, shape, entry.get("data")))
            continue
        if type(size) is not int or not 0 <= size <= len(binary) - place or "data" in entry:
            raise Invalid.at(f"{where}.parameters.binary_data_size", "Does not fit the body.")
        tensors.append(from_raw(name, datatype, shape, bytes(binary[place : place + size])))
        place += size
    if place != len(binary):
        raise Invalid.at("inputs", f"{len(binary) - place:,} bytes of the body belong to no input.")
    return tensors


def _requested(entry: Any) -> tuple[str, bool | None]:
    """Return the name of a requested output, and whether it is to be binary, if that is said."""
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise Invalid.at("outputs", "Expected objects with a name.")
    parameters = _members(entry, "parameters", dict) or {}
    _refuse_unknown(parameters, frozenset({"binary_data"}), "outputs.parameters")
    return entry["name"], _flag(parameters.get("binary_data"), "binary_data")


def _flag(value: Any, name: str) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise Invalid.at(f"parameters.{name}", "Must be true or false.")
    return value


def _response(head: dict[str, Any], outputs: list[Tensor], flags: list[bool]) -> Response:
    buffers: list[bytes] = []
    entries: list[dict[str, Any]] = []
    for tensor, is_binary in zip(outputs, flags, strict=True):
        shape = list(tensor.array.shape)
        entry: dict[str, Any] = {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": shape,
        }
        if is_binary:
            buffers.append(tensor.raw())
            entry["parameters"] = {"binary_data_size": len(buffers[-1])}
        else:
            entry["data"] = tensor.array.ravel().tolist()
        entries.append(entry)
    if not buffers:
        return jsonify(head | {"outputs": entries})
    text = json.dumps(head | {"outputs": entries}).encode()
    response = Response(b"".join([text, *buffers]), mimetype=_BINARY)
    response.headers[HEADER_LENGTH] = str(len(text))
    return response


def _members(document: Mapping[str, Any], name: str, kind: type) -> Any:
    found = document.get(name)
    if found is not None and not isinstance(found, kind):
        what = "an object" if kind is dict else "a list"
        raise Invalid.at(name, f"Expected {what}.")
    return found


def _refuse_unknown(document: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    unknown = sorted(document.keys() - known)
    if unknown:
        raise Invalid.at(f"{where}.{unknown[0]}".lstrip("."), "Is not known here.")


def _register(view: Callable[..., Any], end: str, method: str) -> None:
    """Serve a view for the champion and for a version."""
    for suffix, place in _PLACES.items():
        endpoint = f"{view.__name__}{suffix}"
        blueprint.route(f"{place}{end}", methods=[method], endpoint=endpoint)(view)


_register(metadata, "", "GET")
_register(model_ready, "/ready", "GET")
_register(infer, "/infer", "POST")
