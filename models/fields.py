"""Marshmallow fields, validators and rules that the schemas of all rooms share."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields
from marshmallow.validate import Length, Regexp

LARGEST_NUMBER = 2**31 - 1  # that every database keeps as an integer

Reference = Callable[[Schema | type[Schema]], dict[str, Any]]
"""Add a schema to the components of the OpenAPI document and return the reference to it.

A field with a method `openapi(reference)` describes itself: the method returns its JSON Schema.
"""


def described(text: str, **more: Any) -> dict[str, Any]:
    """Metadata of a field for the OpenAPI document."""
    return {"description": text, **more}


class StrictInteger(fields.Integer):
    """An integer that is written as one: no boolean, fraction or text."""

    default_error_messages = {"invalid": "Must be a whole number."}

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.make_error("invalid")
        return value


class StrictFloat(fields.Float):
    """A finite number: no boolean, no text."""

    default_error_messages = {
        "invalid": "Must be a number.",
        "special": "Must be a finite number.",
    }

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.make_error("invalid")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise self.make_error("special")
        return number


class CountOrShare(StrictFloat):
    """A whole number from 1 up, or a share: a number between 0 and 1, without these."""

    default_error_messages = {
        "form": "Must be a whole number from 1 up, or a share above 0 and below 1."
    }

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> float:
        number = super()._deserialize(value, attr, data, **kwargs)
        if not (0 < number < 1 or (number >= 1 and number.is_integer())):
            raise self.make_error("form")
        return int(number) if number >= 1 else number

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        return value

    def openapi(self, _: Reference) -> dict[str, Any]:
        """Return the JSON Schema of the field."""
        share = {"minimum": 0, "exclusiveMinimum": True, "maximum": 1, "exclusiveMaximum": True}
        return {"oneOf": [{"type": "integer", "minimum": 1}, {"type": "number", **share}]}


class AutoInteger(fields.Field[int | None]):
    """A whole number from 1 to `most`, or `auto`, which is read as None."""

    default_error_messages = {"form": 'Must be "auto" or a whole number from 1 to {most}.'}

    def __init__(self, most: int, **options: Any) -> None:
        super().__init__(**options)
        self._most = most

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> int | None:
        if value == "auto":
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= self._most:
            raise self.make_error("form", most=self._most)
        return value

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        return "auto" if value is None else value

    def openapi(self, _: Reference) -> dict[str, Any]:
        """Return the JSON Schema of the field."""
        number = {"type": "integer", "minimum": 1, "maximum": self._most}
        return {"oneOf": [{"type": "string", "enum": ["auto"]}, number]}


class KeyedField(fields.Dict):
    """A dictionary whose messages lie under its keys, without a level "value" or "key" between."""

    def deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the dictionary; raise ValidationError with messages by key."""
        try:
            return super().deserialize(value, *args, **kwargs)
        except ValidationError as error:
            if not isinstance(error.messages, dict):
                raise
            raise ValidationError(
                {key: found.get("value", found.get("key")) for key, found in error.messages.items()}
            ) from None


class AutoBoolean(fields.Field[bool | None]):
    """`true`, `false`, or `auto`, which is read as None."""

    default_error_messages = {"form": 'Must be true, false or "auto".'}

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> bool | None:
        if value == "auto":
            return None
        if not isinstance(value, bool):
            raise self.make_error("form")
        return value

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        return "auto" if value is None else value

    def openapi(self, _: Reference) -> dict[str, Any]:
        """Return the JSON Schema of the field."""
        return {"oneOf": [{"type": "boolean"}, {"type": "string", "enum": ["auto"]}]}


class StrictBoolean(fields.Boolean):
    """`true` or `false`, not words or numbers that might mean them."""

    default_error_messages = {"invalid": "Must be true or false."}

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid")
        return value


class FullMatch(Regexp):
    """A pattern that the whole text must match.

    `^…$` means that to every JSON Schema validator; Python alone lets `$` match before a line break
    at the end.
    """

    def __init__(self, pattern: str, error: str) -> None:
        super().__init__(pattern, error=error)
        self.pattern = pattern
        self.rule = error

    def __call__(self, value: Any) -> Any:
        """Return `value` or raise ValidationError."""
        if re.fullmatch(self.pattern, value) is None:
            raise ValidationError(self.rule)
        return value


def _name(letters: int) -> FullMatch:
    rule = (
        f"Use 1 to {letters} letters, digits, '.', '_' and '-', beginning with a letter or digit."
    )
    return FullMatch(rf"^[A-Za-z0-9][A-Za-z0-9._-]{{0,{letters - 1}}}$", error=rule)


MODEL_NAME = _name(100)
"""The rule for names of models: safe in paths, headers and log lines."""

ALIAS_NAME = _name(64)
"""The same for aliases."""


def model_name(**metadata: Any) -> fields.String:
    """Return a required field for the name of a model."""
    return fields.String(
        required=True, validate=MODEL_NAME, metadata=described(MODEL_NAME.rule, **metadata)
    )


MAX_TAGS = 20  # of one job
MAX_TAG = 64  # characters
MAX_DESCRIPTION = 2000  # characters
_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff"
TAG = FullMatch(
    rf"^[^\s{_CONTROL}]([^{_CONTROL}]*[^\s{_CONTROL}])?$",
    error="Must not begin or end with a space, nor hold control characters.",
)
"""The rule for tags of jobs, beside their length."""


def tags_field(**options: Any) -> fields.Field[Any]:
    """Return a field for the tags of a job: different ones, in the order given."""
    return fields.List(
        fields.String(validate=[Length(1, MAX_TAG), TAG]),
        validate=[Length(max=MAX_TAGS), _check_different],
        **options,
    )


def _check_different(texts: list[str]) -> None:
    if repeated := sorted({text for text in texts if texts.count(text) > 1}):
        raise ValidationError(f"Given more than once: {', '.join(map(repr, repeated))}.")


def description_field(**options: Any) -> fields.String:
    """Return a field for the description of a job."""
    return fields.String(allow_none=True, validate=Length(1, MAX_DESCRIPTION), **options)


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
