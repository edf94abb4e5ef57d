"""The request that starts a tuning job."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import marshmallow as ma
from marshmallow.validate import Length, OneOf, Range

from api.schemas.objective import ObjectiveField
from api.schemas.pruning import PruningSchema
from api.schemas.weights import ClassWeightField
from models.data.library.builtin import PREFIX as BUILTIN_PREFIX
from models.data.preparation.splitting import Evaluation
from models.data.preparation.tasks import Task
from models.fields import StrictBoolean, StrictFloat, StrictInteger, described, model_name
from models.jobs.intake import TuneRequest
from models.jobs.spec import Budget, NarrowFrom
from models.oracles.plan import DEFAULT_TRIALS
from models.oracles.schema import StrategyField
from models.oracles.strategy import Bayesian, Random
from models.space.hyperparameters import NETWORKS
from models.space.schema import SearchSpaceField, load_space
from models.trials.objective import METRICS
from models.trials.spec import EarlyStopping

_METRIC_NAMES = sorted({name for names in METRICS.values() for name in names})


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


class ObjectiveSchema(ma.Schema):
    """The metric that ranks trials."""

    metric = ma.fields.String(
        load_default="val_loss",
        metadata=described(f"One of {', '.join(_METRIC_NAMES)}; `val_` may stand before it."),
    )
    direction = ma.fields.String(
        load_default=None,
        allow_none=True,
        validate=OneOf(["min", "max"]),
        metadata=described("Follows from the metric; one that disagrees is refused."),
    )


class BudgetSchema(ma.Schema):
    """When the search ends: at whichever limit is met first."""

    max_trials = StrictInteger(
        load_default=None,
        allow_none=True,
        validate=Range(1, 100_000),
        metadata=described(
            f"Trials at most. Default: {DEFAULT_TRIALS} for random and bayesian; all that"
            " the strategy plans for manual, grid and hyperband."
        ),
    )
    epochs = StrictInteger(
        load_default=50,
        validate=Range(1, 100_000),
        metadata=described("Epochs at most for one training."),
    )
    max_seconds = StrictFloat(
        load_default=None,
        allow_none=True,
        validate=Range(min=0, min_inclusive=False),
        metadata=described("Seconds of searching; trials under way are then ended."),
    )
    max_failed_trials = StrictInteger(
        load_default=10,
        validate=Range(min=1),
        metadata=described("The search ends when this many trials have failed."),
    )
    target = StrictFloat(
        load_default=None,
        allow_none=True,
        metadata=described("The search ends when the objective is this good."),
    )


class NarrowFromSchema(ma.Schema):
    """The ended job whose best trials bound the search space."""

    job = ma.fields.String(required=True, validate=Length(1, 64), metadata=described("Its id."))
    top = StrictFloat(
        load_default=0.2,
        validate=Range(min=0, max=1, min_inclusive=False),
        metadata=described("Share of its scored trials that count as the best; 3 at least."),
    )

    @ma.post_load
    def _make(self, data: dict[str, Any], **_: Any) -> NarrowFrom:
        return NarrowFrom(**data)


class EvaluationSchema(ma.Schema):
    """How trials are judged, and what is held back from them all."""

    method = ma.fields.String(
        load_default="holdout",
        validate=OneOf(["holdout", "cv", "train"]),
        metadata=described(
            "`holdout`: one validation part. `cv`: k-fold cross-validation."
            " `train`: score on the training rows themselves."
        ),
    )
    validation_fraction = StrictFloat(
        load_default=0.2,
        metadata=described("Share of all rows to validate on (holdout)."),
    )
    test_fraction = StrictFloat(
        load_default=None,
        allow_none=True,
        metadata=described(
            "Share of all rows that no trial sees; the winner is scored on it. Default: 0.1,"
            " and 0 with `train`."
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

    @ma.post_load
    def _make(self, data: dict[str, Any], **_: Any) -> Evaluation:
        if data["test_fraction"] is None:
            data["test_fraction"] = 0.0 if data["method"] == "train" else 0.1
        return Evaluation(**data)


class EarlyStoppingSchema(ma.Schema):
    """When a training that no longer improves is ended; its best weights are kept."""

    patience = StrictInteger(
        load_default=10,
        validate=Range(min=1),
        metadata=described("Epochs in a row without a better validation loss."),
    )
    min_delta = StrictFloat(
        load_default=0.0,
        validate=Range(min=0),
        metadata=described("How much better counts, in the loss's own units."),
    )

    @ma.post_load
    def _make(self, data: dict[str, Any], **_: Any) -> EarlyStopping:
        return EarlyStopping(**data)


class TuneSchema(ma.Schema):
    """A tuning job to start. `model`, `dataset` and `target` are required.

    With `narrow_from` only `model` is: the data, the network and the aim are those of that job.
    """

    model = model_name(example="house-prices")
    dataset = DatasetField(
        load_default=None,
        allow_none=False,
        metadata=described(
            f"Id of a dataset, `{BUILTIN_PREFIX}` and a name, records, or arrays."
            " Required, unless `narrow_from` names a job.",
            oneOf=[
                {"type": "string", "example": "builtin:diabetes"},
                {
                    "type": "object",
                    "required": ["records"],
                    "properties": {"records": {"type": "array", "items": {"type": "object"}}},
                },
                {
                    "type": "object",
                    "required": ["x", "y"],
                    "properties": {
                        "x": {"type": "array", "items": {}},
                        "y": {"type": "array", "items": {}},
                    },
                },
            ],
        ),
    )
    target = ma.fields.String(
        load_default=None,
        allow_none=False,
        validate=Length(min=1),
        metadata=described(
            "Column to predict. Required, unless `narrow_from` names a job.", example="target"
        ),
    )
    features = ma.fields.List(
        ma.fields.String(),
        load_default=None,
        allow_none=True,
        validate=Length(min=1),
        metadata=described("Columns to learn from. Default: all that are not ignored."),
    )
    task = ma.fields.String(
        load_default="auto",
        validate=OneOf(["auto", *Task]),
        metadata=described("What is predicted; `auto` follows from the target."),
    )
    class_weight = ClassWeightField(
        load_default=None,
        allow_none=True,
        metadata=described(
            "What the training rows of each class count in the training loss: `balanced` for rows /"
            " (classes * rows of the class), or numbers by label; classes left out count 1."
            " Classification only.",
            oneOf=[
                {"type": "string", "enum": ["balanced"]},
                {
                    "type": "object",
                    "additionalProperties": {
                        "type": "number",
                        "minimum": 0,
                        "exclusiveMinimum": True,
                    },
                    "example": {"healthy": 1.0, "ill": 10.0},
                },
            ],
        ),
    )
    sample_weight = ma.fields.String(
        load_default=None,
        allow_none=True,
        validate=Length(min=1),
        metadata=described(
            "Column of numbers from 0 up that says what each training row counts in the training"
            " loss. It is no feature, and predictions do not ask for it."
        ),
    )
    network = ma.fields.String(
        load_default="mlp",
        validate=OneOf(list(NETWORKS)),
        metadata=described("Family of networks; `cnn` learns from images."),
    )
    search_space = SearchSpaceField(load_default=None, allow_none=True)
    strategy = StrategyField(load_default=Random)
    objective = ObjectiveField(ObjectiveSchema, load_default=lambda: ObjectiveSchema().load({}))
    budget = ma.fields.Nested(BudgetSchema, load_default=lambda: BudgetSchema().load({}))
    evaluation = ma.fields.Nested(EvaluationSchema, load_default=Evaluation)
    executions_per_trial = StrictInteger(
        load_default=1,
        validate=Range(1, 100),
        metadata=described("Times that each trial is trained, with other seeds; scores are means."),
    )
    early_stopping = ma.fields.Nested(
        EarlyStoppingSchema,
        load_default=EarlyStopping,
        allow_none=True,
        metadata=described("`null` trains every epoch."),
    )
    pruning = ma.fields.Nested(
        PruningSchema,
        load_default=None,
        allow_none=True,
        metadata=described("Stop hopeless trials early. Default: every trial is trained out."),
    )
    parallelism = StrictInteger(
        load_default=None,
        allow_none=True,
        validate=Range(1, 1024),
        metadata=described("Trials at once. Default: as many as the worker has slots."),
    )
    seed = StrictInteger(
        load_default=0,
        validate=Range(0, 2**31 - 1),
        metadata=described("The same request and seed give the same trials and scores."),
    )
    refit = StrictBoolean(
        load_default=False,
        metadata=described(
            "Train the winner anew on training and validation rows together. Default: its"
            " weights are kept. Always so with `cv`."
        ),
    )

    reuse = StrictBoolean(
        load_default=True,
        metadata=described("Take over the results of equal trials of other jobs."),
    )
    narrow_from = ma.fields.Nested(
        NarrowFromSchema,
        load_default=None,
        allow_none=True,
        metadata=described(
            "Search where the best trials of an ended job lie, on the same data and with the same"
            " aim, and begin with the results that it has there. Leave out `search_space`."
        ),
    )

    @ma.validates_schema(skip_on_field_errors=False, pass_original=True)
    def _check_source(self, data: Any, original: Any, **_: Any) -> None:
        if not isinstance(original, Mapping):
            return
        if original.get("narrow_from") is None:
            missing = [name for name in ("dataset", "target") if name not in original]
            if missing:
                text = str(ma.fields.Field.default_error_messages["required"])
                raise ma.ValidationError({name: [text] for name in missing})
        elif original.get("search_space") is not None:
            raise ma.ValidationError("It is made from the job of narrow_from.", "search_space")

    @ma.post_load(pass_original=True)
    def _make(self, data: dict[str, Any], original: Mapping[str, Any], **_: Any) -> TuneRequest:
        space = data.pop("search_space")
        if space is None and data["narrow_from"] is None:
            space = load_space(None, data["network"])
        objective = data.pop("objective")
        budget = Budget(**data.pop("budget"))
        if budget.max_trials is None and isinstance(data["strategy"], Random | Bayesian):
            budget = replace(budget, max_trials=DEFAULT_TRIALS)
        features = data.pop("features")
        executions = data.pop("executions_per_trial")
        return TuneRequest(
            **data,
            space=space,
            metric=objective["metric"],
            direction=objective["direction"],
            budget=budget,
            features=tuple(features) if features is not None else None,
            executions=executions,
            named=frozenset(original) | {f"budget.{name}" for name in original.get("budget", {})},
        )
