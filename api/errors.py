"""The mapping of `models.errors` to HTTP statuses, and the problem body (RFC 9457)."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import marshmallow as ma
from flask import Flask, Response, json, request
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from api.dialects.errors import error_form
from api.hooks.request_log import request_id
from api.services import services
from models import errors
from models.fields import flatten

PROBLEM_TYPE = "application/problem+json"

log = logging.getLogger(__name__)

STATUS_OF: dict[type[errors.LuthierError], HTTPStatus] = {
    errors.Invalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.PreconditionFailed: HTTPStatus.PRECONDITION_FAILED,
    errors.TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.TooMany: HTTPStatus.TOO_MANY_REQUESTS,
    errors.Malformed: HTTPStatus.BAD_REQUEST,
    errors.UnsupportedMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.StorageFull: HTTPStatus.INSUFFICIENT_STORAGE,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.LoadError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.Unreadable: HTTPStatus.CONFLICT,
    errors.ArtifactError: HTTPStatus.INTERNAL_SERVER_ERROR,
}

# webargs names the place of an argument first; callers only know the field.
_LOCATIONS = frozenset({"json", "query", "form", "files", "headers", "path"})

# Flask's own limits, MAX_FORM_MEMORY_SIZE and MAX_FORM_PARTS; ours name their setting.
_LARGE_FORM = (
    "The form has more than 1,000 parts, or its parts beside the file take more than 500,000 bytes."
)


class ProblemSchema(ma.Schema):
    """The body of every error, `application/problem+json`."""

    type = ma.fields.String(metadata={"description": "Always `about:blank`: see `status`."})
    title = ma.fields.String(metadata={"description": "The status in words."})
    status = ma.fields.Integer(metadata={"description": "The HTTP status."})
    detail = ma.fields.String(metadata={"description": "What is wrong, for people."})
    instance = ma.fields.String(metadata={"description": "The requested path."})
    error = ma.fields.String(metadata={"description": "The same text as `detail`."})
    request_id = ma.fields.String(
        metadata={"description": "The response's `X-Request-ID`, which is in the logs too."}
    )
    errors = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.List(ma.fields.String()),
        metadata={"description": "Messages by the dotted path of the field they are about."},
    )


def problem(
    status: int,
    detail: str,
    field_errors: Mapping[str, list[str]] | None = None,
    **more: object,
) -> Response:
    """Return an error response, in the form of the protocol that the path belongs to.

    `more` are further members of a problem body.
    """
    form = error_form(request.path)
    if form is not None:
        return form(status, detail)
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": detail,
        "instance": request.path,
        "error": detail,
        "request_id": request_id(),
        **more,
    }
    if field_errors:
        body["errors"] = dict(field_errors)
    return Response(json.dumps(body), status=int(status), mimetype=PROBLEM_TYPE)


def register_error_handlers(app: Flask) -> None:
    """Return every error of `app` as a problem body."""
    app.register_error_handler(errors.LuthierError, _on_luthier_error)
    app.register_error_handler(ma.ValidationError, _on_validation_error)
    app.register_error_handler(DBAPIError, _on_database_error)
    app.register_error_handler(PoolTimeout, _on_database_error)
    app.register_error_handler(MemoryError, _on_memory_error)
    app.register_error_handler(HTTPException, on_http_exception)


def on_http_exception(error: HTTPException) -> Response:
    """Return the problem for an error of Flask itself or of argument parsing."""
    code = error.code or HTTPStatus.INTERNAL_SERVER_ERROR
    data: Mapping[str, Any] = getattr(error, "data", None) or {}
    messages = data.get("messages") or data.get("errors") or {}
    if set(messages) <= _LOCATIONS:
        messages = {key: value for place in messages.values() for key, value in _items(place)}
    field_errors = flatten(messages) if messages else {}
    detail = summarise(field_errors) if field_errors else str(error.description)
    if code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        detail = _LARGE_FORM
    response = problem(code, detail, field_errors)
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After", "Content-Range"):
            response.headers[name] = value
    return response


def summarise(field_errors: Mapping[str, list[str]]) -> str:
    """Join all messages into one line."""
    return "; ".join(f"{path}: {' '.join(texts)}" for path, texts in field_errors.items())


def _items(place: Any) -> list[tuple[str, Any]]:
    return list(place.items()) if isinstance(place, Mapping) else [("body", place)]


def _on_luthier_error(error: errors.LuthierError) -> Response:
    status = next(
        (STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF),
        HTTPStatus.INTERNAL_SERVER_ERROR,
    )
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("%s %s: %s", request.method, request.path, error)
    field_errors = error.errors if isinstance(error, errors.Invalid) else None
    response = problem(status, str(error), field_errors)
    if isinstance(error, errors.TooMany | errors.InProgress):
        response.headers["Retry-After"] = str(error.retry_after)
    elif status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = "1"
    return response


def _on_database_error(error: DBAPIError | PoolTimeout) -> Response:
    log.error("%s %s: %s", request.method, request.path, error)
    if isinstance(error, DataError | IntegrityError):
        # The database works but cannot store these values, so a retry would not help.
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "The database refused what it was given.")
    return _on_luthier_error(services().database.explain(error))


def _on_memory_error(error: MemoryError) -> Response:
    log.error("%s %s: out of memory: %s", request.method, request.path, error)
    response = problem(HTTPStatus.SERVICE_UNAVAILABLE, "There is no memory for this request now.")
    response.headers["Retry-After"] = "1"
    return response


def _on_validation_error(error: ma.ValidationError) -> Response:
    field_errors = flatten(error.messages)
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, summarise(field_errors), field_errors)
