"""Strategies out of JSON: every option is checked, every message lies at its field's path."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load, validate

from models.oracles.strategy import (
    STRATEGIES,
    Bayesian,
    Grid,
    Hyperband,
    Manual,
    Random,
    Strategy,
    strategy_to_json,
)
from models.space.fields import NumberField, WholeNumberField
from models.space.hyperparameters import unknown
from models.space.space import SearchSpace

_OPENAPI = {
    "description": "Which values are tried next: a strategy's name, or its name and options.",
    "oneOf": [
        {"type": "string", "enum": list(STRATEGIES)},
        {
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": {"type": "string", "enum": list(STRATEGIES)},
                "initial_trials": {
                    "type": "array",
                    "items": {"type": "object"},
                    "description": "Values tried first, beside the strategy's own trials.",
                },
                "trials": {
                    "type": "array",
                    "minItems": 1,
                    "items": {"type": "object"},
                    "description": "manual: the values of each trial, in order.",
                },
                "points": {
                    "type": "integer",
                    "minimum": 1,
                    "default": Grid().points,
                    "description": "grid: values taken from a range without a step.",
                },
                "num_initial_points": {
                    "type": "integer",
                    "minimum": 1,
                    "description": "bayesian: random trials first; 3 for each dimension.",
                },
                "alpha": {
                    "type": "number",
                    "default": Bayesian().alpha,
                    "description": "bayesian: expected noise of the scores, above 0.",
                },
                "beta": {
                    "type": "number",
                    "minimum": 0,
                    "default": Bayesian().beta,
                    "description": "bayesian: the larger, the more it explores.",
                },
                "max_epochs": {
                    "type": "integer",
                    "minimum": 2,
                    "description": "hyperband: epochs of the longest trials; budget.epochs.",
                },
                "factor": {
                    "type": "integer",
                    "minimum": 2,
                    "default": Hyperband().factor,
                    "description": "hyperband: one trial in so many goes on.",
                },
                "iterations": {
                    "type": "integer",
                    "minimum": 1,
                    "default": Hyperband().iterations,
                    "description": "hyperband: times that the whole schedule runs.",
                },
            },
            "additionalProperties": False,
        },
    ],
    "example": {"name": "bayesian", "num_initial_points": 10},
}


_MOST_TRIALS = 10_000  # that a request may list


def _values_of_trials(least: int, **kwargs: Any) -> "fields.List[Any]":
    count = validate.Length(min=least, max=_MOST_TRIALS)
    return fields.List(fields.Dict(keys=fields.String()), validate=count, **kwargs)


class _StrategySchema(Schema):
    strategy: type[Strategy]
    initial_trials = _values_of_trials(0)

    @post_load
    def _make(self, data: dict[str, Any], **kwargs: Any) -> Strategy:
        lists = {name: tuple(given) for name, given in data.items() if isinstance(given, list)}
        return self.strategy(**data | lists)


class ManualSchema(_StrategySchema):
    """Options of `manual`."""

    strategy = Manual
    trials = _values_of_trials(1, required=True)


class GridSchema(_StrategySchema):
    """Options of `grid`."""

    strategy = Grid
    points = WholeNumberField(validate=validate.Range(1, 1000))


class RandomSchema(_StrategySchema):
    """`random` has no options of its own."""

    strategy = Random


class BayesianSchema(_StrategySchema):
    """Options of `bayesian`."""

    strategy = Bayesian
    num_initial_points = WholeNumberField(allow_none=True, validate=validate.Range(min=1))
    alpha = NumberField(validate=validate.Range(min=0, min_inclusive=False))
    beta = NumberField(validate=validate.Range(min=0))


class HyperbandSchema(_StrategySchema):
    """Options of `hyperband`."""

    strategy = Hyperband
    max_epochs = WholeNumberField(allow_none=True, validate=validate.Range(2, 100_000))
    factor = WholeNumberField(validate=validate.Range(2, 1000))
    iterations = WholeNumberField(validate=validate.Range(1, 100))


_SCHEMAS: Mapping[str, type[_StrategySchema]] = {
    Manual.name: ManualSchema,
    Grid.name: GridSchema,
    Random.name: RandomSchema,
    Bayesian.name: BayesianSchema,
    Hyperband.name: HyperbandSchema,
}


class StrategyField(fields.Field[Strategy]):
    """The `strategy` of a request: a name, or an object of the name and that strategy's options."""

    def __init__(self, **kwargs: Any) -> None:
        metadata = {**_OPENAPI, **(kwargs.pop("metadata", None) or {})}
        super().__init__(metadata=metadata, **kwargs)

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Strategy:
        if isinstance(value, str):
            value = {"name": value}
        if not isinstance(value, Mapping):
            raise ValidationError("Must be a strategy's name or an object.")
        options = dict(value)
        name = options.pop("name", None)
        if not isinstance(name, str) or name not in _SCHEMAS:
            raise ValidationError({"name": [unknown("strategy", name, _SCHEMAS)]})
        strategy: Strategy = _SCHEMAS[name]().load(options)
        return strategy

    def _serialize(
        self, value: Strategy | None, attr: str | None, obj: Any, **kwargs: Any
    ) -> dict[str, Any] | None:
        return None if value is None else strategy_to_json(value)


def check_strategy(strategy: Strategy, space: SearchSpace) -> None:
    """Check what of a strategy depends on the search space: the values of listed trials.

    Raises ValidationError with the messages at `strategy.trials.<index>.<name>`, or the same of
    `initial_trials`.
    """
    own = strategy.trials if isinstance(strategy, Manual) else ()
    errors: dict[str, object] = {}
    for name, listed in (("trials", own), ("initial_trials", strategy.initial_trials)):
        try:
            space.check_all(listed)
        except ValidationError as error:
            errors[name] = error.messages
    if errors:
        raise ValidationError({"strategy": errors})
