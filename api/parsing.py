"""Strict reading of requests: JSON bodies, names, addresses and the wanted form of the answer."""

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import chain
from typing import Any, NoReturn

import flask
import marshmallow as ma
import msgspec
from flask import Flask, request
from flask_smorest import Blueprint as SmorestBlueprint
from webargs import missing
from webargs.flaskparser import FlaskParser
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from api.hooks.limits import LimitedRequest
from api.services import services
from models.data.columns import NUL, NUL_RULE
from models.errors import Invalid, Malformed, UnsupportedMediaType
from models.telemetry import CONTROL

MEDIA_TYPES = {"json": "application/json", "csv": "text/csv"}  # of answers that may be tables

_CONTAINERS = frozenset({dict, list})
_REMEMBERED = 256  # characters of an `Accept` header that is parsed once


class StrictParser(FlaskParser):
    """Refuses NaN and infinities, which are not JSON, and bodies of another content type.

    Unknown query parameters are errors, as unknown fields of a body are.
    """

    DEFAULT_UNKNOWN_BY_LOCATION = {
        **FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION,
        "query": ma.RAISE,
    }

    def load_querystring(self, req: flask.Request, schema: ma.Schema) -> Any:
        """Return the query; raise Invalid for a parameter that is given twice and is no list."""
        fields = schema.fields
        for name, texts in req.args.lists():
            if len(texts) > 1 and not isinstance(fields.get(name), ma.fields.List):
                raise Invalid.at(name, "Give it once.")
        return super().load_querystring(req, schema)

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
    accept = request.environ.get("HTTP_ACCEPT", "")
    forms = tuple(media_types.items())
    return (_liked if len(accept) < _REMEMBERED else _liked.__wrapped__)(accept, forms)


@lru_cache
def _liked(accept: str, forms: tuple[tuple[str, str], ...]) -> str:
    names = {media_type: name for name, media_type in forms}
    default = forms[0][1]
    return names[parse_accept_header(accept, MIMEAccept).best_match(names, default) or default]


def parse_json(
    body: bytes, what: str = "The body", *, nan_is_null: bool = False, depth: int | None = None
) -> Any:
    """Return the value that `body` holds; raise Malformed if it is not JSON as in RFC 8259.

    `what` names it in messages. `nan_is_null` reads NaN, which some clients send for a missing
    value, as null. Raises Invalid for more than `depth` levels (None: those of the settings), and
    for NUL characters, which neither names nor databases can hold.
    """
    limit = services().settings.max_json_depth if depth is None else depth
    try:
        value = msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        value = _read_json(body, what, _nan_to_null if nan_is_null else _refuse_constant)
    if b"\\u0000" in body:
        refuse_nul(value)
    # No value is nested deeper than it has opening brackets.
    if body.count(b"[") + body.count(b"{") > limit:
        _check_depth(value, what, limit)
    return value


def _read_json(body: bytes, what: str, constant: Callable[[str], None]) -> Any:
    """Read what msgspec refuses: a byte order mark, a number beyond float64; or say what is wrong.

    What both accept they read alike.
    """
    try:
        value = json.loads(body.decode("utf-8-sig"), parse_constant=constant)
        if b"\\ud" in body.lower():
            # Half a surrogate pair is no character: nothing could store or send it.
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise Malformed(f"{what} is nested too deeply.") from None
    except ValueError as error:
        raise Malformed(f"{what} is not JSON: {error}") from None
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


def _check_depth(value: Any, what: str, limit: int) -> None:
    level = [value] if type(value) in _CONTAINERS else []
    for _ in range(limit):
        items = [each.values() if type(each) is dict else each for each in level]
        if _CONTAINERS.isdisjoint(map(type, chain.from_iterable(items))):
            return
        level = [item for item in chain.from_iterable(items) if type(item) in _CONTAINERS]
    raise Invalid.at(
        "_schema",
        f"{what} is nested deeper than the {limit} levels of LUTHIER_MAX_JSON_DEPTH.",
    )
