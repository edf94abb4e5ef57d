"""The JSON form of a job's spec: in requests, in the database and in answers.

A stored document is the dump of `JobSpecSchema` with the number `schema_version`.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import marshmallow as ma
from marshmallow.validate import Length, OneOf, Range

from models.data.library.builtin import PREFIX as BUILTIN_PREFIX
from models.data.preparation.splitting import Evaluation
from models.data.preparation.tasks import Task
from models.errors import Invalid, Unreadable
from models.fields import (
    AutoBoolean,
    AutoInteger,
    StrictBoolean,
    StrictFloat,
    StrictInteger,
    described,
    description_field,
    flatten,
    model_name,
    tags_field,
)
from models.jobs.objectives import check_objectives
from models.jobs.schema.objectives import ConstraintsField, ObjectiveField, ThresholdField
from models.jobs.schema.parts import (
    BudgetSchema,
    ClassWeightField,
    DatasetField,
    EarlyStoppingSchema,
    EvaluationSchema,
    NarrowFromSchema,
    PruningSchema,
    with_target_score,
)
from models.jobs.spec import JobSpec
from models.oracles.schema import StrategyField, without_retired
from models.oracles.strategy import DEFAULT_TRIALS, ENDLESS, Auto
from models.registry.catalog.promotion import Promote
from models.space.hyperparameters import NETWORKS
from models.space.schema import SearchSpaceField, load_space
from models.trials.spec import THRESHOLD_METRICS, Objective

MAX_ENSEMBLE = 20
SCHEMA_VERSION = 2  # of stored documents; 1 had no number and `budget.target`


class JobSpecSchema(ma.Schema):
    """A tuning job to start. `model`, `dataset` and `target` are required.

    With `narrow_from` only `model` is: the data, the network and the aim are those of that job.
    """

    model = model_name(example="house-prices")
    dataset = DatasetField(
        load_default=None,
        allow_none=False,
        metadata=described(
            f"Id of a dataset, `{BUILTIN_PREFIX}` and a name, records, or arrays."
            " Required, unless `narrow_from` names a job."
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
        metadata=described(
            "Columns to learn from. Default: all that are not ignored, nor `evaluation.group` or"
            " `evaluation.time`."
        ),
    )
    left_out = ma.fields.List(
        ma.fields.String(),
        data_key="exclude",
        attribute="exclude",
        load_default=None,
        allow_none=True,
        metadata=described(
            "Columns to leave out, such as one that is known only after the target.",
            example=["date_of_payment"],
        ),
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
            " Classification only."
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
    space = SearchSpaceField(data_key="search_space", load_default=None, allow_none=True)
    strategy = StrategyField(load_default=Auto)
    objectives = ObjectiveField(
        data_key="objective",
        load_default=(Objective("val_loss", "min"),),
        metadata=described(
            "The metric that ranks trials: its name or an object; or a list of up to three metrics,"
            " of which the trials that no other beats form the front.",
            default="val_loss",
        ),
    )
    constraints = ConstraintsField(
        load_default=None,
        allow_none=True,
        metadata=described(
            "Bounds of metrics, `min`, `max` or both; a trial that breaks one is never the winner.",
            example={"parameters": {"max": 50000}, "recall": {"min": 0.8}},
        ),
    )
    budget = ma.fields.Nested(BudgetSchema, load_default=lambda: BudgetSchema().load({}))
    evaluation = ma.fields.Nested(EvaluationSchema, load_default=lambda: Evaluation("auto"))
    executions = StrictInteger(
        data_key="executions_per_trial",
        load_default=1,
        validate=Range(1, 100),
        metadata=described(
            "Times that each trial is trained, with other seeds. Its score is the mean. Without a"
            " refit an ensemble serves all; one network is the best execution, which is"
            " `training.execution` of its evidence."
        ),
    )
    early_stopping = ma.fields.Nested(
        EarlyStoppingSchema,
        load_default=lambda: EarlyStoppingSchema().load({}),
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
    allow_negative = StrictBoolean(
        load_default=False,
        metadata=described(
            "Regression: predict numbers below 0 even if no target in the dataset is. Default:"
            " such predictions are 0."
        ),
    )
    ensemble = AutoInteger(
        MAX_ENSEMBLE,
        load_default=None,
        metadata=described(
            "Networks of the version at most, whose mean it answers; 1 serves the best trial alone."
            " `auto` is 8 for a multilayer perceptron with one objective and no constraint, else 1."
            " Several trials are taken only if they are better on rows that they were not chosen"
            " on.",
            default="auto",
        ),
    )
    threshold = ThresholdField(
        load_default=None,
        allow_none=False,
        metadata=described(
            "Of two classes: from which probability on the positive class is predicted. A number,"
            " or the metric that it is chosen for on rows that were not learned from:"
            f" {', '.join(THRESHOLD_METRICS)}. `auto` chooses it for an objective that is one of"
            " these; else the more probable class is predicted.",
            default="auto",
            example={"metric": "f1"},
        ),
    )
    refit = AutoBoolean(
        load_default=None,
        metadata=described(
            "Train the winner again on training and validation rows together. `auto` does so for a"
            " multilayer perceptron and up to 10,000 rows, unless a dataset to validate on is"
            " named. Always so with `cv`.",
            default="auto",
        ),
    )
    promote = ma.fields.Enum(
        Promote,
        by_value=True,
        load_default=Promote.IF_BETTER,
        metadata=described(
            "When `champion` moves to the new version: `if_better` if it is better than the present"
            " one by more than noise, on rows that neither learned from. The first version of a"
            " model always gets it. `always` needs the scope `promote`."
        ),
    )
    min_gain = StrictFloat(
        load_default=0.0,
        validate=Range(0),
        metadata=described(
            "With `if_better`: the gain that the whole 95 % interval must exceed, in the units of"
            " the metric (those of the target for `rmse` and `mae`)."
        ),
    )
    breaking = StrictBoolean(
        load_default=False,
        metadata=described(
            "Allow the promotion of a version whose inputs, target, task or classes are not those"
            " of the champion, which breaks its clients. Needs the scope `promote`."
        ),
    )
    reuse = StrictBoolean(
        load_default=True,
        metadata=described("Use the results of equal trials of other jobs."),
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
    tags = tags_field(
        load_default=list,
        load_only=True,
        metadata=described(
            "What to find the job by: see `tag` of `GET /tune`.", example=["prices", "Q3"]
        ),
    )
    description = description_field(
        load_default=None, load_only=True, metadata=described("What the job is for.")
    )

    @ma.validates_schema(skip_on_field_errors=False, pass_original=True)
    def _check_source(self, data: Any, original: Any, **_: Any) -> None:
        if not isinstance(original, Mapping):
            return
        missing = [name for name in ("dataset", "target") if name not in original]
        if missing and original.get("narrow_from") is None:
            text = str(ma.fields.Field.default_error_messages["required"])
            raise ma.ValidationError({name: [text] for name in missing})

    @ma.post_load(pass_original=True)
    def _make(self, data: dict[str, Any], original: Mapping[str, Any], **_: Any) -> JobSpec:
        if data["space"] is None and data["narrow_from"] is None:
            data["space"] = load_space(None, data["network"])
        data["task"] = None if data["task"] == "auto" else Task(data["task"])
        data["objective"], *others = data.pop("objectives")
        data["other_objectives"] = tuple(others)
        data["constraints"] = data["constraints"] or ()
        data["features"] = data["features"] and tuple(data["features"])
        data["tags"] = tuple(data["tags"])
        data["exclude"] = tuple(data["exclude"]) if data["exclude"] else None
        if data["budget"].max_trials is None and isinstance(data["strategy"], ENDLESS):
            data["budget"] = replace(data["budget"], max_trials=DEFAULT_TRIALS)
        named = frozenset(original) | {f"budget.{name}" for name in original.get("budget", {})}
        return JobSpec(**data, named=named)


# What documents mean that were stored before there were these fields.
_BEFORE: Mapping[str, Any] = {"ensemble": 1, "refit": False}
_MAX_KEPT = 64 * 1024  # characters of a document whose spec is kept in memory
_SCHEMA = JobSpecSchema()  # making one takes as long as loading a document by it


def dump_spec(spec: JobSpec) -> dict[str, Any]:
    """Return the document of a decided spec, which `load_spec` reads back to an equal one."""
    document: dict[str, Any] = _SCHEMA.dump(spec)
    return {"schema_version": SCHEMA_VERSION, **document}


def shown_request(document: Any) -> dict[str, Any]:
    """Return a stored document as a request, under the names of this version; {} if damaged."""
    if not isinstance(document, Mapping):
        return {}
    request = {name: value for name, value in document.items() if name != "schema_version"}
    budget = request.get("budget")
    if isinstance(budget, Mapping) and "target" in budget:
        request["budget"] = with_target_score(budget)
    if "strategy" in request:
        request["strategy"] = without_retired(request["strategy"])
    return request


def load_spec(document: Any, what: str) -> JobSpec:
    """Read a stored document; Unreadable, naming `what` and the field, where that is impossible."""
    if not isinstance(document, Mapping):
        raise Unreadable(what, "It is not a JSON object.")
    fields = dict(document)
    version = fields.pop("schema_version", 1)
    if version not in range(1, SCHEMA_VERSION + 1):
        known = f"{version!r} is not a version from 1 to {SCHEMA_VERSION}."
        raise Unreadable(what, {"schema_version": [known]})
    if "strategy" in fields:
        fields["strategy"] = without_retired(fields["strategy"])
    text = json.dumps({**_BEFORE, **fields})
    try:
        return _load(text) if len(text) <= _MAX_KEPT else _load.__wrapped__(text)
    except ma.ValidationError as error:
        raise Unreadable(what, flatten(error.messages)) from None
    except Invalid as error:
        raise Unreadable(what, error.errors) from None


@lru_cache(2048)
def _load(fields: str) -> JobSpec:
    """Read the fields of a document, which takes milliseconds: lists are asked for every second."""
    spec: JobSpec = _SCHEMA.load(json.loads(fields))
    for path, value in _decided(spec).items():
        if value is None:
            raise Invalid.at(path, "It was not decided.")
    check_objectives(spec)
    return spec


def _decided(spec: JobSpec) -> dict[str, object]:
    """Return what a stored document holds in any case, by its path."""
    decided: dict[str, object] = {"task": spec.task, "budget.epochs": spec.budget.epochs}
    if spec.early_stopping is not None:
        decided["early_stopping.patience"] = spec.early_stopping.patience
    return decided
