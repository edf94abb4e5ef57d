"""Fields and names that several schemas share."""

from typing import Any

import marshmallow as ma
from marshmallow.validate import Length, Range

from models.fields import (
    NAME_RULE,
    StrictBoolean,
    StrictFloat,
    StrictInteger,
    described,
    model_name,
)

__all__ = ["StrictBoolean", "StrictFloat", "StrictInteger", "described", "model_name"]

ALIAS_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z"
ALIAS_RULE = NAME_RULE.replace("100", "64")

LARGEST_NUMBER = 2**31 - 1  # that every database keeps as an integer


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
