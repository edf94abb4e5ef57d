"""The page of the dashboard and its static files, held in memory with their digests."""

import gzip
import hashlib
from functools import cache
from importlib.resources import files
from pathlib import PurePosixPath
from typing import NamedTuple

from flask import Blueprint, Response, abort, request
from flask.typing import ResponseReturnValue

# Scripts and styles only from files of this service; no other host, frame or form.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:;"
    " connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)
_MEDIA_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".txt": "text/plain",
}
_MIN_BYTES = 1024  # shorter files fit into one packet as they are

blueprint = Blueprint("dashboard", __name__)


class StaticFile(NamedTuple):
    """One file as it is sent."""

    body: bytes
    packed: bytes  # gzip; empty if that would not be shorter by much
    etag: str
    media_type: str


@blueprint.get("/")
def page() -> ResponseReturnValue:
    """Return the page, which loads everything else."""
    return _send("index.html")


@blueprint.get("/dashboard/static/<path:name>")
def static(name: str) -> ResponseReturnValue:
    """Return a file of the page."""
    return _send(name)


def _send(name: str) -> Response:
    found = static_files().get(name)
    if found is None:
        abort(404)
    accepts_gzip = request.accept_encodings.quality("gzip") > 0
    response = Response(found.body, mimetype=found.media_type)
    if found.packed and accepts_gzip:
        response.set_data(found.packed)
        response.headers["Content-Encoding"] = "gzip"
    response.vary.add("Accept-Encoding")
    response.set_etag(found.etag, weak=True)
    response.headers["Cache-Control"] = "no-cache"  # kept, but checked: an upgrade shows at once
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    response.make_conditional(request)
    return response


@cache
def static_files() -> dict[str, StaticFile]:
    """Read every file once; the names are relative, with slashes."""
    root = files("api.dashboard") / "static"
    found, folders = {}, [("", root)]
    while folders:
        prefix, folder = folders.pop()
        for entry in folder.iterdir():
            name = f"{prefix}{entry.name}"
            if entry.is_dir():
                folders.append((f"{name}/", entry))
            elif PurePosixPath(name).suffix in _MEDIA_TYPES:
                found[name] = _static_file(name, entry.read_bytes())
    return found


def _static_file(name: str, body: bytes) -> StaticFile:
    packed = gzip.compress(body, 9, mtime=0) if len(body) >= _MIN_BYTES else b""
    return StaticFile(
        body=body,
        packed=packed if len(packed) < 0.9 * len(body) else b"",
        etag=hashlib.sha256(body).hexdigest()[:32],
        media_type=_MEDIA_TYPES[PurePosixPath(name).suffix],
    )
