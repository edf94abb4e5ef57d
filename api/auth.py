"""Who may call what: the scope of every operation, and the key that a request brings."""

import logging
from collections.abc import Mapping
from http import HTTPStatus

from flask import Flask, Response, request
from flask.typing import ResponseReturnValue

from api.browsers import refuse_foreign_host
from api.errors import problem
from api.services import services
from models.access.keys import Scope

log = logging.getLogger(__name__)

# The one place where an operation says what it needs; None is open to everyone. What is not named
# here needs `admin`.
SCOPES: Mapping[str, Scope | None] = {
    "operations.healthz": None,
    "operations.readyz": None,
    "operations.metrics": Scope.READ,
    "openapi.home": None,
    "openapi.openapi_yaml": None,
    "openapi.swagger_asset": None,
    "api-docs.openapi_json": None,
    "api-docs.openapi_swagger_ui": None,
    "datasets.create": Scope.TUNE,
    "datasets.index": Scope.READ,
    "datasets.show": Scope.READ,
    "datasets.preview": Scope.READ,
    "datasets.remove": Scope.ADMIN,
    "tune.start": Scope.TUNE,
    "tune.index": Scope.READ,
    "tune.show": Scope.READ,
    "tune.trials": Scope.READ,
    "tune.trial": Scope.READ,
    "tune.raise_budget": Scope.TUNE,
    "tune.give": Scope.TUNE,
    "tune.cancel": Scope.TUNE,
    "tune.pause": Scope.TUNE,
    "tune.resume": Scope.TUNE,
    "tune.remove": Scope.ADMIN,
    "events.events": Scope.READ,
    "reports.importance": Scope.READ,
    "reports.report": Scope.READ,
    "compare.compare": Scope.READ,
    "predict.predict": Scope.PREDICT,
    "models.index": Scope.READ,
    "models.show": Scope.READ,
    "models.show_version": Scope.READ,
    "models.download": Scope.READ,
    "models.point": Scope.ADMIN,
    "models.rollback": Scope.ADMIN,
}

SECURITY_SCHEMES: Mapping[str, Mapping[str, str]] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A key of `luthier keys create`.",
    },
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same."},
}

_NO_KEY = "Send a valid API key as `Authorization: Bearer …`."


def register(app: Flask) -> None:
    """Let every request to `app` be checked before its view and its body are looked at."""
    app.before_request(check_caller)
    app.after_request(forbid_storing)


def check_caller() -> ResponseReturnValue | None:
    """The refusal of the present request; None lets it pass.

    Without keys, whoever reaches a loopback address may do everything, and nobody may elsewhere.
    """
    scope = scope_of(request.endpoint)
    if scope is None:
        return None
    found = services()
    if not found.keys.has_keys():
        is_open = found.settings.allow_anonymous or found.settings.binds_loopback
        return refuse_foreign_host() if is_open else _unauthorized()
    key = _key_of_request()
    caller = None if key is None else found.keys.caller(key)
    if caller is None:
        return _unauthorized()
    if not caller.may(scope):
        log.warning("%s: key %r lacks %s", request.endpoint, caller.name, scope)
        return problem(HTTPStatus.FORBIDDEN, f"This key lacks the scope {scope!r}.")
    return None


def forbid_storing(response: Response) -> Response:
    """Keep caches from answering one caller with what another was told."""
    if scope_of(request.endpoint) is not None:
        response.headers.setdefault("Cache-Control", "no-store")
    return response


def scope_of(endpoint: str | None) -> Scope | None:
    """What an endpoint needs. There is nothing to protect where no route was found."""
    return None if endpoint is None else SCOPES.get(endpoint, Scope.ADMIN)


def _key_of_request() -> str | None:
    sent = request.authorization
    if sent is not None and sent.type == "bearer":
        return sent.token
    return request.headers.get("X-API-Key")


def _unauthorized() -> Response:
    """One answer for a missing, unknown, expired and revoked key: which it was is not told."""
    log.warning("%s: no valid key came from %s", request.endpoint, request.remote_addr)
    refusal = problem(HTTPStatus.UNAUTHORIZED, _NO_KEY)
    refusal.headers["WWW-Authenticate"] = 'Bearer realm="luthier"'
    return refusal
