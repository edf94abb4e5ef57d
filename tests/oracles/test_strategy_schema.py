import json

import pytest
from marshmallow import Schema, ValidationError

from models.oracles.schema import StrategyField, check_strategy
from models.oracles.strategy import (
    TPE,
    Auto,
    Bayesian,
    Grid,
    Hyperband,
    Manual,
    Random,
    strategy_to_json,
)


class TuneSchema(Schema):
    strategy = StrategyField()


def load(document):
    return TuneSchema().load({"strategy": document})["strategy"]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("auto", Auto()),
        ("random", Random()),
        ("grid", Grid(points=5)),
        ({"name": "grid", "points": 3}, Grid(3)),
        ("bayesian", Bayesian(None)),
        ({"name": "bayesian", "num_initial_points": 4}, Bayesian(4)),
        ("tpe", TPE()),
        ({"name": "tpe", "num_initial_points": 4}, TPE(4)),
        ({"name": "bayesian", "num_initial_points": None}, Bayesian()),
        ("hyperband", Hyperband(None, 3, 1, 1)),
        (
            {"name": "hyperband", "max_epochs": 2, "factor": 2, "iterations": 3, "min_epochs": 2},
            Hyperband(2, 2, 3, 2),
        ),
        ({"name": "manual", "trials": [{"units": 3}]}, Manual(({"units": 3},))),
    ],
)
def test_a_strategy_loads_and_comes_back(document, expected):
    strategy = load(document)
    assert strategy == expected
    written = json.loads(json.dumps(strategy_to_json(strategy), allow_nan=False))
    assert load(written) == strategy
    assert TuneSchema().dump({"strategy": strategy})["strategy"] == written


@pytest.mark.parametrize(
    ("document", "path", "text"),
    [
        (3, (), "name or an object"),
        ("baysian", ("name",), "Did you mean 'bayesian'"),
        ({}, ("name",), "Known: auto, manual, grid, random, bayesian, tpe, hyperband"),
        ({"name": ["random"]}, ("name",), "Unknown strategy"),
        ({"name": "random", "points": 3}, ("points",), "Unknown field"),
        ({"name": "grid", "points": 0}, ("points",), "greater than or equal to 1"),
        ({"name": "grid", "points": True}, ("points",), "whole number"),
        ({"name": "bayesian", "num_initial_points": 0}, ("num_initial_points",), "equal to 1"),
        ({"name": "bayesian", "alpha": 1e-4}, ("alpha",), "no effect any more"),
        ({"name": "bayesian", "alpha": 1e-4, "beta": 2.6}, ("beta",), "no effect any more"),
        ({"name": "hyperband", "max_epochs": 1}, ("max_epochs",), "equal to 2"),
        ({"name": "hyperband", "factor": 1}, ("factor",), "equal to 2"),
        ({"name": "hyperband", "factor": 2.5}, ("factor",), "whole number"),
        ({"name": "hyperband", "iterations": 0}, ("iterations",), "equal to 1"),
        ("manual", ("trials",), "Missing data"),
        ({"name": "manual", "trials": []}, ("trials",), "between 1 and"),
        ({"name": "manual", "trials": [3]}, ("trials", 0), "mapping"),
    ],
)
def test_a_broken_strategy_is_refused_at_the_path_of_the_fault(document, path, text):
    with pytest.raises(ValidationError) as caught:
        load(document)
    messages = caught.value.messages_dict["strategy"]
    for step in path:
        messages = messages[step]
    assert text in messages[0]


def test_manual_trials_are_checked_against_the_space(conditional):
    check_strategy(load({"name": "manual", "trials": [{"units": 1}, {}]}), conditional)
    check_strategy(Random(), conditional)
    with pytest.raises(ValidationError) as caught:
        check_strategy(Manual(({}, {"units": 0, "momentum": 0.1})), conditional)
    trials = caught.value.messages_dict["strategy"]["trials"]
    assert set(trials) == {1}
    assert "at least 1" in trials[1]["units"][0]
    assert "no effect" in trials[1]["momentum"][0]
