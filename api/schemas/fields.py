"""Fields and names that several schemas share."""

from typing import Any

import marshmallow as ma
from marshmallow.validate import Length, Range, Regexp

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z"
NAME_RULE = "Use 1 to 100 letters, digits, '.', '_' and '-', beginning with a letter or digit."

ALIAS_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z"
ALIAS_RULE = NAME_RULE.replace("100", "64")

LARGEST_NUMBER = 2**31 - 1  # that every database keeps as an integer


def model_name(**metadata: Any) -> ma.fields.String:
    """A field for the name of a model or alias: safe in paths, headers and log lines."""
    return ma.fields.String(
        required=True,
        validate=Regexp(NAME_PATTERN, error=NAME_RULE),
        metadata={"description": NAME_RULE, **metadata},
    )


def described(text: str, **more: Any) -> dict[str, Any]:
    """Metadata of a field for the OpenAPI document."""
    return {"description": text, **more}


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


class PageQuery(ma.Schema):
    """Which part of a list to answer."""

    limit = ma.fields.Integer(
        load_default=100,
        validate=Range(1, 1000),
        metadata={"description": "Most items to answer."},
    )
    after = ma.fields.String(
        load_default=None,
        validate=Length(1, 100),
        metadata={"description": "`next` of the page before."},
    )


def page(items: list[Any], limit: int, cursor: Any) -> dict[str, Any]:
    """The body of a list; `cursor(item)` names the place after an item."""
    return {
        "items": items[:limit],
        "next": str(cursor(items[limit - 1])) if len(items) > limit else None,
    }
