from typing import Any

import pytest
from flask.testing import FlaskClient

from models.data.preparation.tasks import Task
from models.trials.spec import METRICS

BODIES = {
    task: {"model": "m", "dataset": f"builtin:{name}", "target": "target"}
    for task, name in ((Task.REGRESSION, "diabetes"), (Task.BINARY, "breast_cancer"))
}


@pytest.mark.parametrize("prefix", ["", "val_"])
@pytest.mark.parametrize(
    ("task", "metric"), [(task, metric) for task in BODIES for metric in METRICS[task]]
)
def test_any_reported_metric_ranks_trials_in_its_own_direction(
    shared_client: FlaskClient, task: Task, metric: str, prefix: str
) -> None:
    body = BODIES[task] | {"objective": {"metric": prefix + metric}}
    job = shared_client.post("/tune", json=body).get_json()
    expected = {"metric": metric, "direction": METRICS[task][metric]}
    assert job["request"]["objective"] == expected


@pytest.mark.parametrize(
    "objective",
    [
        {"metric": {"mse": 0.5, "mae": 0.5}},
        {"metric": ["mse", "mae"]},
        {"metric": "0.5*mse+0.5*mae"},
        {"metric": "mse + mae"},
        {"metric": "mse", "weight": 0.5},
        {"weights": {"mse": 0.5, "mae": 0.5}},
        {"metrics": ["mse", "mae"]},
        [{"metric": "mse", "weight": 0.5}, {"metric": "mae", "weight": 0.5}],
        {"metric": {}},
        "0.5*mse+0.5*mae",
    ],
    ids=str,
)
def test_a_weighted_sum_is_refused_with_advice(
    shared_client: FlaskClient, refused: Any, objective: Any
) -> None:
    body = BODIES[Task.REGRESSION] | {"objective": objective}
    errors = refused(shared_client.post("/tune", json=body), 422)
    assert list(errors) == ["objective"]
    assert "Tune one of them" in errors["objective"][0]
    assert "/trials?sort=score" in errors["objective"][0]


def test_what_the_advice_tells_is_there(trained: Any) -> None:
    trials = trained.client.trials(trained.jobs["flats"]["id"], sort="score")
    assert all({"mse", "mae", "r2"} <= set(trial["metrics"]) for trial in trials)
