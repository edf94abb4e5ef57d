"""Plain predictions, answered before Flask: `POST /predict` with JSON in and JSON out.

Whatever is not plain, and every error, goes to the Flask application, which has all the rules.
"""

import io
import logging
import time
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import msgspec
from flask import Flask

from api.hooks import auth, compression, request_log
from api.parsing import parse_json
from api.schemas.predict import ID_HEADER, is_plain, prediction_body
from api.services import Services
from models.access.keys import Scope
from models.data.library.turns import LARGE_BYTES
from models.errors import LuthierError
from models.telemetry import add_about

PATH = "/predict"

_ACCEPTED = frozenset({"", "*/*", "application/json"})
# Other codings of the body, and what browsers send on behalf of pages.
_OTHERWISE = (
    *("HTTP_CONTENT_ENCODING", "HTTP_TRANSFER_ENCODING"),
    *("HTTP_ORIGIN", "HTTP_SEC_FETCH_SITE"),
)
_HEADERS = (
    ("Content-Type", "application/json"),
    ("Cache-Control", "no-store"),
    *auth.HEADERS.items(),
)

Environ = dict[str, Any]

log = logging.getLogger(__name__)


def register(app: Flask, services: Services) -> None:
    """Answer plain predictions of `app`; must be registered before what wraps the whole of it."""
    app.wsgi_app = PlainPredictions(app.wsgi_app, services)  # type: ignore[method-assign]


class PlainPredictions:
    """WSGI middleware that answers plain predictions, with the same answer as the application.

    Flask's contexts, hooks and response objects take longer than a small network.
    """

    def __init__(self, application: Any, services: Services) -> None:
        self._application = application
        self._services = services
        settings = services.settings
        self._most = min(settings.max_json_bytes, settings.max_body_bytes, LARGE_BYTES)
        self._depth = settings.max_json_depth

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """Answer a request, or let the application do so."""
        if environ["PATH_INFO"] != PATH or not (length := self._length(environ)):
            answer: Iterable[bytes] = self._application(environ, start_response)
            return answer
        began = time.perf_counter()
        body = environ["wsgi.input"].read(length)
        in_flight = self._services.metrics.in_flight
        in_flight.inc()
        try:
            found = self._answer(environ, body) if len(body) == length else None
            if found is not None:
                return self._send(environ, start_response, began, *found)
        finally:
            in_flight.dec()
        environ["wsgi.input"] = io.BytesIO(body)
        answer = self._application(environ, start_response)
        return answer

    def _length(self, environ: Environ) -> int:
        """Return the length of the body; 0 for a request that is not plain by its head."""
        length, host = environ.get("CONTENT_LENGTH", ""), environ.get("HTTP_HOST", "")
        is_plain = (
            environ["REQUEST_METHOD"] == "POST"
            and not environ.get("QUERY_STRING")
            and environ.get("CONTENT_TYPE") == "application/json"
            and environ.get("HTTP_ACCEPT", "") in _ACCEPTED
            and not any(name in environ for name in _OTHERWISE)
            and host
            and "," not in host
            and length.isdecimal()
            and length.isascii()
            and int(length) <= self._most
        )
        return int(length) if is_plain else 0

    def _answer(self, environ: Environ, body: bytes) -> tuple[str, bytes] | None:
        """Return the id and the text of an answer; None where the application is to answer."""
        found = self._services
        try:
            if not auth.admits(found, environ, Scope.PREDICT):
                return None
            wanted = parse_json(body, depth=self._depth)
            if not is_plain(wanted):
                return None
            model = wanted["model"]
            version, shadow = found.routes.resolve(model, wanted.get("version"))
            if shadow is not None:
                return None
            loaded = found.predictions.load(model, version)
            watch = found.recorder.watch(model, version)
            prediction = loaded.predict(wanted["instances"])
            content = msgspec.json.encode(prediction_body(prediction, watch.id)) + b"\n"
        except LuthierError:
            return None  # the application says why
        except Exception as error:
            log.warning("a prediction goes by way of Flask after %r", error)
            return None
        with watch:
            watch.answer = prediction
        found.metrics.predicted(model, version, len(prediction.predictions))
        add_about(model=model, version=version)
        return watch.id, content

    def _send(
        self, environ: Environ, start_response: Any, began: float, identity: str, content: bytes
    ) -> Iterable[bytes]:
        headers = [*_HEADERS, (ID_HEADER, identity)]
        vary = "Accept"
        if len(content) >= compression.MIN_BYTES:
            vary = "Accept, Accept-Encoding"
            if compression.takes_gzip(environ):
                content = compression.compressed(content)
                headers.append(("Content-Encoding", "gzip"))
        headers += [
            ("Vary", vary),
            ("Content-Length", str(len(content))),
            (request_log.HEADER, request_log.request_id()),
        ]
        seconds = time.perf_counter() - began
        request_log.record(self._services, "POST", PATH, HTTPStatus.OK, seconds)
        start_response("200 OK", headers)
        return [content]
