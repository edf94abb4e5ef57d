"""Requests that steer a job, over an API whose jobs nobody works on."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import insert, update

from models.data.library.catalog import DatasetCatalog
from models.jobs.model import JobState, TrialState
from models.jobs.reader import JobReader
from models.jobs.search.reuse import training_digest
from models.store.engine import Database
from models.store.tables import jobs, now, trials

Refused = Callable[..., dict[str, Any]]

SPACE: dict[str, Any] = {
    "units": {"type": "int", "min": 16, "max": 256, "step": 16},
    "optimizer": {"type": "choice", "values": ["adam", "sgd", "rmsprop"]},
    "learning_rate": {"type": "float", "min": 1e-4, "max": 1e-1, "sampling": "log"},
}
WIDE = {
    "model": "iris",
    "dataset": "builtin:iris",
    "target": "target",
    "search_space": SPACE,
    "objective": {"metric": "accuracy"},
    "budget": {"max_trials": 20, "epochs": 7},
    "early_stopping": {"patience": 3},
    "executions_per_trial": 2,
    "seed": 5,
}


def start(client: FlaskClient, body: dict[str, Any] = WIDE, **changes: Any) -> dict[str, Any]:
    response = client.post("/tune", json=body | changes)
    assert response.status_code == 202, response.get_json()
    return response.get_json()


def dry_run(client: FlaskClient, body: dict[str, Any]) -> dict[str, Any]:
    response = client.post("/tune?dry_run=true", json=body)
    assert response.status_code == 200, response.get_json()
    return response.get_json()


@pytest.fixture
def ended(app_client: FlaskClient, database: Database) -> Callable[..., str]:
    """A job as a worker leaves it behind: ten trials, the widest networks being the best."""

    def make(count: int = 10, state: JobState = JobState.SUCCEEDED, **changes: Any) -> str:
        job = JobReader(database).get(start(app_client, **changes)["id"])
        rows = []
        for number in range(1, count + 1):
            values = job.spec.space.resolve(
                {
                    "units": 16 * number,
                    "optimizer": "sgd" if number == 10 else "adam",
                    "learning_rate": 1e-4 * 1.5**number,
                }
            )
            rows.append(
                {
                    "job": job.id,
                    "number": number,
                    "key": f"random-{number}",
                    "state": TrialState.COMPLETED,
                    "values": values,
                    "epochs": 7,
                    "score": number / 20,
                    "result": {},
                    "digest": training_digest(job.spec, "ds_1", values, 7),
                    "created": now(),
                }
            )
        DatasetCatalog(database).add("ds_1", 1, [], None, None)
        ending = {"state": state, "dataset": "ds_1", "stop_reason": "max_trials"}
        with database.write() as connection:
            if rows:
                connection.execute(insert(trials), rows)
            connection.execute(update(jobs).where(jobs.c.id == job.id).values(ending))
        return job.id

    return make


def test_own_trials_are_answered_as_they_were_created(app_client: FlaskClient) -> None:
    path = f"/tune/{start(app_client)['id']}"
    response = app_client.post(f"{path}/trials", json={"values": {"units": 100}})
    assert response.status_code == 202
    (one,) = response.get_json()["items"]
    assert (one["number"], one["state"], one["epochs"]) == (1, "waiting", 7)
    assert one["values"]["units"] == 100
    assert one["values"]["optimizer"] == "adam"
    several = app_client.post(f"{path}/trials", json={"trials": [{}, {"optimizer": "sgd"}]})
    assert [trial["number"] for trial in several.get_json()["items"]] == [2, 3]
    assert app_client.get(f"{path}/trials/1").get_json() == one
    assert app_client.get(path).get_json()["progress"]["total"] == 23


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"values": {"units": 0}}, "values.units"),
        ({"values": {"unit": 8}}, "values.unit"),
        ({"values": {"momentum": 0.5}}, "values.momentum"),
        ({"trials": [{}, {"units": True}]}, "trials.1.units"),
        ({"trials": []}, "trials"),
        ({"trials": [3]}, "trials.0"),
        ({"values": [3]}, "values"),
        ({"values": {}, "trials": [{}]}, "values"),
        ({}, "values"),
        ({"vals": {}}, "vals"),
    ],
    ids=str,
)
def test_own_trials_are_refused_at_the_path_of_the_fault(
    app_client: FlaskClient, refused: Refused, body: dict[str, Any], path: str
) -> None:
    job = start(app_client)["id"]
    assert path in refused(app_client.post(f"/tune/{job}/trials", json=body), 422)
    assert app_client.get(f"/tune/{job}/trials").get_json()["items"] == []


def test_a_job_that_has_ended_takes_own_trials_once_its_budget_is_raised(
    app_client: FlaskClient, refused: Refused, ended
) -> None:
    path = f"/tune/{ended()}"
    refused(app_client.post(f"{path}/trials", json={"values": {}}), 409)
    raised = app_client.patch(path, json={"budget": {"max_trials": 21}})
    assert raised.status_code == 202, raised.get_json()
    assert app_client.post(f"{path}/trials", json={"values": {}}).status_code == 202
    refused(app_client.post("/tune/job_0/trials", json={"values": {}}), 404)


@pytest.mark.parametrize("strategy", ["grid", "random", "bayesian", "hyperband", "manual"])
def test_every_strategy_takes_initial_trials(app_client: FlaskClient, strategy: str) -> None:
    own = {"trials": [{"units": 64}]} if strategy == "manual" else {}
    plain = {"name": strategy} | own
    wanted = plain | {"initial_trials": [{"units": 100}, {"optimizer": "sgd"}]}
    plan = dry_run(app_client, WIDE | {"strategy": wanted})
    assert plan["trials"] == dry_run(app_client, WIDE | {"strategy": plain})["trials"] + 2
    job = start(app_client, strategy=wanted)
    assert job["request"]["strategy"]["initial_trials"] == wanted["initial_trials"]
    assert job["progress"]["total"] == plan["trials"]
    first, second = app_client.get(f"/tune/{job['id']}/trials").get_json()["items"]
    assert (first["values"]["units"], second["values"]["optimizer"]) == (100, "sgd")


def test_initial_trials_are_refused_at_the_path_of_the_fault(
    app_client: FlaskClient, refused: Refused
) -> None:
    strategy = {"name": "random", "initial_trials": [{}, {"units": 0}]}
    errors = refused(app_client.post("/tune", json=WIDE | {"strategy": strategy}), 422)
    assert list(errors) == ["strategy.initial_trials.1.units"]


def test_a_raised_budget_is_shown(app_client: FlaskClient) -> None:
    path = f"/tune/{start(app_client)['id']}"
    response = app_client.patch(path, json={"budget": {"max_trials": 30, "epochs": 9}})
    assert response.status_code == 202
    job = response.get_json()
    assert (job["request"]["budget"]["max_trials"], job["request"]["budget"]["epochs"]) == (30, 9)
    assert job["progress"]["total"] == 30
    assert app_client.get(path).get_json() == job


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"budget": {"max_trials": 2.5}}, "budget.max_trials"),
        ({"budget": {"max_trials": None}}, "budget.max_trials"),
        ({"budget": {"max_failed_trials": 1.5}}, "budget.max_failed_trials"),
        ({"budget": {"max_failed_trials": 0}}, "budget.max_failed_trials"),
        ({"budget": {"max_failed_trials": None}}, "budget.max_failed_trials"),
        ({"budget": {"epochs": None}}, "budget.epochs"),
        ({"budget": {"trials": 3}}, "budget.trials"),
        ({"budget": {}}, "budget"),
        ({}, "budget"),
        ({"budget": {"epochs": 9}, "seed": 3}, "seed"),
    ],
    ids=str,
)
def test_what_is_no_budget_is_refused_at_its_path(
    app_client: FlaskClient, refused: Refused, body: dict[str, Any], path: str
) -> None:
    job = start(app_client)
    assert list(refused(app_client.patch(f"/tune/{job['id']}", json=body), 422)) == [path]
    assert app_client.get(f"/tune/{job['id']}").get_json() == job


def test_a_job_that_has_ended_is_queued_again(
    app_client: FlaskClient, refused: Refused, ended
) -> None:
    path = f"/tune/{ended(class_weight='balanced')}"
    refused(app_client.patch(path, json={"budget": {"epochs": 9, "max_trials": 10}}), 409)
    job = app_client.patch(path, json={"budget": {"max_trials": 21}}).get_json()
    assert job["request"]["class_weight"] == "balanced"
    assert (job["state"], job["stop_reason"], job["finished"]) == ("queued", None, None)
    refused(app_client.patch("/tune/job_0", json={"budget": {"max_trials": 21}}), 404)


def test_a_dry_run_shows_the_narrowed_space(app_client: FlaskClient, ended) -> None:
    job = ended()
    plan = dry_run(app_client, {"model": "fine", "narrow_from": {"job": job}})
    asked = plan["request"]
    # The best three of ten: units 128, 144 and 160.
    assert asked["search_space"]["units"] == SPACE["units"] | {"min": 112, "max": 176}
    assert asked["search_space"]["optimizer"]["values"] == ["adam", "sgd"]
    rate = asked["search_space"]["learning_rate"]
    assert 1e-4 < rate["min"] < 1e-4 * 1.5**8
    assert 1e-4 * 1.5**10 < rate["max"] < 1e-1
    assert asked["narrow_from"] == {"job": job, "top": 0.2}
    assert app_client.get("/tune").get_json()["items"][0]["id"] == job


def test_a_larger_share_narrows_less(app_client: FlaskClient, ended) -> None:
    body = {"model": "fine", "narrow_from": {"job": ended(), "top": 0.7}}
    asked = dry_run(app_client, body)["request"]
    assert asked["search_space"]["units"]["min"] == 16 * 3


def test_what_is_not_given_is_taken_from_the_job_that_is_narrowed(
    app_client: FlaskClient, ended
) -> None:
    changes = {"features": ["petal width (cm)"], "class_weight": {"1": 2}}
    job = ended(**changes, evaluation={"validation_fraction": 0.3})
    body = {"model": "fine", "narrow_from": {"job": job}}
    asked = dry_run(app_client, body)["request"]
    source = app_client.get(f"/tune/{job}").get_json()["request"]
    shared = [
        *("dataset", "target", "features", "task", "network", "evaluation", "objective", "seed"),
        *("early_stopping", "executions_per_trial", "class_weight", "sample_weight"),
    ]
    assert {name: asked[name] for name in shared} == {name: source[name] for name in shared}
    assert asked["class_weight"] == {"0": 1.0, "1": 2.0, "2": 1.0}
    assert asked["model"] == "fine"
    assert asked["budget"]["epochs"] == 7
    again = body | {name: source[name] for name in shared} | {"task": "auto"}
    assert dry_run(app_client, again)["request"] == asked


def test_known_results_in_the_narrowed_space_are_reused(app_client, ended) -> None:
    body = {"model": "fine", "narrow_from": {"job": ended()}, "budget": {"max_trials": 6}}
    plan = dry_run(app_client, body)
    # 112, which was no best one, lies at the new edge; its learning rate does, too.
    assert (plan["reused"], plan["trials"]) == (4, 10)
    job = start(app_client, body)
    assert job["progress"]["total"] == 10
    waiting = app_client.get(f"/tune/{job['id']}/trials").get_json()["items"]
    assert [trial["values"]["units"] for trial in waiting] == [112, 128, 144, 160]


@pytest.mark.parametrize(
    "change",
    [{"reuse": False}, {"early_stopping": None}, {"budget": {"epochs": 9}}],
    ids=lambda change: next(iter(change)),
)
def test_results_of_other_trainings_are_not_reused(app_client, ended, change) -> None:
    plan = dry_run(app_client, {"model": "fine", "narrow_from": {"job": ended()}} | change)
    assert (plan["reused"], plan["trials"]) == (0, 20)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"dataset": "builtin:wine"}, "dataset"),
        ({"features": ["petal width (cm)"]}, "features"),
        ({"class_weight": "balanced"}, "class_weight"),
        ({"evaluation": {"method": "holdout"}}, "evaluation"),
        ({"objective": {"metric": "loss"}}, "objective.metric"),
        ({"seed": 0}, "seed"),
        ({"search_space": SPACE}, "search_space"),
        ({"strategy": {"name": "manual", "trials": [{"units": 0}]}}, "strategy.trials.0.units"),
        ({"narrow_from": {"top": 0.5}}, "narrow_from.job"),
    ],
    ids=str,
)
def test_what_disagrees_with_the_job_that_is_narrowed_is_refused(
    app_client: FlaskClient, refused: Refused, ended, change: dict[str, Any], path: str
) -> None:
    body = {"model": "fine", "narrow_from": {"job": ended()}} | change
    assert list(refused(app_client.post("/tune", json=body), 422)) == [path]


@pytest.mark.parametrize("top", [0, 1.5, "0.2", True])
def test_the_best_share_lies_between_0_and_1(app_client, refused: Refused, ended, top) -> None:
    body = {"model": "fine", "narrow_from": {"job": ended(), "top": top}}
    assert list(refused(app_client.post("/tune", json=body), 422)) == ["narrow_from.top"]


def test_only_an_ended_job_with_enough_trials_can_be_narrowed(
    app_client: FlaskClient, refused: Refused, ended
) -> None:
    def ask(job: str, status: int) -> dict[str, Any]:
        body = {"model": "fine", "narrow_from": {"job": job}}
        return refused(app_client.post("/tune", json=body), status)

    ask(start(app_client)["id"], 409)
    ask("job_nowhere", 404)
    assert list(ask(ended(count=2), 422)) == ["narrow_from.job"]
    body = {"model": "fine", "narrow_from": {"job": ended(3, JobState.CANCELLED)}}
    assert app_client.post("/tune", json=body).status_code == 202


def test_data_and_target_are_needed_without_a_job_to_narrow(
    app_client: FlaskClient, refused: Refused
) -> None:
    response = app_client.post("/tune", json={"model": "iris", "narrow_from": None})
    assert list(refused(response, 422)) == ["dataset", "target"]


def test_a_narrowed_job_learns_from_the_same_columns_by_the_same_split(
    app_client: FlaskClient, ended: Callable[..., str]
) -> None:
    source = ended(exclude=["petal width (cm)"], evaluation={"seed": 3})
    body = {"model": "narrow", "narrow_from": {"job": source}}
    plan = dry_run(app_client, body)
    assert plan["request"]["exclude"] == ["petal width (cm)"]
    assert plan["columns"]["used"] == plan["request"]["features"]
    assert plan["request"]["evaluation"]["seed"] == 3
    assert plan["reused"] > 0
    for changes, path in (({"exclude": []}, "exclude"), ({"evaluation": {}}, "evaluation")):
        response = app_client.post("/tune", json=body | changes)
        assert response.status_code == 422
        assert list(response.get_json()["errors"]) == [path]


def test_a_failed_job_with_scores_is_finished(app_client: FlaskClient, ended) -> None:
    job = ended(state=JobState.FAILED)
    answer = app_client.post(f"/tune/{job}/finish")
    assert answer.status_code == 202
    found = answer.get_json()
    assert (found["state"], found["stop_reason"]) == ("queued", "max_trials")
    again = app_client.post(f"/tune/{job}/finish")
    assert (again.status_code, again.get_json()) == (202, found)


def test_a_job_without_a_score_cannot_be_finished(app_client: FlaskClient, ended) -> None:
    answer = app_client.post(f"/tune/{ended(count=0, state=JobState.FAILED)}/finish")
    assert answer.status_code == 409
    assert "has a score" in answer.get_json()["detail"]


def test_a_search_that_failed_can_go_on_after_it_was_finished(
    app_client: FlaskClient, ended, database: Database
) -> None:
    job = ended(state=JobState.FAILED)
    with database.write() as connection:
        connection.execute(update(jobs).where(jobs.c.id == job).values(stop_reason=None))
    assert app_client.post(f"/tune/{job}/finish").get_json()["stop_reason"] == "finish"
    raised = app_client.patch(f"/tune/{job}", json={"budget": {"max_trials": 30}})
    assert raised.status_code == 202
    assert raised.get_json()["stop_reason"] is None


@pytest.mark.parametrize(("failed", "shown"), [(0.25, 0.25), (3, 3), (4.0, 4)])
def test_limits_may_be_lowered(app_client: FlaskClient, failed: float, shown: float) -> None:
    path = f"/tune/{start(app_client)['id']}"
    limits = {"max_trials": 4, "epochs": 2, "max_seconds": 9, "max_failed_trials": failed}
    job = app_client.patch(path, json={"budget": limits}).get_json()
    budget = job["request"]["budget"]
    assert budget == limits | {"max_failed_trials": shown, "target_score": None}
    assert type(budget["max_failed_trials"]) is type(shown)
    assert job["progress"]["total"] == 4


def test_a_limit_below_what_is_spent_is_refused(
    app_client: FlaskClient, refused: Refused, ended
) -> None:
    answer = app_client.patch(f"/tune/{ended()}", json={"budget": {"max_trials": 9}})
    (text,) = refused(answer, 422)["budget.max_trials"]
    assert text == "Must be at least 10: so many trials have begun."


def test_a_discarded_trial_is_shown_and_counts_no_more(
    app_client: FlaskClient, refused: Refused, ended
) -> None:
    path = f"/tune/{ended()}"
    best = app_client.get(path).get_json()["best_trial"]["number"]
    for _ in range(2):
        assert app_client.delete(f"{path}/trials/{best}").status_code == 204
    trial = app_client.get(f"{path}/trials/{best}").get_json()
    assert (trial["state"], trial["score"]) == ("discarded", None)
    job = app_client.get(path).get_json()
    assert job["best_trial"]["number"] != best
    assert job["progress"]["completed"] == 9
    listed = app_client.get(f"{path}/trials?state=discarded").get_json()["items"]
    assert [each["number"] for each in listed] == [best]
    told = app_client.get(f"{path}/events").get_data(as_text=True)
    assert told.count('"state": "discarded"') == 1
    refused(app_client.delete(f"{path}/trials/99"), 404)
    refused(app_client.delete("/tune/job_0/trials/1"), 404)
