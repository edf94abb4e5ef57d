from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import insert, select, update

from models.data.preparation.tasks import Task
from models.jobs.model import JobState, TrialState
from models.jobs.reader import JobReader
from models.store.engine import Database
from models.store.tables import jobs, now, trials
from models.trials.spec import METRICS

UNITS = {"type": "int", "min": 8, "max": 64, "step": 8}
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


def test_several_objectives_and_constraints_are_decided(shared_client: FlaskClient) -> None:
    bounds = {"val_recall": {"min": 0.8}, "latency_ms": {"max": 1}, "parameters": {"max": 5e4}}
    aims = {"objective": ["f1", {"metric": "val_loss"}, "parameters"], "constraints": bounds}
    request = shared_client.post("/tune", json=BODIES[Task.BINARY] | aims).get_json()["request"]
    assert [(each["metric"], each["direction"]) for each in request["objective"]] == [
        ("f1", "max"),
        ("loss", "min"),
        ("parameters", "min"),
    ]
    assert {each["positive_class"] for each in request["objective"]} == {"0"}
    assert request["strategy"]["name"] == "tpe"
    assert request["constraints"] == {
        "recall": {"min": 0.8, "max": None},
        "latency_ms": {"min": None, "max": 1.0},
        "parameters": {"min": None, "max": 50000.0},
    }
    again = shared_client.post("/tune", json=request)
    assert again.get_json()["request"] == request
    front = shared_client.get(f"/tune/{again.get_json()['id']}/front").get_json()
    assert (front["items"], front["hypervolume"], front["progress"]) == ([], None, [])


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [
        ({"objective": []}, "objective", "Give 1 to 3 metrics, not 0."),
        ({"objective": ["loss"] * 4}, "objective", "Give 1 to 3 metrics, not 4."),
        ({"objective": 5}, "objective", "Give the name of a metric"),
        ({"objective": ["loss", 5]}, "objective.1", "Give the name of a metric"),
        ({"objective": ["loss", "val_loss"]}, "objective.1.metric", "'loss' is named twice."),
        ({"objective": ["loss", "f2"]}, "objective.1.metric", "'f2' is not a metric"),
        (
            {
                "objective": [
                    {"metric": "f1", "positive_class": "0"},
                    {"metric": "recall", "positive_class": "1"},
                ]
            },
            "objective",
            "All metrics of a job count the same positive_class.",
        ),
        ({"objective": ["f1", "loss"], "strategy": "bayesian"}, "strategy", "bayesian learns"),
        ({"objective": ["f1", "loss"], "strategy": "hyperband"}, "strategy", "hyperband learns"),
        (
            {"objective": ["f1", "loss"], "pruning": {"rule": "median"}},
            "pruning",
            "may be on the front by another",
        ),
        ({"constraints": {}}, "constraints", "Name at least one metric."),
        ({"constraints": {"f1": {}}}, "constraints.f1", "Give min or max."),
        ({"constraints": {"f1": 0.5}}, "constraints.f1", "Invalid input type."),
        ({"constraints": {"f1": {"min": "a"}}}, "constraints.f1.min", "Must be a number."),
        (
            {"constraints": {"f1": {"min": 0.9, "max": 0.1}}},
            "constraints.f1",
            "No number lies between 0.9 and 0.1.",
        ),
        ({"constraints": {"size": {"max": 1}}}, "constraints.size", "'size' is not a metric"),
        (
            {"constraints": {"f1": {"max": 1}, "val_f1": {"min": 0}}},
            "constraints.val_f1",
            "'f1' is named twice.",
        ),
    ],
    ids=str,
)
def test_aims_that_cannot_be_followed_are_refused(
    shared_client: FlaskClient, refused: Any, changes: dict[str, Any], path: str, message: str
) -> None:
    body = BODIES[Task.BINARY] | changes
    errors = refused(shared_client.post("/tune", json=body), 422)
    assert list(errors) == [path]
    assert message in errors[path][0]


@pytest.mark.parametrize("trial", [0, "1", None, 1.5, True])
def test_a_chosen_trial_is_a_number(shared_client: FlaskClient, refused: Any, trial: Any) -> None:
    job = shared_client.post("/tune", json=BODIES[Task.REGRESSION]).get_json()["id"]
    answer = shared_client.post(f"/tune/{job}/finish", json={"trial": trial})
    assert list(refused(answer, 422)) == ["trial"]


