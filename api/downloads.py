"""Files as answers: whole, in part, or not at all where the client has them."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from flask import Response, request

from models.errors import PreconditionFailed
from models.store.pieces import CheckedPieces

_MEDIA_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "md": "text/markdown; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}
_BINARY = "application/octet-stream"

HEADERS: list[dict[str, Any]] = [
    {
        "in": "header",
        "name": "If-None-Match",
        "description": "The `ETag` of a file that the client has; the same one is answered 304.",
        "schema": {"type": "string"},
    },
    {
        "in": "header",
        "name": "Range",
        "description": "One range of bytes, such as `bytes=1000-`.",
        "schema": {"type": "string", "example": "bytes=0-1023"},
    },
]
"""Parameters of an operation that answers by `send_file`."""

RESPONSES: dict[int, Any] = {
    206: {
        "description": "The range of the file that was asked for",
        "content": {_BINARY: {"schema": {"type": "string", "format": "binary"}}},
    },
    304: {"description": "The client has the file"},
    412: {"description": "The file is not that of `If-Match`"},
    416: {"description": "The file has no such range"},
}
"""Its answers beside 200."""


def send_file(name: str, entry: Mapping[str, Any], pieces: CheckedPieces) -> Response:
    """Answer a stored file by the conditions and the range of the present request.

    Its `ETag` is the SHA-256 of `entry`. Nothing is read for HEAD, or if the client has the file.
    Raises PreconditionFailed for `If-Match` of another one, what `pieces.open` raises, and
    RequestedRangeNotSatisfiable.
    """
    content_type = _MEDIA_TYPES.get(name.rpartition(".")[2], _BINARY)
    response = Response(pieces, content_type=content_type, direct_passthrough=True)
    sha256, size = entry["sha256"], entry["bytes"]
    response.content_length = size
    response.set_etag(sha256)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    # RFC 9110, section 13.2.2: a range is only looked at where the client lacks the file.
    # Section 14.2: it counts for GET alone, and only in a unit that is known.
    takes_range = request.method == "GET" and request.headers.get("Range", "").startswith("bytes=")
    takes_range = takes_range and not request.if_none_match.contains_weak(sha256)
    response.make_conditional(
        request, accept_ranges=True, complete_length=size if takes_range else None
    )
    if response.status_code == HTTPStatus.PRECONDITION_FAILED:
        raise PreconditionFailed(f"The ETag of {name} is {sha256}.")
    if request.method == "GET" and response.status_code != HTTPStatus.NOT_MODIFIED:
        pieces.open()
    return response
