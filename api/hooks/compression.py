"""gzip of large answers, for clients that accept it."""

import gzip
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from flask import Flask, Response, request
from werkzeug.datastructures import Accept
from werkzeug.http import parse_accept_header

MIN_BYTES = 2048  # shorter answers fit into few packets as they are
_LEVEL = 1  # predictions are digits: higher levels take several times longer for a few per cent

# Streams of events are of another type, and have no length; files of versions have a digest.
_MEDIA_TYPES = frozenset(
    {
        "application/json",
        "application/problem+json",
        "application/schema+json",
        "application/yaml",
        "text/csv",
    }
)


def register(app: Flask) -> None:
    """Compress answers of `app`; must be registered before hooks that read an answer's body."""
    app.after_request(compress)


def compress(response: Response) -> Response:
    """Compress a whole answer of text if it is large and the client accepts gzip.

    What is streamed, a file with an ETag, or coded already stays as it is.
    """
    if (response.content_length or 0) < MIN_BYTES or response.mimetype not in _MEDIA_TYPES:
        return response
    headers = response.headers
    if response.is_streamed or "ETag" in headers or "Content-Encoding" in headers:
        return response
    response.vary.add("Accept-Encoding")
    if takes_gzip(request.environ):
        response.set_data(compressed(response.get_data()))
        headers["Content-Encoding"] = "gzip"
    return response


def takes_gzip(environ: Mapping[str, Any]) -> bool:
    """Return whether the client of a WSGI request accepts gzip."""
    return _takes_gzip(environ.get("HTTP_ACCEPT_ENCODING", ""))


@lru_cache(maxsize=64)
def _takes_gzip(header: str) -> bool:
    return parse_accept_header(header, Accept).quality("gzip") > 0


def compressed(content: bytes) -> bytes:
    """Return `content` as gzip."""
    return gzip.compress(content, _LEVEL)