@pytest.fixture
def ended(app_client: FlaskClient, database: Database) -> Callable[..., str]:
    """An ended job whose trials are better by one objective the worse they are by the other."""

    def make(**changes: Any) -> str:
        body = BODIES[Task.BINARY] | {"search_space": {"units": UNITS}, "strategy": "random"}
        job = JobReader(database).get(
            app_client.post("/tune", json=body | changes).get_json()["id"]
        )
        rows = [
            {
                "job": job.id,
                "number": number,
                "key": f"random-{number}",
                "state": TrialState.COMPLETED,
                "values": job.spec.space.resolve({"units": 8 * number}),
                "epochs": 50,
                "score": 1 / number,
                "scores": {"loss": 1 / number, "parameters": 10.0 * number},
                "result": {},
                "created": now(),
            }
            for number in range(1, 9)
        ]
        ending = {"state": JobState.SUCCEEDED, "dataset": None, "stop_reason": "max_trials"}
        with database.write() as connection:
            connection.execute(insert(trials), rows)
            connection.execute(update(jobs).where(jobs.c.id == job.id).values(ending))
        return job.id

    return make


def narrowed(client: FlaskClient, job: str, **changes: Any) -> dict[str, Any]:
    body = {"model": "fine", "narrow_from": {"job": job, "top": 0.3}} | changes
    answer = client.post("/tune?dry_run=true", json=body)
    assert answer.status_code == 200, answer.get_json()
    request: dict[str, Any] = answer.get_json()["request"]
    return request


def test_a_space_is_narrowed_to_the_whole_front(app_client: FlaskClient, ended: Any) -> None:
    units = narrowed(app_client, ended(objective=["loss", "parameters"]))["search_space"]["units"]
    assert (units["min"], units["max"]) == (8, 64)
    units = narrowed(app_client, ended())["search_space"]["units"]
    assert (units["min"], units["max"]) == (40, 64)


def test_the_objective_of_an_older_job_may_be_repeated(
    app_client: FlaskClient, database: Database, ended: Any
) -> None:
    job = ended()
    with database.write() as connection:
        document = connection.execute(select(jobs.c.spec).where(jobs.c.id == job)).scalar_one()
        del document["objective"]["positive_class"]
        connection.execute(update(jobs).where(jobs.c.id == job).values(spec=document))
    told = {"metric": "loss", "direction": "min", "positive_class": None}
    assert narrowed(app_client, job)["objective"] == told
    assert narrowed(app_client, job, objective="val_loss")["objective"] == told


@pytest.mark.parametrize("threshold", ["auto", 0.25, {"metric": "f1"}])
def test_a_threshold_is_stored_as_it_was_asked_for(
    shared_client: FlaskClient, threshold: Any
) -> None:
    body = BODIES[Task.BINARY] | {"threshold": threshold}
    job = shared_client.post("/tune", json=body).get_json()
    assert job["request"]["threshold"] == threshold
    assert shared_client.post("/tune", json=job["request"]).status_code == 202


def test_a_threshold_is_left_to_the_objective(shared_client: FlaskClient) -> None:
    for body in BODIES.values():
        assert shared_client.post("/tune", json=body).get_json()["request"]["threshold"] == "auto"


@pytest.mark.parametrize(
    ("threshold", "path"),
    [
        *((value, "threshold") for value in (0, 1, -0.1, 50, "f1", "0.5", True, None, [0.5])),
        *(({"metric": name}, "threshold.metric") for name in ("recall", "loss", "", None)),
        ({}, "threshold.metric"),
        ({"metric": "f1", "value": 0.5}, "threshold.value"),
    ],
)
def test_a_threshold_that_means_nothing_is_refused(
    shared_client: FlaskClient, refused: Callable[..., dict[str, Any]], threshold: Any, path: str
) -> None:
    body = BODIES[Task.BINARY] | {"threshold": threshold}
    assert list(refused(shared_client.post("/tune", json=body), 422)) == [path]


@pytest.mark.parametrize("threshold", [0.25, {"metric": "f1"}])
def test_only_two_classes_have_a_threshold(
    shared_client: FlaskClient, refused: Callable[..., dict[str, Any]], threshold: Any
) -> None:
    several = {"model": "m", "dataset": "builtin:iris", "target": "target"}
    for body in (BODIES[Task.REGRESSION], several):
        answer = shared_client.post("/tune", json=body | {"threshold": threshold})
        assert list(refused(answer, 422)) == ["threshold"]
