"""Access control: the scope of each operation, the key of a request, and pages of other sites."""

import base64
import hashlib
import logging
import re
from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from flask import Flask, Response, g, request
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import Authorization
from werkzeug.sansio.utils import get_host

from api.errors import problem
from api.services import Services, services
from models.access.keys import Caller, Scope
from models.settings import is_loopback
from models.telemetry import add_about

log = logging.getLogger(__name__)


class Operation(NamedTuple):
    """The scope that an endpoint needs, and its name in generated clients."""

    scope: Scope | None  # None is open to everyone
    id: str = ""  # stays when views are renamed; pages for people have none
    changes: bool = True  # whether an unsafe method may change something


# The one place where an endpoint says what it needs. One that is not named here needs `admin`.
OPERATIONS: Mapping[str, Operation] = {
    "operations.healthz": Operation(None, "checkHealth"),
    "operations.readyz": Operation(None, "checkReadiness"),
    "operations.metrics": Operation(Scope.READ, "getMetrics"),
    "dashboard.page": Operation(None),
    "dashboard.static": Operation(None),
    "openapi.openapi_yaml": Operation(None),
    "openapi.swagger_asset": Operation(None),
    "api-docs.openapi_json": Operation(None),
    "api-docs.openapi_swagger_ui": Operation(None),
    "datasets.create": Operation(Scope.TUNE, "createDataset"),
    "datasets.index": Operation(Scope.READ, "listDatasets"),
    "datasets.show": Operation(Scope.READ, "getDataset"),
    "datasets.preview": Operation(Scope.READ, "previewDataset"),
    "datasets.remove": Operation(Scope.ADMIN, "deleteDataset"),
    "datasets.remove_many": Operation(Scope.ADMIN, "deleteDatasets"),
    "tune.start": Operation(Scope.TUNE, "startTuning"),
    "tune.index": Operation(Scope.READ, "listJobs"),
    "tune.show": Operation(Scope.READ, "getJob"),
    "tune.trials": Operation(Scope.READ, "listTrials"),
    "tune.trial": Operation(Scope.READ, "getTrial"),
    "tune.change_budget": Operation(Scope.TUNE, "changeBudget"),
    "tune.enqueue": Operation(Scope.TUNE, "enqueueTrials"),
    "tune.discard": Operation(Scope.TUNE, "discardTrial"),
    "tune.cancel": Operation(Scope.TUNE, "cancelJob"),
    "tune.pause": Operation(Scope.TUNE, "pauseJob"),
    "tune.resume": Operation(Scope.TUNE, "resumeJob"),
    "tune.requeue": Operation(Scope.ADMIN, "requeueJob"),
    "tune.front": Operation(Scope.READ, "showFront"),
    "tune.finish": Operation(Scope.TUNE, "finishJob"),
    "tune.remove": Operation(Scope.ADMIN, "deleteJob"),
    "tune.remove_many": Operation(Scope.ADMIN, "deleteJobs"),
    "events.events": Operation(Scope.READ, "followEvents"),
    "reports.importance": Operation(Scope.READ, "getImportance"),
    "reports.report": Operation(Scope.READ, "getReport"),
    "compare.compare": Operation(Scope.READ, "compareJobs"),
    "predict.predict": Operation(Scope.PREDICT, "predict", changes=False),
    "batches.start": Operation(Scope.PREDICT, "startBatch"),
    "batches.index": Operation(Scope.READ, "listBatches"),
    "batches.show": Operation(Scope.PREDICT, "getBatch"),
    "batches.download": Operation(Scope.PREDICT, "downloadBatch"),
    "batches.remove": Operation(Scope.PREDICT, "deleteBatch"),
    "tensorflow_serving.status": Operation(Scope.PREDICT, "getServingStatus"),
    "tensorflow_serving.status_version": Operation(Scope.PREDICT, "getServingStatusOfVersion"),
    "tensorflow_serving.status_label": Operation(Scope.PREDICT, "getServingStatusOfLabel"),
    "tensorflow_serving.metadata": Operation(Scope.PREDICT, "getServingMetadata"),
    "tensorflow_serving.metadata_version": Operation(Scope.PREDICT, "getServingMetadataOfVersion"),
    "tensorflow_serving.metadata_label": Operation(Scope.PREDICT, "getServingMetadataOfLabel"),
    "tensorflow_serving.predict": Operation(Scope.PREDICT, "servingPredict", changes=False),
    "tensorflow_serving.predict_version": Operation(
        Scope.PREDICT, "servingPredictOfVersion", changes=False
    ),
    "tensorflow_serving.predict_label": Operation(
        Scope.PREDICT, "servingPredictOfLabel", changes=False
    ),
    "tensorflow_serving.classify": Operation(Scope.PREDICT, "servingClassify", changes=False),
    "tensorflow_serving.classify_version": Operation(
        Scope.PREDICT, "servingClassifyOfVersion", changes=False
    ),
    "tensorflow_serving.classify_label": Operation(
        Scope.PREDICT, "servingClassifyOfLabel", changes=False
    ),
    "tensorflow_serving.regress": Operation(Scope.PREDICT, "servingRegress", changes=False),
    "tensorflow_serving.regress_version": Operation(
        Scope.PREDICT, "servingRegressOfVersion", changes=False
    ),
    "tensorflow_serving.regress_label": Operation(
        Scope.PREDICT, "servingRegressOfLabel", changes=False
    ),
    "open_inference.server": Operation(None, "getInferenceServer"),
    "open_inference.live": Operation(None, "checkInferenceLive"),
    "open_inference.ready": Operation(None, "checkInferenceReady"),
    "open_inference.metadata": Operation(Scope.PREDICT, "getInferenceMetadata"),
    "open_inference.metadata_version": Operation(Scope.PREDICT, "getInferenceMetadataOfVersion"),
    "open_inference.model_ready": Operation(Scope.PREDICT, "checkModelReady"),
    "open_inference.model_ready_version": Operation(Scope.PREDICT, "checkVersionReady"),
    "open_inference.infer": Operation(Scope.PREDICT, "infer", changes=False),
    "open_inference.infer_version": Operation(Scope.PREDICT, "inferOfVersion", changes=False),
    "mlflow.invocations": Operation(Scope.PREDICT, "invoke", changes=False),
    "mlflow.ping": Operation(None, "ping"),
    "mlflow.health": Operation(None, "checkInvocations"),
    "mlflow.version": Operation(None, "getServerVersion"),
    "models.index": Operation(Scope.READ, "listModels"),
    "models.show": Operation(Scope.READ, "getModel"),
    "models.show_version": Operation(Scope.READ, "getVersion"),
    "models.schema": Operation(Scope.READ, "getRowSchema"),
    "models.download": Operation(Scope.READ, "downloadFile"),
    "models.import_version": Operation(Scope.TUNE, "importVersion"),
    "models.change": Operation(Scope.PROMOTE, "changeModel"),
    "models.point": Operation(Scope.PROMOTE, "setAlias"),
    "models.show_alias": Operation(Scope.READ, "getAlias"),
    "models.moves": Operation(Scope.READ, "listAliasMoves"),
    "models.rollback": Operation(Scope.PROMOTE, "rollBack"),
    "monitoring.show": Operation(Scope.READ, "getMonitor"),
    "monitoring.give_feedback": Operation(Scope.PREDICT, "giveFeedback"),
    "models.remove": Operation(Scope.ADMIN, "deleteModel"),
    "models.remove_version": Operation(Scope.ADMIN, "deleteVersion"),
    "models.remove_alias": Operation(Scope.ADMIN, "deleteAlias"),
    "audit.index": Operation(Scope.ADMIN, "listAudit"),
}

