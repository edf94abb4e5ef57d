"""Names and addresses from callers: none may break a header, a log line or a database."""

import re

import marshmallow as ma
from flask import Flask, request

from models.errors import Malformed

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def register(app: Flask) -> None:
    """Refuse requests to `app` whose address holds control characters."""
    app.before_request(check_address)


def check_address() -> None:
    """Raise Malformed for control characters in path or query, which no name of ours has."""
    texts = (request.path, *request.args, *request.args.values())
    if any(_CONTROL.search(text) for text in texts):
        raise Malformed("The address holds control characters.")


def check_printable(text: str) -> None:
    """Raise ValidationError for control characters."""
    if _CONTROL.search(text):
        raise ma.ValidationError("Must not hold control characters.")
