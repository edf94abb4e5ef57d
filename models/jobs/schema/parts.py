"""The parts of a job's spec in JSON: budget, evaluation, pruning and weights."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import marshmallow as ma
from marshmallow.validate import Length, OneOf, Range

from models.data.preparation.splitting import Evaluation
from models.data.preparation.weighting import (
    MAX_WEIGHT,
    MIN_WEIGHT,
    ClassWeight,
    class_weight_from_json,
    class_weight_to_json,
)
from models.fields import (
    CountOrShare,
    KeyedField,
    Reference,
    StrictFloat,
    StrictInteger,
    described,
)
from models.jobs.pruning import RULES, AshaRule, MedianRule, PruningRule
from models.jobs.spec import FAILURES_SPARED, Budget, NarrowFrom
from models.networks.steps import MIN_PATIENCE
from models.oracles.strategy import DEFAULT_TRIALS
from models.trials.spec import METRICS, EarlyStopping

MAX_EPOCHS = MAX_TRIALS = 100_000
ROW_METRICS = sorted({name for names in METRICS.values() for name in names})


class DatasetField(ma.fields.Field[Any]):
    """A dataset's id, a builtin name, or rows."""

    default_error_messages = {
        "form": (
            'Give the id of a dataset, "builtin:" and a name, {{"records": [...]}}'
            ' or {{"x": [...], "y": [...]}}.'
        )
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, str) and value:
            return value
        if isinstance(value, dict) and set(value) in ({"records"}, {"x", "y"}):
            return value
        raise self.make_error("form")

    def openapi(self, _: Reference) -> dict[str, Any]:
        """Return the JSON Schema of the field."""
        rows = {"type": "array", "items": {"type": "object"}}
        numbers = {"type": "array", "items": {}}
        return {
            "oneOf": [
                {"type": "string", "minLength": 1, "example": "builtin:diabetes"},
                _object(records=rows),
                _object(x=numbers, y=numbers),
            ]
        }


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


class ClassWeightField(ma.fields.Field[Any]):
    """`"balanced"`, or a positive number for each class by its label."""

    default_error_messages = {
        "form": 'Give "balanced" or an object with a positive number for each class.',
        "empty": "Name at least one class.",
    }

    def _deserialize(
        self, value: Any, attr: str | None, data: Any, **kwargs: Any
    ) -> ClassWeight | None:
        if value == "balanced":
            return class_weight_from_json(value)
        if not isinstance(value, dict):
            raise self.make_error("form")
        if not value:
            raise self.make_error("empty")
        factors = KeyedField(
            keys=ma.fields.String(), values=StrictFloat(validate=Range(MIN_WEIGHT, MAX_WEIGHT))
        )
        return class_weight_from_json(factors.deserialize(value))

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        return class_weight_to_json(value)

    def openapi(self, _: Reference) -> dict[str, Any]:
        """Return the JSON Schema of the field."""
        factor = {"type": "number", "minimum": MIN_WEIGHT, "maximum": MAX_WEIGHT}
        return {
            "oneOf": [
                {"type": "string", "enum": ["balanced"]},
                {
                    "type": "object",
                    "minProperties": 1,
                    "additionalProperties": factor,
                    "example": {"healthy": 1.0, "ill": 10.0},
                },
            ]
        }


class BudgetSchema(ma.Schema):
    """When the search ends: at whichever limit is met first."""

    max_trials = StrictInteger(
        load_default=None,
        allow_none=True,
        validate=Range(1, MAX_TRIALS),
        metadata=described(
            f"Trials at most. Default: {DEFAULT_TRIALS}; for manual, grid and hyperband all"
            " that the strategy plans."
        ),
    )
    epochs = StrictInteger(
        load_default=None,
        allow_none=True,
        validate=Range(1, MAX_EPOCHS),
        metadata=described(
            "Epochs at most for one training. Default: as many as make a number of steps; they"
            " follow from the rows to train on and the smallest `batch_size`."
        ),
    )
    max_seconds = StrictFloat(
        load_default=None,
        allow_none=True,
        validate=Range(min=0, min_inclusive=False),
        metadata=described(
            "Seconds of searching; trials still running then are stopped and scored from their"
            " best epoch."
        ),
    )
    max_failed_trials = CountOrShare(
        load_default=0.5,
        metadata=described(
            "The search ends when this many trials have failed. A number below 1 is a share of the"
            f" trials that have ended, and then at least {FAILURES_SPARED} must have failed."
        ),
    )
    target_score = StrictFloat(
        load_default=None,
        allow_none=True,
        metadata=described("The search ends when the objective is this good."),
    )
    target = StrictFloat(
        load_only=True,
        allow_none=True,
        metadata=described("Old name of `target_score`.", deprecated=True),
    )

    @ma.post_load
    def _make(self, data: dict[str, Any], **_: Any) -> Budget:
        return Budget(**with_target_score(data))


def with_target_score(budget: Mapping[str, Any]) -> dict[str, Any]:
    """Return the limits with `target`, the name before 0.2.0, under its new name."""
    limits = dict(budget)
    if "target" not in limits:
        return limits
    old = limits.pop("target")
    if limits.get("target_score") not in (None, old):
        raise ma.ValidationError("Is the old name of target_score; give one.", "target")
    return limits | {"target_score": old}


