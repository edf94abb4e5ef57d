"""Requests that the API refuses, and how they are written down.

Limits of single fields are tested over the contract (`test_bounds.py`), search spaces and
strategies beside their schemas.
"""

import json
from dataclasses import dataclass, field
from typing import Any

TUNE = {"model": "m", "dataset": "builtin:iris", "target": "target"}
ROWS: list[dict[str, Any]] = [{"a": i, "b": i % 3, "y": i * 1.5} for i in range(12)]
HUGE = 10**30
JSON = "application/json"


@dataclass(frozen=True)
class Case:
    """A request, and how it is refused."""

    name: str
    call: str  # method and path
    status: int
    paths: tuple[str, ...] = ()  # of the messages in `errors`
    options: dict[str, Any] = field(default_factory=dict)


def tune(name: str, *paths: str, status: int = 422, **changes: Any) -> Case:
    body = {key: value for key, value in (TUNE | changes).items() if value is not ...}
    return Case(name, "POST /tune", status, paths, {"json": body})


def space(name: str, path: str, **entries: Any) -> Case:
    return tune(name, f"search_space{path}", search_space=entries)


def raw(name: str, call: str, body: bytes, status: int, kind: str = JSON) -> Case:
    return Case(name, call, status, (), {"data": body, "content_type": kind})


def rows(name: str, *paths: str, records: Any = ROWS, **changes: Any) -> Case:
    dataset = {"records": records}
    return tune(name, *paths, **({"dataset": dataset, "target": "y"} | changes))


def upload(
    case: str, content: bytes, *paths: str, file: str = "t.csv", status: int = 422, **form: str
) -> Case:
    data = {"file": (content, file), **form}
    return Case(case, "POST /datasets", status, paths, {"data": data})


def inline(case: str, *paths: str, status: int = 422, **body: Any) -> Case:
    return Case(case, "POST /datasets", status, paths, {"json": body})


def predict(name: str, *paths: str, status: int = 422, **changes: Any) -> Case:
    body = {"model": "m", "instances": [{"a": 1}]} | changes
    body = {key: value for key, value in body.items() if value is not ...}
    return Case(name, "POST /predict", status, paths, {"json": body})


def get(name: str, path: str, *paths: str, status: int = 422) -> Case:
    return Case(name, f"GET {path}", status, paths)


FIELDS = [
    rows(
        "rate of negative numbers",
        "search_space.loss",
        records=[{"a": i, "y": i - 0.5} for i in range(12)],
        search_space={"loss": "poisson"},
    ),
    tune("no target", "target", target=...),
    tune("no dataset", "dataset", dataset=...),
    tune("no model", "model", model=...),
    tune("unknown field", "max_trials", max_trials=3),
    tune("unknown field of the budget", "budget.trials", budget={"trials": 3}),
    tune("unknown field of the objective", "objective.goal", objective={"goal": "min"}),
    tune("unknown field of the evaluation", "evaluation.split", evaluation={"split": 0.2}),
    tune("model as number", "model", model=1),
    tune("model as null", "model", model=None),
    tune("target as number", "target", target=4),
    tune("boolean for a number", "budget.max_trials", budget={"max_trials": True}),
    tune("text for a number", "budget.max_trials", budget={"max_trials": "5"}),
    tune("fraction for a whole number", "budget.epochs", budget={"epochs": 2.5}),
    tune("share of all", "budget.max_failed_trials", budget={"max_failed_trials": 0}),
    tune("number and a half", "budget.max_failed_trials", budget={"max_failed_trials": 2.5}),
    tune("endless seconds", "budget.max_seconds", budget={"max_seconds": 10**400}),
    tune("target score as text", "budget.target", budget={"target": "0.1"}),
    tune("target score as boolean", "budget.target", budget={"target": False}),
    tune("budget as number", "budget", budget=5),
    tune("budget as null", "budget", budget=None),
    tune("seed as text", "seed", seed="1"),
    tune("refit as number", "refit", refit=1),
    tune("task that does not fit", "task", task="regression"),
    tune("unknown metric", "objective.metric", objective={"metric": "val_mae"}),
    tune("metric as list", "objective.metric", objective={"metric": ["loss"]}),
    tune("unknown watched metric", "early_stopping.metric", early_stopping={"metric": "rmse"}),
    tune(
        "direction that chooses the worst",
        "objective.direction",
        objective={"metric": "accuracy", "direction": "min"},
    ),
    tune(
        "nothing validated on",
        "evaluation.validation_fraction",
        evaluation={"validation_fraction": 0},
    ),
    tune("all tested on", "evaluation.test_fraction", evaluation={"test_fraction": 1.0}),
    tune(
        "nothing left to train on",
        "evaluation.test_fraction",
        evaluation={"validation_fraction": 0.5, "test_fraction": 0.5},
    ),
    tune(
        "validation fraction as text",
        "evaluation.validation_fraction",
        evaluation={"validation_fraction": "0.2"},
    ),
    tune("features as text", "features", features="age"),
    tune("feature as number", "features.0", features=[3]),
    tune("unknown feature of a builtin", "features", features=["sepal"]),
    tune(
        "several faults at once",
        "budget.epochs",
        "model",
        "seed",
        model="a b",
        seed=-1,
        budget={"epochs": 0},
    ),
]

