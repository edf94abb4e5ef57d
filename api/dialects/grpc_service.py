"""The Open Inference Protocol (V2) over gRPC: the same answers and limits as over REST."""

import logging
import secrets
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import grpc
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from api.dialects.grpc_messages import MESSAGES, SERVICE, parameters_of
from api.dialects.tensors import (
    BYTES,
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
from api.monitoring import OK
from api.predictions import answer
from api.services import Services
from models import __version__, errors
from models.access.keys import Scope
from models.telemetry import about, add_about

log = logging.getLogger(__name__)

CODE_OF: dict[type[errors.LuthierError], grpc.StatusCode] = {
    errors.Invalid: grpc.StatusCode.INVALID_ARGUMENT,
    errors.Malformed: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.Conflict: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Unreadable: grpc.StatusCode.FAILED_PRECONDITION,
    errors.TooLarge: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.TooMany: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
}

_CONTENTS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}


class _Refused(Exception):
    """A call without a key that may make it."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class InferenceService:
    """The calls of GRPCInferenceService; threads may share it.

    `is_open` lets calls without a key pass, as long as there is no key at all.
    """

    def __init__(self, found: Services, *, is_open: bool) -> None:
        self._found = found
        self._is_open = is_open

    def handler(self) -> Any:
        """Return the handler of all calls, for `grpc.Server.add_generic_rpc_handlers`."""
        calls: dict[str, tuple[Callable[[Any], Any], Scope | None]] = {
            "ServerLive": (self._live, None),
            "ServerReady": (self._ready, None),
            "ServerMetadata": (self._server_metadata, None),
            "ModelReady": (self._model_ready, Scope.PREDICT),
            "ModelMetadata": (self._metadata, Scope.PREDICT),
            "ModelInfer": (self._infer, Scope.PREDICT),
        }
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                partial(self._call, name, act, scope),
                request_deserializer=MESSAGES[f"{name}Request"].FromString,
                response_serializer=MESSAGES[f"{name}Response"].SerializeToString,
            )
            for name, (act, scope) in calls.items()
        }
        return grpc.method_handlers_generic_handler(SERVICE, handlers)

    def _call(
        self, name: str, act: Callable[[Any], Any], scope: Scope | None, request: Any, context: Any
    ) -> Any:
        began = time.perf_counter()
        with about(request_id=secrets.token_hex(16)):
            code, result = self._attempt(act, scope, request, context)
            milliseconds = round(1000 * (time.perf_counter() - began), 2)
            fields = {"code": code.name, "milliseconds": milliseconds}
            log.log(logging.INFO if scope else logging.DEBUG, name, extra={"fields": fields})
        if code is not grpc.StatusCode.OK:
            context.abort(code, result)
        return result

    def _attempt(
        self, act: Callable[[Any], Any], scope: Scope | None, request: Any, context: Any
    ) -> tuple[grpc.StatusCode, Any]:
        """Return OK and the answer, or another code and a message."""
        try:
            if scope is not None:
                self._check_key(context.invocation_metadata(), scope)
            return grpc.StatusCode.OK, act(request)
        except _Refused as refusal:
            return refusal.code, str(refusal)
        except errors.LuthierError as error:
            return _told(error)
        except (DBAPIError, PoolTimeout) as error:
            return _told(self._found.database.explain(error))
        except Exception:
            log.exception("a call failed")
            return grpc.StatusCode.INTERNAL, "The service failed; its log says why."

    def _check_key(self, metadata: Iterable[tuple[str, str | bytes]], scope: Scope) -> None:
        """Raise _Refused unless the metadata has a key of that scope, or none is needed."""
        keys = self._found.keys
        if self._is_open and not keys.has_keys():
            return
        sent = {name.lower(): str(text) for name, text in metadata}
        kind, _, token = sent.get("authorization", "").partition(" ")
        key = token.strip() if kind.lower() == "bearer" else sent.get("x-api-key")
        caller = None if not key else keys.caller(key)
        if caller is None:
            raise _Refused(
                grpc.StatusCode.UNAUTHENTICATED,
                "Send a valid API key in the metadata, as `authorization: Bearer …`.",
            )
        if not caller.may(scope):
            raise _Refused(
                grpc.StatusCode.PERMISSION_DENIED, f"This key lacks the scope {scope.value!r}."
            )
        add_about(key=caller.name)

    def _live(self, _: Any) -> Any:
        return MESSAGES["ServerLiveResponse"](live=True)

    def _ready(self, _: Any) -> Any:
        checks = self._found.readiness.checks().values()
        return MESSAGES["ServerReadyResponse"](ready=all(found == OK for found in checks))

    def _server_metadata(self, _: Any) -> Any:
        named = {"name": "luthier", "version": __version__, "extensions": EXTENSIONS}
        return MESSAGES["ServerMetadataResponse"](**named)

    def _model_ready(self, request: Any) -> Any:
        try:
            self._loaded(request)
        except (errors.NotFound, errors.ArtifactError, errors.Unreadable):
            return MESSAGES["ModelReadyResponse"](ready=False)
        return MESSAGES["ModelReadyResponse"](ready=True)

    def _metadata(self, request: Any) -> Any:
        signature = self._loaded(request).signature
        make = MESSAGES["TensorMetadata"]
        return MESSAGES["ModelMetadataResponse"](
            name=request.name,
            versions=map(str, self._found.models.numbers(request.name)),
            platform=PLATFORM,
            inputs=[make(**entry) for entry in described_inputs(signature)],
            outputs=[make(**entry) for entry in described_outputs(signature)],
        )

    def _loaded(self, request: Any) -> Any:
        number = self._found.models.resolve(request.name, **version_named(request.version))
        return self._found.predictions.load(request.name, number)

    def _infer(self, request: Any) -> Any:
        wanted = read_parameters(parameters_of(request.parameters))
        wanted |= {"model": request.model_name} | version_named(request.model_version)
        for entry in request.outputs:
            if entry.parameters:
                raise errors.Invalid.at("outputs.parameters", "Are not known here.")
        names = [entry.name for entry in request.outputs] or None
        tensors = _read_inputs(request)
        found = answer(self._found, lambda signature: rows_of(tensors, signature), wanted)
        outputs = outputs_of(found, names)
        return MESSAGES["ModelInferResponse"](
            model_name=found.model,
            model_version=str(found.version),
            id=request.id,
            outputs=[
                {"name": each.name, "datatype": each.datatype, "shape": each.array.shape}
                for each in outputs
            ],
            raw_output_contents=[each.raw() for each in outputs],
        )


def _read_inputs(request: Any) -> list[Tensor]:
    raw = list(request.raw_input_contents)
    if raw and len(raw) != len(request.inputs):
        raise errors.Invalid.at("raw_input_contents", "Is not one for each input.")
    tensors = []
    for number, entry in enumerate(request.inputs):
        name, datatype = entry.name, entry.datatype
        shape = check_shape(name, list(entry.shape))
        if entry.parameters:
            raise errors.Invalid.at(f"inputs.{name}.parameters", "Are not known here.")
        if raw:
            tensors.append(from_raw(name, datatype, shape, raw[number]))
            continue
        elements = list(getattr(entry.contents, _CONTENTS.get(datatype, "fp64_contents")))
        if datatype == BYTES:
            try:
                elements = [element.decode() for element in elements]
            except UnicodeDecodeError:
                raise errors.Invalid.at(f"inputs.{name}", "Is not BYTES in UTF-8.") from None
        tensors.append(from_elements(name, datatype, shape, elements))
    return tensors


def _told(error: errors.LuthierError) -> tuple[grpc.StatusCode, str]:
    kinds = type(error).__mro__
    code = next((CODE_OF[kind] for kind in kinds if kind in CODE_OF), grpc.StatusCode.INTERNAL)
    if code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE):
        log.error("%s", error)
    return code, str(error)
