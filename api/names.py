"""Names and addresses from callers: none may break a header, a log line or a database."""

from itertools import chain

import marshmallow as ma
from flask import Flask, request

from models.errors import Malformed
from models.telemetry import CONTROL


def register(app: Flask) -> None:
    """Refuse requests to `app` whose address holds control characters or is spelled otherwise."""
    app.url_map.merge_slashes = False
    app.before_request(check_address)


def check_address() -> None:
    """Raise Malformed for control characters in path or query, which no name of ours has."""
    if request.path.isprintable() and not request.query_string:
        return
    query = chain.from_iterable(request.args.items(multi=True))
    if any(CONTROL.search(text) for text in (request.path, *query)):
        raise Malformed("The address holds control characters.")


def check_printable(text: str) -> None:
    """Raise ValidationError for control characters."""
    if CONTROL.search(text):
        raise ma.ValidationError("Must not hold control characters.")