class NarrowFromSchema(ma.Schema):
    """The ended job whose best trials bound the search space."""

    job = ma.fields.String(required=True, validate=Length(1, 64), metadata=described("Its id."))
    top = StrictFloat(
        load_default=0.2,
        validate=Range(min=0, max=1, min_inclusive=False),
        metadata=described("Share of its scored trials that count as the best; at least 3."),
    )

    @ma.post_load
    def _make(self, data: dict[str, Any], **_: Any) -> NarrowFrom:
        return NarrowFrom(**data)


class EvaluationSchema(ma.Schema):
    """How trials are scored, and what is held back from them all."""

    method = ma.fields.String(
        load_default="auto",
        validate=OneOf(["auto", "holdout", "cv", "train"]),
        metadata=described(
            "`holdout`: one validation part. `cv`: k-fold cross-validation. `train`: score on the"
            " training rows themselves. `auto`: `cv` for an mlp on a small table, else `holdout`."
        ),
    )
    validation_fraction = StrictFloat(
        load_default=None,
        metadata=described(
            "Share of all rows to validate on (holdout). Default: 0.2. `auto` is `holdout` with it."
        ),
    )
    test_fraction = StrictFloat(
        load_default=None,
        allow_none=True,
        metadata=described(
            "Share of all rows that no trial sees; the winner is scored on it. Default: 0.1,"
            " and 0 with `train` and `test_dataset`."
        ),
    )
    folds = StrictInteger(
        load_default=5, validate=Range(2, 100), metadata=described("Number of folds (cv).")
    )
    validation_dataset = ma.fields.String(
        load_default=None,
        allow_none=True,
        metadata=described("Id of a dataset to validate on instead of a held-out part."),
    )
    test_dataset = ma.fields.String(
        load_default=None,
        allow_none=True,
        metadata=described("Id of a dataset whose rows are the test."),
    )
    group = ma.fields.String(
        load_default=None,
        allow_none=True,
        metadata=described(
            "Column of groups, such as patients: rows with the same value are in the same part."
            " It is no feature."
        ),
    )
    time = ma.fields.String(
        load_default=None,
        allow_none=True,
        metadata=described(
            "Datetime or number column: train on the past, validate on the later rows, test on the"
            " latest. With `cv` the past expands. It is a feature only if `features` names it."
        ),
    )
    seed = StrictInteger(
        load_default=None,
        allow_none=True,
        validate=Range(0, 2**31 - 1),
        metadata=described("Seed of the split. Default: the job's."),
    )

    @ma.post_load
    def _make(self, data: dict[str, Any], **_: Any) -> Evaluation:
        if data["test_fraction"] is None:
            has_none = data["method"] == "train" or data["test_dataset"] is not None
            data["test_fraction"] = 0.0 if has_none else 0.1
        if data["validation_fraction"] is None:
            data["validation_fraction"] = 0.2
        elif data["method"] == "auto":
            data["method"] = "holdout"
        return Evaluation(**data)


class EarlyStoppingSchema(ma.Schema):
    """When a training that no longer improves is ended; the weights of its best epoch are kept."""

    patience = StrictInteger(
        load_default=None,
        allow_none=True,
        validate=Range(min=1),
        metadata=described(
            "Epochs in a row in which `metric` was not better. Default: an eighth of"
            f" `budget.epochs`, at least {MIN_PATIENCE}."
        ),
    )
    min_delta = StrictFloat(
        load_default=0.0,
        validate=Range(min=0),
        metadata=described("How much better counts, in the metric's own units."),
    )
    metric = ma.fields.String(
        load_default=None,
        allow_none=True,
        metadata=described(
            f"Monitored after each epoch: it ends the training and chooses the best epoch. One of"
            f" {', '.join(ROW_METRICS)}; `val_` may stand before it. Default: the objective."
        ),
    )
    start_from_epoch = StrictInteger(
        load_default=0,
        validate=Range(0, MAX_EPOCHS),
        metadata=described(
            "So many epochs at the start count neither for the patience nor as the best epoch."
        ),
    )

    @ma.post_load
    def _make(self, data: dict[str, Any], **_: Any) -> EarlyStopping:
        return EarlyStopping(**data)


class PruningSchema(ma.Schema):
    """Which running trials are stopped early; docs/pruning.md describes the rules."""

    rule = ma.fields.String(
        required=True,
        validate=OneOf(list(RULES)),
        metadata=described(
            "`median`: stop a trial that is worse than half of the completed ones were on average."
            " `asha`: let only the best share go on at each rung."
        ),
    )
    min_epochs = StrictInteger(
        validate=Range(1, MAX_EPOCHS),
        metadata=described(
            "Epochs that every trial gets; the first rung of `asha`.",
            default=MedianRule().min_epochs,
        ),
    )
    min_trials = StrictInteger(
        validate=Range(1, MAX_TRIALS),
        metadata=described(
            "median: trials that must have completed before any is stopped.",
            default=MedianRule().min_trials,
        ),
    )
    reduction_factor = StrictInteger(
        validate=Range(2, 1000),
        metadata=described(
            "asha: one trial in so many goes on from a rung, to so many times its epochs.",
            default=AshaRule().reduction_factor,
        ),
    )

    @ma.post_load
    def _make(self, data: dict[str, Any], **_: Any) -> PruningRule:
        rule = RULES[data.pop("rule")]
        foreign = data.keys() - {option.name for option in fields(rule)}
        if foreign:
            raise ma.ValidationError(
                {name: [f"The rule {rule.rule!r} has no such option."] for name in foreign}
            )
        return rule(**data)
