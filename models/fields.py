"""Strict marshmallow fields that requests and stored documents share."""

from collections.abc import Mapping
from typing import Any

import marshmallow as ma
from marshmallow.validate import Regexp

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z"
NAME_RULE = "Use 1 to 100 letters, digits, '.', '_' and '-', beginning with a letter or digit."


def described(text: str, **more: Any) -> dict[str, Any]:
    """Return the metadata of a field for the OpenAPI document."""
    return {"description": text, **more}


def model_name(**metadata: Any) -> ma.fields.String:
    """Make a field for a model's or alias's name: safe in paths, headers and log lines."""
    return ma.fields.String(
        required=True,
        validate=Regexp(NAME_PATTERN, error=NAME_RULE),
        metadata={"description": NAME_RULE, **metadata},
    )


class StrictInteger(ma.fields.Integer):
    """An integer that is written as one: no booleans, fractions or digits in quotes."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(strict=True, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, bool | str):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **kwargs)


class StrictFloat(ma.fields.Float):
    """A finite number: no booleans, no digits in quotes."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, bool | str):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **kwargs)


class StrictBoolean(ma.fields.Boolean):
    """`true` or `false`, not words or numbers that might mean them."""

    truthy = {True}
    falsy = {False}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


def flatten(messages: Any, path: str = "") -> dict[str, list[str]]:
    """Return nested marshmallow messages by the dotted path of their field."""
    if not isinstance(messages, Mapping):
        texts = messages if isinstance(messages, list) else [messages]
        return {path or "_schema": [str(text) for text in texts]}
    flat: dict[str, list[str]] = {}
    for key, value in messages.items():
        nested = path if key == "_schema" and path else f"{path}.{key}".lstrip(".")
        flat.update(flatten(value, nested))
    return flat
