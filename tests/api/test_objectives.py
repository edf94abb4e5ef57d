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
    counted = "0" if task is Task.BINARY else None  # 212 malignant cells, 357 benign ones
    assert job["request"]["objective"] == expected | {"positive_class": counted}


def test_an_objective_may_be_the_name_of_a_metric(shared_client: FlaskClient) -> None:
    body = BODIES[Task.REGRESSION] | {"objective": "val_mae"}
    job = shared_client.post("/tune", json=body).get_json()
    told = {"metric": "mae", "direction": "min", "positive_class": None}
    assert job["request"]["objective"] == told


def records(*labels: Any) -> dict[str, Any]:
    rows = [{"a": n, "y": labels[n % len(labels)]} for n in range(60)]
    return {"model": "m", "dataset": {"records": rows}, "target": "y"}


@pytest.mark.parametrize(
    ("labels", "asked", "counted"),
    [
        (("ill", "well", "well"), None, "ill"),  # the rarer class goes first in the alphabet
        (("bad", "good", "bad"), None, "good"),
        (("ill", "well"), None, "well"),  # as many rows: the second
        (("ill", "well", "well"), "well", "well"),
        ((True, True, False), None, "false"),
        ((True, True, False), True, "true"),
        ((1, 0, 1), None, "0"),
        ((1, 0, 1), 1, "1"),
        (("a", "b", "c"), None, None),
        (("a", "b", "c"), "b", "b"),
    ],
    ids=str,
)
def test_the_counted_class_is_named_or_the_rarer_of_two(
    shared_client: FlaskClient, labels: tuple[Any, ...], asked: Any, counted: str | None
) -> None:
    objective = {"metric": "f1"} if asked is None else {"metric": "f1", "positive_class": asked}
    body = records(*labels) | {"objective": objective}
    request = shared_client.post("/tune", json=body).get_json()["request"]
    assert request["objective"]["positive_class"] == counted
    again = shared_client.post("/tune", json=request).get_json()["request"]
    assert again == request


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (records("ill", "well"), "There is no class 'sick'; the classes are 'ill', 'well'."),
        (records("a", "b", "c"), "There is no class 'sick'; the classes are 'a', 'b', 'c'."),
        (BODIES[Task.BINARY], "There is no class 'sick'; the classes are '0', '1'."),
        (BODIES[Task.REGRESSION], "A regression has no classes."),
    ],
    ids=["binary", "multiclass", "builtin", "regression"],
)
def test_an_unknown_class_is_refused(
    shared_client: FlaskClient, refused: Any, body: dict[str, Any], message: str
) -> None:
    body = body | {"objective": {"metric": "loss", "positive_class": "sick"}}
    errors = refused(shared_client.post("/tune", json=body), 422)
    assert errors == {"objective.positive_class": [message]}


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
