"""Metrics of the network, and of the class that is named, of real trials."""

from dataclasses import replace

import numpy as np
import pytest

from models.data.preparation.tasks import Task
from models.registry.onnx.latency import measure_latency
from models.trials.run import run_trial
from models.trials.spec import Constraint, FailureKind, Objective
from tests.trials.results import failure, metrics

MAE = Objective("mae", "min")
COUNTED = ("precision", "recall", "f1")


def test_the_latency_is_measured_where_it_is_asked_for(line, trial):
    asked = trial(line, constraints=(Constraint("latency_ms", max=1e-9),))
    result = run_trial(asked, measure_latency=measure_latency)
    latency = metrics(result)["latency_ms"]
    assert latency > 0
    assert result.violations == {"latency_ms": pytest.approx(latency / 1e-9 - 1)}
    assert [run.metrics["latency_ms"] for run in result.folds] == [latency]
    assert "latency_ms" not in metrics(run_trial(trial(line), measure_latency=measure_latency))
    assert failure(run_trial(asked)).kind is FailureKind.ERROR


def test_parameters_are_a_score(line, trial):
    aims = {"objective": Objective("parameters", "min"), "other_objectives": (MAE,)}
    result = run_trial(trial(line, {"num_layers": 1, "units": 4}, **aims))
    assert result.score == result.parameters == metrics(result)["parameters"]
    assert result.scores == {"parameters": result.score, "mae": metrics(result)["mae"]}
    assert result.spread == 0


def test_the_named_class_is_counted(stored, trial):
    generator = np.random.default_rng(0)
    x = generator.normal(size=200)
    y = np.array(["ill" if value > 0.8 else "well" for value in x], dtype=object)
    data = stored({"a": x, "y": y}, task=Task.BINARY, types={"y": "category"})
    always = {"learning_rate": 1e-9}
    found = {
        label: metrics(run_trial(trial(replace(data, positive_class=label), always)))
        for label in ("ill", "well", None)
    }
    assert found["well"] == found[None]
    assert {**found["ill"], **dict.fromkeys(COUNTED)} == {**found["well"], **dict.fromkeys(COUNTED)}
    assert found["ill"]["recall"] != found["well"]["recall"]
    balanced = (found["ill"]["recall"] + found["well"]["recall"]) / 2
    assert balanced == pytest.approx(found["ill"]["balanced_accuracy"])