SECURITY_SCHEMES: Mapping[str, Mapping[str, str]] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A key of `luthier keys create`.",
    },
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same."},
}

_UNNAMED = Operation(Scope.ADMIN)
_NO_KEY = "Send a valid API key as `Authorization: Bearer …`."
_POLICY = "default-src 'none'; frame-ancestors 'none'"
HEADERS = {  # of every answer; but a page may set a content policy of its own
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def register(app: Flask) -> None:
    """Check every request to `app` before its view runs and its body is read, and add headers."""
    app.before_request(refuse_foreign_page)
    app.before_request(check_caller)
    app.after_request(add_headers)


def check_caller() -> ResponseReturnValue | None:
    """Return the refusal of the present request; None lets it pass.

    Without keys, whoever reaches a loopback address may do everything, and nobody may elsewhere.
    """
    scope = scope_of(request.endpoint)
    if scope is None:
        return None
    found = services()
    if not found.keys.has_keys():
        is_open = found.settings.allow_anonymous or found.settings.binds_loopback
        return refuse_foreign_host() if is_open else _unauthorized()
    caller = _caller(found, request.environ)
    if caller is None:
        return _unauthorized()
    if not caller.may(scope):
        log.warning("%s: key %r lacks %s", request.endpoint, caller.name, scope)
        return problem(HTTPStatus.FORBIDDEN, f"This key lacks the scope {scope.value!r}.")
    g.caller = caller
    add_about(key=caller.name)
    return None


def scope_of(endpoint: str | None) -> Scope | None:
    """Return the scope that an endpoint needs; None for one that is open, or where none is."""
    return None if endpoint is None else OPERATIONS.get(endpoint, _UNNAMED).scope


def changing_operation() -> Operation | None:
    """Return the operation of the present request if it may change something."""
    if request.method in _SAFE_METHODS or request.endpoint is None:
        return None
    operation = OPERATIONS.get(request.endpoint, _UNNAMED)
    return operation if operation.changes else None


def present_caller() -> Caller | None:
    """Return the caller whose key came with the present request; None without keys."""
    caller: Caller | None = g.get("caller")
    return caller


def admits(found: Services, environ: Mapping[str, Any], scope: Scope) -> bool:
    """Return whether the request of `environ`, which no web page sent, may use `scope`.

    The rules are those of `check_caller`, which says why one may not.
    """
    if not found.keys.has_keys():
        host = _host_of_header(environ.get("HTTP_HOST", ""))
        settings = found.settings
        return settings.allow_anonymous or (settings.binds_loopback and _is_loopback(host))
    caller = _caller(found, environ)
    if caller is None or not caller.may(scope):
        return False
    add_about(key=caller.name)
    return True


def _caller(found: Services, environ: Mapping[str, Any]) -> Caller | None:
    """Return the caller whose key a request carries; None without a valid one."""
    sent = Authorization.from_header(environ.get("HTTP_AUTHORIZATION"))
    is_bearer = sent is not None and sent.type == "bearer"
    key = sent.token if sent is not None and is_bearer else environ.get("HTTP_X_API_KEY")
    return None if key is None else found.keys.caller(key)


def _unauthorized() -> Response:
    """Return the same answer for a missing, unknown, expired and revoked key."""
    log.warning("%s: no valid key came from %s", request.endpoint, request.remote_addr)
    refusal = problem(HTTPStatus.UNAUTHORIZED, _NO_KEY)
    refusal.headers["WWW-Authenticate"] = 'Bearer realm="luthier"'
    return refusal


def add_headers(response: Response) -> Response:
    """Add the headers; a page may set a content policy of its own.

    Caches are kept from giving one caller the answer to another.
    """
    endpoint, headers = request.endpoint, response.headers
    if endpoint == "api-docs.openapi_swagger_ui":
        headers["Content-Security-Policy"] = _policy_of_page(response)
    if scope_of(endpoint) is not None and "Cache-Control" not in headers:
        headers.add("Cache-Control", "no-store")
    for name, value in HEADERS.items():
        if name not in headers:
            headers.add(name, value)
    return response


def refuse_foreign_page() -> Response | None:
    """Refuse what a browser sends on behalf of a page of another site.

    Without CORS headers such a page can read no response; this keeps it from causing changes. The
    rules are those of Go's `http.CrossOriginProtection`.
    """
    sent = request.environ
    method = sent["REQUEST_METHOD"]
    if method == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in sent:
        return _refusal()
    if method in _SAFE_METHODS:
        return None
    site, origin = sent.get("HTTP_SEC_FETCH_SITE"), sent.get("HTTP_ORIGIN")
    if site is not None:
        return None if site in ("same-origin", "none") else _refusal()
    return None if origin is None or _host_of(origin) == request.host else _refusal()


def refuse_foreign_host() -> Response | None:
    """Refuse a request without a key to a loopback address under another name.

    Another site's name may resolve to this machine (DNS rebinding), and a proxy beside the service
    may forward requests from elsewhere.
    """
    header = request.environ.get("HTTP_HOST")
    host = request.host if header is None else _host_of_header(header)
    if services().settings.allow_anonymous or _is_loopback(host):
        return None
    return problem(
        HTTPStatus.FORBIDDEN,
        "Without API keys, this service answers only under the name localhost or a loopback"
        " address. Make a key, or set LUTHIER_ALLOW_ANONYMOUS=1.",
    )


def _refusal() -> Response:
    return problem(HTTPStatus.FORBIDDEN, "Pages of other sites may not use this service.")


def _host_of(origin: str) -> str:
    return origin.partition("://")[2]


@lru_cache(maxsize=256)
def _host_of_header(header: str) -> str:
    """Return what `request.host` does; "" for a header with characters that no host has."""
    return get_host("http", header)


@lru_cache(maxsize=256)
def _is_loopback(host: str) -> bool:
    try:
        return is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False


def _policy_of_page(response: Response) -> str:
    """Allow Swagger UI's own files and styles, and the script in its page by its digest."""
    digests = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        for script in _INLINE_SCRIPT.findall(response.get_data(as_text=True))
    ]
    scripts = " ".join(["'self'", *(f"'sha256-{digest}'" for digest in digests)])
    return (
        f"default-src 'self'; script-src {scripts}; style-src 'self' 'unsafe-inline';"
        " img-src 'self' data:; frame-ancestors 'none'"
    )
