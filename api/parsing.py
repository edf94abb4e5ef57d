"""Strict reading of requests: JSON bodies, names, addresses and the wanted form of the answer."""

import json
from collections.abc import Mapping
from itertools import chain
from typing import Any, NoReturn

import flask
import marshmallow as ma
from flask import Flask, request
from flask_smorest import Blueprint as SmorestBlueprint
from webargs import missing
from webargs.flaskparser import FlaskParser

from api.hooks.limits import LimitedRequest
from api.services import services
from models.data.columns import NUL, NUL_RULE
from models.errors import Invalid, Malformed, UnsupportedMediaType
from models.telemetry import CONTROL

MEDIA_TYPES = {"json": "application/json", "csv": "text/csv"}  # of answers that may be tables

_CONTAINERS = (dict, list)


class StrictParser(FlaskParser):
    """Refuses NaN and infinities, which are not JSON, and bodies of another content type.

    Unknown query parameters are errors, as unknown fields of a body are.
    """

    DEFAULT_UNKNOWN_BY_LOCATION = {
        **FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION,
        "query": ma.RAISE,
    }

    def _raw_load_json(self, req: flask.Request) -> Any:
        assert isinstance(req, LimitedRequest)
        body = req.read_whole()
        if not body:
            return missing
        if not req.is_json:
            given = req.mimetype or "none"
            raise UnsupportedMediaType(
                f"The body's content type is {given}; send it as application/json."
            )
        return parse_json(body)


class Blueprint(SmorestBlueprint):  # type: ignore[misc]
    """A group of routes whose JSON bodies are read strictly."""

    ARGUMENTS_PARSER = StrictParser()


def register(app: Flask) -> None:
    """Refuse requests to `app` whose address holds control characters or is spelled otherwise."""
    app.url_map.merge_slashes = False
    app.before_request(check_address)


def check_address() -> None:
    """Raise Malformed for control characters in path or query, which no name of ours has.

    Also for a request of HTTP/1.1 that does not name one host (RFC 9112, section 3.2).
    """
    environ = request.environ
    host = environ.get("HTTP_HOST", "")
    if "," in host or (not host and environ["SERVER_PROTOCOL"] == "HTTP/1.1"):
        raise Malformed("A request of HTTP/1.1 needs one Host header.")
    if request.path.isprintable() and not request.query_string:
        return
    query = chain.from_iterable(request.args.items(multi=True))
    if any(CONTROL.search(text) for text in (request.path, *query)):
        raise Malformed("The address holds control characters.")


def check_printable(text: str) -> None:
    """Raise ValidationError for control characters."""
    if CONTROL.search(text):
        raise ma.ValidationError("Must not hold control characters.")


def wanted_format(asked: str | None, media_types: Mapping[str, str]) -> str:
    """Return the form named in the query, else the one that `Accept` likes best, else the first.

    `media_types` has the media type of each form by its name.
    """
    if asked is not None:
        return asked
    names = {media_type: name for name, media_type in media_types.items()}
    default = next(iter(names))
    return names[request.accept_mimetypes.best_match(names, default) or default]


def parse_json(body: bytes, what: str = "The body", *, nan_is_null: bool = False) -> Any:
    """Return the value that `body` holds; raise Malformed if it is not JSON as in RFC 8259.

    `what` names it in messages. `nan_is_null` reads NaN, which some clients send for a missing
    value, as null. Raises Invalid for too many levels and for NUL characters, which neither names
    nor databases can hold.
    """
    constant = _nan_to_null if nan_is_null else _refuse_constant
    try:
        value = json.loads(body.decode("utf-8-sig"), parse_constant=constant)
        if b"\\ud" in body.lower():
            # Half a surrogate pair is no character: nothing could store or send it.
            json.dumps(value, ensure_ascii=False).encode()
        if b"\\u0000" in body.lower():
            refuse_nul(value)
    except RecursionError:
        raise Malformed(f"{what} is nested too deeply.") from None
    except ValueError as error:
        raise Malformed(f"{what} is not JSON: {error}") from None
    _check_depth(value, what)
    return value


def refuse_nul(value: Any, path: str = "") -> None:
    """Raise Invalid at the path of the first text in `value` that holds a NUL character.

    It is refused whichever database is used: what one keeps, another must keep as well.
    """
    if isinstance(value, str):
        if NUL in value:
            raise Invalid.at(path or "body", NUL_RULE)
        return
    listed = isinstance(value, list)
    items = enumerate(value) if listed else value.items() if isinstance(value, dict) else ()
    for name, item in items:
        below = f"{path}.{name}".lstrip(".").replace(NUL, r"\u0000")
        refuse_nul(name if not listed else None, below)
        refuse_nul(item, below)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number; use null")


def _nan_to_null(name: str) -> None:
    if name != "NaN":
        _refuse_constant(name)


def _check_depth(value: Any, what: str) -> None:
    limit = services().settings.max_json_depth
    level = [value]
    for _ in range(limit):
        level = [
            item
            for container in level
            if isinstance(container, _CONTAINERS)
            for item in (container.values() if isinstance(container, dict) else container)
            if isinstance(item, _CONTAINERS)
        ]
        if not level:
            return
    raise Invalid.at(
        "_schema",
        f"{what} is nested deeper than the {limit} levels of LUTHIER_MAX_JSON_DEPTH.",
    )
