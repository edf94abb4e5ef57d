"""Request ids, one log line a request, and the count of requests in the metrics."""

import logging
import re
import secrets
import time
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from flask import Flask, Response, g, request

from api.services import Services, services
from models.telemetry import about, add_about, present

HEADER = "X-Request-ID"

_SANE = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Asked every few seconds.
_QUIET = frozenset(
    {
        *("/healthz", "/readyz", "/metrics"),
        *("/v2/health/live", "/v2/health/ready", "/ping", "/health"),
    }
)
_ABOUT = {"job": "job", "number": "trial", "model": "model"}  # what a path names
_PARAMETER = re.compile(r"<(?:[^:<>]*:)?(\w+)>")

log = logging.getLogger(__name__)


def register(app: Flask) -> None:
    """Log and count every request of `app`; must be registered before all other hooks."""
    app.wsgi_app = _Identified(app.wsgi_app)  # type: ignore[method-assign]
    app.before_request(_begin)
    app.after_request(_end)


def request_id() -> str:
    """Return the id of the present request: its `X-Request-ID` if that is sane, or a new one."""
    return str(present().get("request_id", ""))


class _Identified:
    """WSGI middleware: every log line of a request carries its id."""

    def __init__(self, application: Any) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        given = environ.get("HTTP_X_REQUEST_ID", "")
        sane = given if _SANE.fullmatch(given) else secrets.token_hex(16)
        with about(request_id=sane):
            answer: Iterable[bytes] = self._application(environ, start_response)
            return answer


def _begin() -> None:
    g.began = time.perf_counter()
    services().metrics.in_flight.inc()
    if known := request.view_args:
        add_about(**{_ABOUT[name]: value for name, value in known.items() if name in _ABOUT})


def _end(response: Response) -> Response:
    metrics, rule = services().metrics, request.url_rule
    seconds = time.perf_counter() - g.began
    # Paths that are not ours are one: anyone can make up any number of them.
    route = _template(rule.rule) if rule else "none"
    if response.direct_passthrough:  # a file: the server sends it and calls nothing at its end
        metrics.in_flight.dec()
    else:
        response.call_on_close(metrics.in_flight.dec)
    response.headers[HEADER] = request_id()
    record(services(), request.method, route, response.status_code, seconds, request.path)
    return response


def record(
    found: Services, sent: str, route: str, status: int, seconds: float, path: str = ""
) -> None:
    """Count a request that was answered, and log it; `path` is the route unless it is given."""
    method = sent if sent in _METHODS else "other"
    found.metrics.answered(method, route, status, seconds)
    level = logging.DEBUG if route in _QUIET else logging.INFO
    if log.isEnabledFor(level):
        fields = {"route": route, "status": status, "milliseconds": round(1000 * seconds, 2)}
        # `log.log` would look for the line that calls it.
        what, known = (sent, path or route), {"fields": fields}
        log.handle(log.makeRecord(log.name, level, "", 0, "%s %s", what, None, extra=known))


@lru_cache
def _template(rule: str) -> str:
    """Return a rule as the OpenAPI document has it: `/tune/{job}`."""
    return _PARAMETER.sub(r"{\1}", rule)
