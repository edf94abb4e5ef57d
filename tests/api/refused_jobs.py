"""Requests for jobs that have a field which says what no job can do."""

import json

from tests.api.refusals import HUGE, space, tune

FIELDS = [
    tune("no target", "target", target=...),
    tune("no dataset", "dataset", dataset=...),
    tune("no model", "model", model=...),
    tune("unknown field", "max_trials", max_trials=3),
    tune("unknown field of the budget", "budget.trials", budget={"trials": 3}),
    tune("unknown field of the objective", "objective.goal", objective={"goal": "min"}),
    tune("unknown field of the evaluation", "evaluation.split", evaluation={"split": 0.2}),
    tune("model with slash", "model", model="a/b"),
    tune("model with line break", "model", model="a\n"),
    tune("model with space", "model", model="a b"),
    tune("model that hides", "model", model=".."),
    tune("model without name", "model", model=""),
    tune("model too long", "model", model="a" * 101),
    tune("model as number", "model", model=1),
    tune("model as null", "model", model=None),
    tune("target as number", "target", target=4),
    tune("target empty", "target", target=""),
    tune("boolean for a number", "budget.max_trials", budget={"max_trials": True}),
    tune("text for a number", "budget.max_trials", budget={"max_trials": "5"}),
    tune("fraction for a whole number", "budget.epochs", budget={"epochs": 2.5}),
    tune("zero trials", "budget.max_trials", budget={"max_trials": 0}),
    tune("negative epochs", "budget.epochs", budget={"epochs": -1}),
    tune("huge trials", "budget.max_trials", budget={"max_trials": HUGE}),
    tune("huge epochs", "budget.epochs", budget={"epochs": HUGE}),
    tune("zero seconds", "budget.max_seconds", budget={"max_seconds": 0}),
    tune("endless seconds", "budget.max_seconds", budget={"max_seconds": 10**400}),
    tune("no failed trial allowed", "budget.max_failed_trials", budget={"max_failed_trials": 0}),
    tune("target score as text", "budget.target", budget={"target": "0.1"}),
    tune("target score as boolean", "budget.target", budget={"target": False}),
    tune("budget as number", "budget", budget=5),
    tune("budget as null", "budget", budget=None),
    tune("seed as text", "seed", seed="1"),
    tune("seed negative", "seed", seed=-1),
    tune("seed huge", "seed", seed=2**31),
    tune("parallelism of none", "parallelism", parallelism=0),
    tune("executions of none", "executions_per_trial", executions_per_trial=0),
    tune("refit as number", "refit", refit=1),
    tune("unknown task", "task", task="clustering"),
    tune("task that does not fit", "task", task="regression"),
    tune("unknown network", "network", network="transformer"),
    tune("unknown metric", "objective.metric", objective={"metric": "val_mae"}),
    tune("metric as list", "objective.metric", objective={"metric": ["loss"]}),
    tune("unknown direction", "objective.direction", objective={"direction": "up"}),
    tune(
        "direction that chooses the worst",
        "objective.direction",
        objective={"metric": "accuracy", "direction": "min"},
    ),
    tune("unknown method", "evaluation.method", evaluation={"method": "bootstrap"}),
    tune("one fold", "evaluation.folds", evaluation={"method": "cv", "folds": 1}),
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
    tune("no patience", "early_stopping.patience", early_stopping={"patience": 0}),
    tune("negative delta", "early_stopping.min_delta", early_stopping={"min_delta": -1}),
    tune("no features", "features", features=[]),
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
    tune("unknown strategy", "strategy.name", strategy="evolution"),
    tune("strategy as number", "strategy", strategy=3),
    tune("strategy without name", "strategy.name", strategy={"points": 3}),
    tune("option of another strategy", "strategy.points", strategy={"name": "random", "points": 3}),
    tune("manual without trials", "strategy.trials", strategy="manual"),
    tune("manual with no trial", "strategy.trials", strategy={"name": "manual", "trials": []}),
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
        "initial points as text",
        "strategy.num_initial_points",
        strategy={"name": "bayesian", "num_initial_points": "3"},
    ),
    tune("alpha of zero", "strategy.alpha", strategy={"name": "bayesian", "alpha": 0}),
    tune("factor of one", "strategy.factor", strategy={"name": "hyperband", "factor": 1}),
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
    tune("space as text", "search_space", search_space="default"),
    space("unknown hyperparameter", ".unit", unit={"type": "int", "min": 1, "max": 2}),
    space("unknown activation", ".activation", activation="swoosh"),
    space(
        "unknown activation in a choice",
        ".activation.values.1",
        activation={"type": "choice", "values": ["relu", "swoosh"]},
    ),
    space("unknown optimizer", ".optimizer", optimizer="adma"),
    space("inverted range", ".units.min", units={"type": "int", "min": 9, "max": 3}),
    space(
        "log range that touches zero",
        ".learning_rate.min",
        learning_rate=RANGE | {"min": 0, "sampling": "log"},
    ),
    space("no units", ".units.min", units={"type": "int", "min": 0, "max": 3}),
    space("too many units", ".units.max", units={"type": "int", "min": 1, "max": HUGE}),
    space(
        "step that fits nothing",
        ".units.step",
        units={"type": "int", "min": 1, "max": 5, "step": 9},
    ),
    space("step of zero", ".units.step", units={"type": "int", "min": 1, "max": 5, "step": 0}),
    space(
        "log step of one",
        ".learning_rate.step",
        learning_rate=RANGE | {"sampling": "log", "step": 1},
    ),
    space(
        "unknown sampling", ".learning_rate.sampling", learning_rate=RANGE | {"sampling": "cubic"}
    ),
    space("unknown type", ".units.type", units={"type": "range", "min": 1, "max": 2}),
    space("no type", ".units.type", units={"min": 1, "max": 2}),
    space(
        "type that does not fit", ".activation.type", activation={"type": "int", "min": 1, "max": 2}
    ),
    space("no maximum", ".units.max", units={"type": "int", "min": 1}),
    space("boolean for a bound", ".units.min", units={"type": "int", "min": True, "max": 3}),
    space("text for a bound", ".units.max", units={"type": "int", "min": 1, "max": "3"}),
    space("unknown key", ".units.maximum", units={"type": "int", "min": 1, "max": 3, "maximum": 3}),
    space("empty choice", ".activation.values", activation={"type": "choice", "values": []}),
    space(
        "choice twice",
        ".activation.values",
        activation={"type": "choice", "values": ["relu", "relu"]},
    ),
    space(
        "condition without parent",
        ".momentum.when.optimizer",
        momentum={"type": "float", "min": 0, "max": 0.9, "when": {"optimizer": ["sgd"]}},
    ),
    space(
        "condition on itself",
        ".units.when.units",
        units={"type": "int", "min": 1, "max": 3, "when": {"units": [1]}},
    ),
    space(
        "conditions in a circle",
        ".dropout.when",
        l2={"type": "choice", "values": [0.0, 0.1], "when": {"dropout": [0.0]}},
        dropout={"type": "choice", "values": [0.0, 0.1], "when": {"l2": [0.0]}},
    ),
    space(
        "condition that is never met",
        ".momentum.when.optimizer.0",
        optimizer={"type": "choice", "values": ["adam", "sgd"]},
        momentum={"type": "float", "min": 0, "max": 0.9, "when": {"optimizer": ["rmsprop"]}},
    ),
    space(
        "per layer where there are none",
        ".batch_size.per_layer",
        batch_size={"type": "choice", "values": [8, 16], "per_layer": True},
    ),
    space("fixed value out of range", ".dropout", dropout=1.5),
    space("fixed value as boolean", ".units", units=True),
    space("fixed value as null", ".units", units=None),
    space("nested deeply", ".units", units=json.loads("[" * 50 + "]" * 50)),
]
