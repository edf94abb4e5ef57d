"""Security headers, and the refusal of requests that other sites' pages send."""

import base64
import hashlib
import re
from functools import lru_cache
from http import HTTPStatus
from urllib.parse import urlsplit

from flask import Flask, Response, request

from api.errors import problem
from api.services import services
from models.settings import is_loopback

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_POLICY = "default-src 'none'; frame-ancestors 'none'"
_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def register(app: Flask) -> None:
    """Add the headers to every response of `app` and refuse what other sites' pages send."""
    app.before_request(refuse_foreign_page)
    app.after_request(add_headers)


def add_headers(response: Response) -> Response:
    """Add the headers; a page may set a content policy of its own."""
    if request.endpoint == "api-docs.openapi_swagger_ui":
        response.headers["Content-Security-Policy"] = _policy_of_page(response)
    response.headers.setdefault("Content-Security-Policy", _POLICY)
    response.headers.extend(_HEADERS)
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
    if services().settings.allow_anonymous or is_loopback(_name_of(request.host)):
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
def _name_of(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


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