STRATEGIES = [
    tune("option of another strategy", "strategy.points", strategy={"name": "random", "points": 3}),
    tune(
        "manual with an illegal value",
        "strategy.trials.1.units",
        strategy={"name": "manual", "trials": [{"units": 8}, {"units": 0}]},
    ),
    tune(
        "manual with an unknown hyperparameter",
        "strategy.trials.0.unit",
        strategy={"name": "manual", "trials": [{"unit": 8}]},
    ),
    tune(
        "first trial with a loss of another task",
        "strategy.initial_trials.0.loss",
        strategy={"name": "random", "initial_trials": [{"loss": "mae"}]},
    ),
    tune(
        "grid of ten million points",
        "search_space",
        strategy={"name": "grid", "points": 10},
        search_space={
            name: {"type": "float", "min": low, "max": high}
            for name, low, high in [
                ("learning_rate", 1e-4, 1e-2),
                ("dropout", 0.0, 0.5),
                ("l2", 0.0, 0.1),
                ("weight_decay", 0.0, 0.1),
            ]
        }
        | {
            "units": {"type": "int", "min": 1, "max": 4096, "step": 4},
            "num_layers": {"type": "int", "min": 1, "max": 20, "step": 1},
        },
    ),
]

RANGE = {"type": "float", "min": 1e-4, "max": 1e-2}
SPACES = [
    tune("space as list", "search_space", search_space=[1]),
    space("unknown hyperparameter", ".unit", unit={"type": "int", "min": 1, "max": 2}),
    space(
        "unknown activation in a choice",
        ".activation.values.1",
        activation={"type": "choice", "values": ["relu", "swoosh"]},
    ),
    space("inverted range", ".units.min", units={"type": "int", "min": 9, "max": 3}),
    space(
        "condition that is never met",
        ".momentum.when.optimizer.0",
        optimizer={"type": "choice", "values": ["adam", "sgd"]},
        momentum={"type": "float", "min": 0, "max": 0.9, "when": {"optimizer": ["rmsprop"]}},
    ),
    space("fixed value out of range", ".dropout", dropout=1.5),
    space("loss of another task", ".loss", loss="huber"),
    space("unknown loss", ".loss", loss="tweedie"),
    tune(
        "encoding of an image",
        "search_space.numeric_encoding",
        dataset="builtin:digits",
        search_space={"numeric_encoding": "robust"},
    ),
    tune(
        "first trial with an encoding of an image",
        "strategy.initial_trials.0.missing_indicators",
        dataset="builtin:digits",
        strategy={"name": "random", "initial_trials": [{"missing_indicators": True}]},
    ),
    space("unknown encoding", ".numeric_encoding", numeric_encoding="spline"),
    space("bins of another encoding", ".bins", numeric_encoding="periodic", bins=8),
    space("bins without an encoding", ".bins", bins=8),
    space("one bin", ".bins", numeric_encoding="piecewise", bins=1),
    space("frequencies of another encoding", ".frequencies", frequencies=8),
    space("embedding that is none", ".category_embedding_size", category_embedding_size=4),
    space("delta of another loss", ".huber_delta", huber_delta=0.5),
    space("betas of another optimizer", ".beta_1", optimizer="sgd", beta_1=0.5),
    space("nested deeply", ".units", units=json.loads("[" * 50 + "]" * 50)),
]
