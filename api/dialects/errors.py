"""Errors in the form of the protocol whose paths they concern."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import marshmallow as ma
from flask import Response, json, request

from models.fields import described

Form = Callable[[int, str], Response]

_MLFLOW_PATHS = frozenset({"/invocations", "/ping", "/health", "/version"})

# Names of MLflow's `databricks.proto`.
_MLFLOW_CODES: Mapping[int, str] = {
    HTTPStatus.BAD_REQUEST: "BAD_REQUEST",
    HTTPStatus.UNAUTHORIZED: "UNAUTHENTICATED",
    HTTPStatus.FORBIDDEN: "PERMISSION_DENIED",
    HTTPStatus.NOT_FOUND: "RESOURCE_DOES_NOT_EXIST",
    HTTPStatus.CONFLICT: "INVALID_STATE",
    HTTPStatus.TOO_MANY_REQUESTS: "REQUEST_LIMIT_EXCEEDED",
    HTTPStatus.SERVICE_UNAVAILABLE: "TEMPORARILY_UNAVAILABLE",
}


class ProtocolErrorSchema(ma.Schema):
    """The body of an error below `/v1` and `/v2`."""

    error = ma.fields.String(metadata=described("What is wrong, for people."))


class InvocationErrorSchema(ma.Schema):
    """The body of an error of `/invocations` and of the paths beside it."""

    error_code = ma.fields.String(metadata=described("A name of MLflow's error codes."))
    message = ma.fields.String(metadata=described("What is wrong, for people."))


ERROR_SCHEMAS = {
    "tensorflow_serving": ProtocolErrorSchema,
    "open_inference": ProtocolErrorSchema,
    "mlflow": InvocationErrorSchema,
}
"""The schema of the errors of each blueprint whose errors are no problems of RFC 9457."""


def error_form(path: str) -> Form | None:
    """Return what writes the errors of a path; None for paths of Luthier's own."""
    if path.startswith("/v1/"):
        return _tensorflow_serving
    if path == "/v2" or path.startswith("/v2/"):
        return _open_inference
    return _mlflow if path in _MLFLOW_PATHS else None


def _tensorflow_serving(status: int, detail: str) -> Response:
    if status == HTTPStatus.NOT_FOUND and request.url_rule is None:
        status, detail = 400, f"Malformed request: {request.method} {request.path}"
    return _open_inference(status, detail)


def _open_inference(status: int, detail: str) -> Response:
    return _response(status, {"error": detail})


def _mlflow(status: int, detail: str) -> Response:
    status = _refusal(status)
    is_ours = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    code = _MLFLOW_CODES.get(status, "INTERNAL_ERROR" if is_ours else "BAD_REQUEST")
    return _response(status, {"error_code": code, "message": detail})


def _response(status: int, body: dict[str, Any]) -> Response:
    return Response(json.dumps(body), status=_refusal(status), mimetype="application/json")


def _refusal(status: int) -> int:
    """Return the status of these protocols, which know no other for a body that breaks a rule."""
    return 400 if status == HTTPStatus.UNPROCESSABLE_ENTITY else int(status)
