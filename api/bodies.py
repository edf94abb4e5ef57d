"""Strict reading of JSON bodies, and blueprints that use it."""

import json
from typing import Any, NoReturn

import flask
import marshmallow as ma
from flask_smorest import Blueprint as SmorestBlueprint
from webargs import missing
from webargs.flaskparser import FlaskParser

from api.limits import check_depth
from models.data.columns import NUL, NUL_RULE
from models.errors import Invalid, Malformed, UnsupportedMediaType


class StrictParser(FlaskParser):
    """Refuses NaN and infinities, which are not JSON, and bodies of another content type.

    Unknown query parameters are errors, as unknown fields of a body are.
    """

    DEFAULT_UNKNOWN_BY_LOCATION = {
        **FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION,
        "query": ma.RAISE,
    }

    def _raw_load_json(self, req: flask.Request) -> Any:
        body = req.get_data(cache=True)
        if not body:
            return missing
        if not req.is_json:
            given = req.mimetype or "none"
            raise UnsupportedMediaType(
                f"The body's content type is {given}; send it as application/json."
            )
        return parse_json(body)


def parse_json(body: bytes) -> Any:
    """The value that `body` holds; Malformed if it is not JSON as RFC 8259 has it.

    Raises Invalid for what is nested too deeply and for NUL characters, which neither names nor
    databases can hold.
    """
    try:
        value = json.loads(body.decode("utf-8-sig"), parse_constant=_refuse_constant)
        if b"\\ud" in body.lower():
            # Half a surrogate pair is no character: nothing could store or send it.
            json.dumps(value, ensure_ascii=False).encode()
        if b"\\u0000" in body.lower():
            refuse_nul(value)
    except RecursionError:
        raise Malformed("The body is nested too deeply.") from None
    except ValueError as error:
        raise Malformed(f"The body is not JSON: {error}") from None
    check_depth(value)
    return value


def refuse_nul(value: Any, path: str = "") -> None:
    """Raise Invalid at the path of the first text in `value` with a character that is no text.

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


class Blueprint(SmorestBlueprint):  # type: ignore[misc]
    """A group of routes whose JSON bodies are read strictly."""

    ARGUMENTS_PARSER = StrictParser()
