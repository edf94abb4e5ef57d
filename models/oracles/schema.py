"""Strategies out of JSON: every option is checked, every message lies at its field's path."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load, pre_load, validate

from models.fields import Reference, StrictInteger, described
from models.oracles.strategy import (
    MAX_POINTS_OF_A_RANGE,
    STRATEGIES,
    TPE,
    Auto,
    Bayesian,
    Grid,
    Hyperband,
    Manual,
    Random,
    Strategy,
    strategy_to_json,
)
from models.space.hyperparameters import unknown
from models.space.space import SearchSpace

MAX_LISTED_TRIALS = 10_000  # in one request

# Options of the Bayesian strategy that stored documents of older versions have.
RETIRED = {
    "alpha": "Has no effect any more: the noise of the scores is estimated. Leave it out.",
    "beta": "Has no effect any more: the search maximises the expected improvement. Leave it out.",
}


def without_retired(document: Any) -> Any:
    """Return the stored document of a strategy without the options that are no more."""
    if not isinstance(document, Mapping) or document.get("name") != Bayesian.name:
        return document
    return {name: value for name, value in document.items() if name not in RETIRED}


def _name(strategy: type[Strategy]) -> fields.String:
    return fields.String(required=True, validate=validate.OneOf([strategy.name]))


def _values_of_trials(minimum: int | None = None, **kwargs: Any) -> "fields.List[Any]":
    count = validate.Length(min=minimum, max=MAX_LISTED_TRIALS)
    return fields.List(fields.Dict(keys=fields.String()), validate=count, **kwargs)


def _initial_points() -> StrictInteger:
    return StrictInteger(
        load_default=None,
        allow_none=True,
        validate=validate.Range(1, MAX_LISTED_TRIALS),
        metadata=described("Trials before it learns. Default: a quarter of the budget, at most 6."),
    )


class _StrategySchema(Schema):
    initial_trials = _values_of_trials(
        metadata=described("Values tried first, beside the strategy's own trials.")
    )

    @post_load
    def _make(self, data: dict[str, Any], **kwargs: Any) -> Strategy:
        strategy = STRATEGIES[data.pop("name")]
        lists = {name: tuple(given) for name, given in data.items() if isinstance(given, list)}
        return strategy(**data | lists)


class AutoStrategySchema(_StrategySchema):
    """The strategy that suits the space and the budget; the job shows which it is."""

    name = _name(Auto)


class ManualStrategySchema(_StrategySchema):
    """The trials that you list, in their order."""

    name = _name(Manual)
    trials = _values_of_trials(1, required=True, metadata=described("The values of each trial."))


class GridStrategySchema(_StrategySchema):
    """Every combination, once."""

    name = _name(Grid)
    points = StrictInteger(
        load_default=Grid().points,
        validate=validate.Range(1, MAX_POINTS_OF_A_RANGE),
        metadata=described("Values taken from a range without a step."),
    )


class RandomStrategySchema(_StrategySchema):
    """Combinations drawn at random."""

    name = _name(Random)


class BayesianStrategySchema(_StrategySchema):
    """The values that a Gaussian process over the results so far expects to be best."""

    name = _name(Bayesian)
    num_initial_points = _initial_points()

    @pre_load
    def _refuse_retired(self, data: Mapping[str, Any], **_: Any) -> Mapping[str, Any]:
        if retired := [name for name in RETIRED if name in data]:
            raise ValidationError({name: [RETIRED[name]] for name in retired})
        return data


class TPEStrategySchema(_StrategySchema):
    """Values that good trials had more often than bad ones: Optuna's estimator."""

    name = _name(TPE)
    num_initial_points = _initial_points()


class HyperbandStrategySchema(_StrategySchema):
    """Many short trials, of which the best go on for longer."""

    name = _name(Hyperband)
    max_epochs = StrictInteger(
        load_default=None,
        allow_none=True,
        validate=validate.Range(2, 100_000),
        metadata=described("Epochs of the longest trials. Default: `budget.epochs`."),
    )
    factor = StrictInteger(
        load_default=Hyperband().factor,
        validate=validate.Range(2, 1000),
        metadata=described("One trial in so many goes on."),
    )
    iterations = StrictInteger(
        load_default=Hyperband().iterations,
        validate=validate.Range(1, 100),
        metadata=described("Times that the whole schedule runs."),
    )
    min_epochs = StrictInteger(
        load_default=Hyperband().min_epochs,
        validate=validate.Range(1, 100_000),
        metadata=described("Epochs of the shortest trainings, at most those of the longest."),
    )


_SCHEMAS: Mapping[str, type[_StrategySchema]] = {
    Auto.name: AutoStrategySchema,
    Manual.name: ManualStrategySchema,
    Grid.name: GridStrategySchema,
    Random.name: RandomStrategySchema,
    Bayesian.name: BayesianStrategySchema,
    TPE.name: TPEStrategySchema,
    Hyperband.name: HyperbandStrategySchema,
}


class StrategyField(fields.Field[Strategy]):
    """The `strategy` of a request: a name, or an object of the name and that strategy's options."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Strategy:
        if isinstance(value, str):
            value = {"name": value}
        if not isinstance(value, Mapping):
            raise ValidationError("Must be a strategy's name or an object.")
        name = value.get("name")
        if not isinstance(name, str) or name not in _SCHEMAS:
            raise ValidationError({"name": [unknown("strategy", name, _SCHEMAS)]})
        strategy: Strategy = _SCHEMAS[name]().load(dict(value))
        return strategy

    def _serialize(
        self, value: Strategy | None, attr: str | None, obj: Any, **kwargs: Any
    ) -> dict[str, Any] | None:
        return None if value is None else strategy_to_json(value)

    def openapi(self, reference: Reference) -> dict[str, Any]:
        """Return the JSON Schema of the field."""
        names = [name for name in _SCHEMAS if name != Manual.name]  # which needs its trials
        schemas = [reference(schema) for schema in _SCHEMAS.values()]
        return {
            "description": "Which values are tried next: a strategy's name, or name and options."
            " Default: `auto`.",
            "oneOf": [{"type": "string", "enum": names}, *schemas],
            "example": {"name": "bayesian", "num_initial_points": 10},
        }


def check_strategy(
    strategy: Strategy, space: SearchSpace, task: str | None = None, has_image: bool = False
) -> None:
    """Check what of a strategy depends on the space and the task: the values of listed trials.

    Raises ValidationError with the messages at `strategy.trials.<index>.<name>`, or the same of
    `initial_trials`.
    """
    own = strategy.trials if isinstance(strategy, Manual) else ()
    errors: dict[str, object] = {}
    for name, listed in (("trials", own), ("initial_trials", strategy.initial_trials)):
        try:
            space.check_all(listed, task, has_image)
        except ValidationError as error:
            errors[name] = error.messages
    if errors:
        raise ValidationError({"strategy": errors})
