"""Marshmallow fields and schemas for one entry of a search space, as JSON writes it."""

import math
from collections.abc import Mapping
from typing import Any

from marshmallow import (
    Schema,
    ValidationError,
    fields,
    post_load,
    validate,
    validates,
    validates_schema,
)

from models.space.hyperparameters import Condition, Hyperparameter
from models.space.parameters import Boolean, Choice, Float, Int, Parameter
from models.space.parsing import parsed, parsed_list
from models.space.space import SpaceEntry

# A grid of more steps than this is a continuous range in all but name.
MAX_STEPS = 100_000


class BooleanField(fields.Field[bool]):
    """true or false, and nothing that only looks like them."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> bool:
        if not isinstance(value, bool):
            raise ValidationError("Must be true or false.")
        return value


class WholeNumberField(fields.Field[int]):
    """A JSON number without a fraction; no text, no boolean."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValidationError("Must be a whole number.")
        return value


class NumberField(fields.Field[float]):
    """A finite JSON number; no text, no boolean."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValidationError("Must be a number.")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise ValidationError("Must be a finite number.")
        return number


class ConditionsField(fields.Field[tuple[Condition, ...]]):
    """An object of lists: the values that each parent must have."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> tuple[Condition, ...]:
        if not isinstance(value, Mapping):
            raise ValidationError("Must be an object of hyperparameters and lists of values.")
        errors = {
            parent: ["Must be a list of at least one value."]
            for parent, values in value.items()
            if not isinstance(values, list) or not values
        }
        if errors:
            raise ValidationError(errors)
        return tuple(Condition(parent, tuple(values)) for parent, values in value.items())


class EntrySchema(Schema):
    """What an entry of any type says about the hyperparameter `row`."""

    type = fields.String(required=True)
    per_layer = BooleanField(load_default=False)
    when = ConditionsField(load_default=())

    def __init__(self, row: Hyperparameter) -> None:
        super().__init__()
        self.row = row

    @validates("per_layer")
    def _check_per_layer(self, value: bool, data_key: str) -> None:
        if value and self.row.layers is None:
            raise ValidationError(f"{self.row.name} is not a property of a layer.")


class _RangeSchema(EntrySchema):
    sampling = fields.String(validate=validate.OneOf(["linear", "log"]), load_default="linear")

    @validates("min", "max")
    def _check_legal(self, value: float, data_key: str) -> None:
        parsed(self.row, value)

    @validates_schema
    def _check_range(self, data: Mapping[str, Any], **kwargs: Any) -> None:
        low, high = data["min"], data["max"]
        if low > high:
            raise ValidationError(f"Must not be above max ({high:g}).", "min")
        if data["sampling"] == "log" and low <= 0:
            raise ValidationError("Must be above 0 where sampling is log.", "min")
        if data["sampling"] == "log" and math.isinf(high / low):
            raise ValidationError("Is too small beside max.", "min")
        if data["step"] is not None:
            _check_step(low, high, data["step"], data["sampling"])


class IntSchema(_RangeSchema):
    """A range of whole numbers."""

    min = WholeNumberField(required=True)
    max = WholeNumberField(required=True)
    step = WholeNumberField(load_default=None)

    @post_load
    def _make(self, data: dict[str, Any], **kwargs: Any) -> SpaceEntry:
        return _entry(Int(data["min"], data["max"], data["step"], data["sampling"]), data)


class FloatSchema(_RangeSchema):
    """A range of numbers."""

    min = NumberField(required=True)
    max = NumberField(required=True)
    step = NumberField(load_default=None)

    @post_load
    def _make(self, data: dict[str, Any], **kwargs: Any) -> SpaceEntry:
        return _entry(Float(data["min"], data["max"], data["step"], data["sampling"]), data)


class ChoiceSchema(EntrySchema):
    """A list of values."""

    values = fields.List(fields.Raw(), required=True, validate=validate.Length(min=1))

    @validates("values")
    def _check_values(self, values: list[object], data_key: str) -> None:
        legal = parsed_list(self.row, values)
        repeated = sorted({str(value) for value in legal if legal.count(value) > 1})
        if repeated:
            raise ValidationError(f"Has values more than once: {', '.join(repeated)}.")

    @post_load
    def _make(self, data: dict[str, Any], **kwargs: Any) -> SpaceEntry:
        return _entry(Choice(tuple(parsed_list(self.row, data["values"]))), data)


class BooleanSchema(EntrySchema):
    """False or true."""

    @post_load
    def _make(self, data: dict[str, Any], **kwargs: Any) -> SpaceEntry:
        return _entry(Boolean(), data)


def _entry(parameter: Parameter, data: Mapping[str, Any]) -> SpaceEntry:
    return SpaceEntry(parameter, data["per_layer"], data["when"])


def _check_step(low: float, high: float, step: float, sampling: str) -> None:
    least = 1 if sampling == "log" else 0
    if step <= least:
        factor = ": with log sampling it is a factor" if sampling == "log" else ""
        raise ValidationError(f"Must be above {least}{factor}.", "step")
    if low == high:
        return
    span = high / low if sampling == "log" else high - low
    # 0.3 - 0.1 is a little below 0.2.
    if step > span * (1 + 1e-9):
        raise ValidationError("Is larger than the range: no second value fits.", "step")
    steps = math.log(span) / math.log(step) if sampling == "log" else span / step
    if steps > MAX_STEPS:
        raise ValidationError(
            f"Is too small: more than {MAX_STEPS:,} values. Leave it out to search all.", "step"
        )
