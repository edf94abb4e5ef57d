from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

Refused = Callable[..., dict[str, Any]]

MINIMAL = {"model": "iris", "dataset": "builtin:iris", "target": "target"}
WHOLE: dict[str, Any] = {
    "model": "house-prices",
    "dataset": "builtin:diabetes",
    "target": "target",
    "task": "auto",
    "network": "mlp",
    "features": ["age", "bmi"],
    "search_space": {
        "num_layers": {"type": "int", "min": 2, "max": 5},
        "units": {"type": "int", "min": 64, "max": 512, "step": 32, "per_layer": True},
        "activation": {"type": "choice", "values": ["selu", "relu"]},
        "dropout": {"type": "float", "min": 0.0, "max": 0.5, "step": 0.1},
        "optimizer": {"type": "choice", "values": ["adam", "sgd", "rmsprop"]},
        "momentum": {"type": "float", "min": 0.0, "max": 0.99, "when": {"optimizer": ["sgd"]}},
        "learning_rate": {"type": "float", "min": 1e-4, "max": 1e-2, "sampling": "log"},
        "batch_size": {"type": "choice", "values": [32, 64, 128]},
        "kernel_initializer": "glorot_uniform",
    },
    "strategy": {"name": "random"},
    "objective": {"metric": "val_loss", "direction": "min"},
    "budget": {
        "max_trials": 256,
        "epochs": 100,
        "max_seconds": 3600,
        "max_failed_trials": 10,
        "target_score": 0.1,
    },
    "evaluation": {"method": "holdout", "validation_fraction": 0.2, "test_fraction": 0.1},
    "executions_per_trial": 1,
    "early_stopping": {
        "patience": 10,
        "min_delta": 0.0,
        "metric": "val_mae",
        "start_from_epoch": 2,
    },
    "parallelism": 2,
    "seed": 42,
}
LEARNING = ("bayesian", "tpe")


def table(rows: int, labels: list[str] | None = None) -> dict[str, Any]:
    """Return rows of a request, whose target is a number or one of `labels`."""
    targets: list[Any] = list(labels or (row * 0.5 for row in range(rows)))
    records = [{"x": row, "z": row % 7, "y": y} for row, y in enumerate(targets)]
    return {"records": records}


def start(client: FlaskClient, **changes: Any) -> dict[str, Any]:
    response = client.post("/tune", json=MINIMAL | changes)
    assert response.status_code == 202, response.get_json()
    return response.get_json()


def test_a_job_is_queued_and_found_at_its_location(app_client: FlaskClient) -> None:
    response = app_client.post("/tune", json=MINIMAL)
    job = response.get_json()
    assert response.status_code == 202
    assert response.headers["Location"] == f"/tune/{job['id']}"
    assert app_client.get(response.headers["Location"]).get_json() == job
    assert (job["state"], job["model"], job["dataset"]) == ("queued", "iris", None)
    assert job["progress"] == {
        "completed": 0,
        "running": 0,
        "failed": 0,
        "stopped": 0,
        "total": 20,
        "eta_seconds": None,
    }
    assert [job[name] for name in ("best_trial", "stop_reason", "error", "version")] == [None] * 4
    assert job["created"].endswith("+00:00")


def test_every_default_is_told(app_client: FlaskClient) -> None:
    asked = start(app_client)["request"]
    assert asked["task"] == "multiclass"
    assert asked["strategy"] == {"name": "bayesian", "num_initial_points": 5}
    assert asked["objective"] == {"metric": "loss", "direction": "min", "positive_class": None}
    assert asked["budget"]["max_trials"] == 20
    assert asked["evaluation"]["test_fraction"] == 0.1
    assert asked["budget"]["epochs"] == 200
    assert asked["early_stopping"] == {
        "patience": 25,
        "min_delta": 0.0,
        "metric": None,
        "start_from_epoch": 0,
    }
    assert asked["search_space"]["learning_rate"]["sampling"] == "log"
    assert start(app_client, early_stopping=None)["request"]["early_stopping"] is None


@pytest.mark.parametrize(
    ("column", "encodings"),
    [
        ([0.5 * number for number in range(60)], {"numeric_encoding"}),
        (["red", "green", "blue"] * 20, set()),
    ],
    ids=["numbers", "categories"],
)
def test_the_default_space_has_the_encodings_that_have_columns(
    app_client: FlaskClient, column: list[Any], encodings: set[str]
) -> None:
    records = [{"x": x, "y": number % 7 + 0.25} for number, x in enumerate(column)]
    given = start(app_client, dataset={"records": records}, target="y")["request"]["search_space"]
    assert {name for name in given if name.endswith("_encoding")} == encodings
    assert {"units", "dropout"} < given.keys()
    named = {"units": 8, "category_encoding": "target"}
    asked = start(app_client, dataset={"records": records}, target="y", search_space=named)[
        "request"
    ]
    assert asked["search_space"].keys() == named.keys()


def test_the_whole_contract_is_accepted(app_client: FlaskClient) -> None:
    asked = start(app_client, **WHOLE)["request"]
    assert asked["budget"] == WHOLE["budget"]
    assert asked["features"] == WHOLE["features"]
    assert asked["search_space"]["units"] == WHOLE["search_space"]["units"]
    assert asked["search_space"]["momentum"]["when"] == {"optimizer": ["sgd"]}
    assert asked["search_space"]["kernel_initializer"] == "glorot_uniform"


@pytest.mark.parametrize(
    ("changes", "epochs", "patience"),
    [
        ({"dataset": "builtin:california_housing"}, 20, 10),
        ({"dataset": "builtin:digits", "evaluation": {"method": "cv"}}, 196, 24),
        ({"dataset": "builtin:digits", "search_space": {"batch_size": 64}}, 200, 25),
        ({"dataset": "builtin:digits", "network": "cnn"}, 50, 10),
        ({"budget": {"epochs": None}, "early_stopping": {"patience": None}}, 200, 25),
        ({"budget": {"epochs": 7}}, 7, 10),
        ({"budget": {"epochs": 400}, "early_stopping": {"min_delta": 0.1}}, 400, 50),
        ({"early_stopping": {"patience": 3}}, 200, 3),
        (
            {"dataset": {"x": [[n] for n in range(3000)], "y": [n % 2 for n in range(3000)]}},
            122,
            15,
        ),
    ],
)
def test_epochs_and_patience_follow_the_rows(
    app_client: FlaskClient, changes: dict[str, Any], epochs: int, patience: int
) -> None:
    target = "y" if isinstance(changes.get("dataset"), dict) else "target"
    asked = start(app_client, target=target, **changes)["request"]
    assert asked["budget"]["epochs"] == epochs
    assert asked["early_stopping"]["patience"] == patience


def test_the_old_name_of_the_target_score_is_still_accepted(app_client: FlaskClient) -> None:
    budget = start(app_client, budget={"target": 0.1})["request"]["budget"]
    assert budget["target_score"] == 0.1
    assert "target" not in budget


def test_cross_validation_trains_the_winner_anew(app_client: FlaskClient) -> None:
    holdout = {"method": "holdout"}
    assert start(app_client, evaluation=holdout)["refit"] is None
    assert start(app_client, refit=False)["refit"] is False
    assert start(app_client, evaluation=holdout, refit=True)["refit"] is True
    assert start(app_client, evaluation={"method": "cv", "folds": 3})["refit"] is True


@pytest.mark.parametrize(
    ("changes", "method"),
    [
        ({}, "cv"),
        ({"evaluation": {"folds": 3}}, "cv"),
        ({"evaluation": {"validation_fraction": 0.2}}, "holdout"),
        ({"refit": False}, "holdout"),
        ({"pruning": {"rule": "median"}}, "holdout"),
        ({"strategy": "hyperband"}, "holdout"),
        ({"dataset": table(49)}, "holdout"),
        ({"dataset": table(50)}, "cv"),
        ({"dataset": table(2000)}, "cv"),
        ({"dataset": table(2001)}, "holdout"),
        ({"dataset": table(60, labels=["a"] * 55 + ["b"] * 5), "task": "binary"}, "holdout"),
        ({"dataset": table(60, labels=["a"] * 54 + ["b"] * 6), "task": "binary"}, "cv"),
        ({"evaluation": {"group": "x"}, "dataset": table(60)}, "holdout"),
    ],
)
def test_small_tables_are_cross_validated(
    app_client: FlaskClient, changes: dict[str, Any], method: str
) -> None:
    target = "y" if isinstance(changes.get("dataset"), dict) else "target"
    asked = start(app_client, target=target, **changes)["request"]
    assert asked["evaluation"]["method"] == method


def test_all_rows_are_trained_on_where_nothing_shall_be_held_out(app_client: FlaskClient) -> None:
    asked = start(app_client, dataset="builtin:xor", evaluation={"method": "train"})["request"]
    assert asked["evaluation"]["test_fraction"] == 0.0


@pytest.mark.parametrize(
    "dataset",
    [
        {"records": [{"a": n, "y": n % 2} for n in range(20)]},
        {"x": [[n, 1] for n in range(20)], "y": [n % 2 for n in range(20)]},
        {"x": [[[n, 1], [2, 3]] for n in range(20)], "y": [n % 2 for n in range(20)]},
    ],
    ids=["records", "arrays", "images"],
)
def test_rows_may_come_with_the_request(app_client: FlaskClient, dataset: Any) -> None:
    job = start(app_client, dataset=dataset, target="y")
    assert job["request"]["task"] == "binary"
    stored = app_client.get(f"/datasets/{job['dataset']}").get_json()
    assert stored["rows"] == 20


@pytest.mark.parametrize(
    ("strategy", "budget", "trials"),
    [
        ("random", {"max_trials": 7}, 7),
        ("grid", {}, 4),
        ("grid", {"max_trials": 3}, 3),
        ({"name": "bayesian"}, {}, 4),
        ("tpe", {}, 4),
        ("auto", {}, 4),
        ({"name": "manual", "trials": [{"units": 8}, {"units": 9}, {"units": 8}]}, {}, 3),
    ],
)
def test_a_dry_run_tells_the_plan_and_starts_nothing(
    app_client: FlaskClient, strategy: Any, budget: Any, trials: int
) -> None:
    space = {
        "units": {"type": "choice", "values": [8, 16]},
        "activation": {"type": "choice", "values": ["relu", "tanh"]},
    }
    if strategy == "random":
        space["dropout"] = {"type": "float", "min": 0.0, "max": 0.5}
    body = MINIMAL | {"search_space": space, "strategy": strategy, "budget": budget}
    response = app_client.post("/tune?dry_run=true", json=body)
    plan = response.get_json()
    assert response.status_code == 200, plan
    assert plan["trials"] == trials
    assert plan["space_size"] == (None if strategy == "random" else 4)
    assert plan["initial_points"] == (
        4 if plan["request"]["strategy"]["name"] in LEARNING else None
    )
    assert plan["schedule"] == []
    assert plan["request"]["model"] == "iris"
    assert app_client.get("/tune").get_json()["items"] == []


def test_a_dry_run_tells_the_rounds_of_hyperband(app_client: FlaskClient) -> None:
    body = MINIMAL | {"strategy": {"name": "hyperband", "max_epochs": 9, "factor": 3}}
    plan = app_client.post("/tune?dry_run=1", json=body).get_json()
    assert plan["trials"] == sum(rung["trials"] for rung in plan["schedule"])
    first = plan["schedule"][0]
    assert (first["bracket"], first["round"], first["initial_epoch"], first["epochs"]) == (
        2,
        0,
        0,
        1,
    )
    assert plan["schedule"][2]["epochs"] == 9


def test_a_request_sent_again_with_its_key_answers_the_same_job(
    app_client: FlaskClient, refused: Refused
) -> None:
    key = {"Idempotency-Key": "a key"}
    first = app_client.post("/tune", json=MINIMAL, headers=key)
    again = app_client.post("/tune", json=MINIMAL, headers=key)
    assert (again.status_code, again.get_json()) == (202, first.get_json())
    assert again.headers["Location"] == first.headers["Location"]
    other = app_client.post("/tune", json=MINIMAL | {"seed": 1}, headers=key)
    assert list(refused(other, 422)) == ["Idempotency-Key"]
    assert start(app_client)["id"] != first.get_json()["id"]
    assert len(app_client.get("/tune").get_json()["items"]) == 2


def test_jobs_come_newest_first_in_pages(app_client: FlaskClient) -> None:
    ids = [start(app_client)["id"] for _ in range(5)]
    first = app_client.get("/tune?limit=3").get_json()
    rest = app_client.get(f"/tune?limit=3&after={first['next']}").get_json()
    assert [job["id"] for job in first["items"] + rest["items"]] == ids[::-1]
    assert rest["next"] is None


def test_jobs_can_be_chosen_by_state(app_client: FlaskClient) -> None:
    waiting, cancelled = start(app_client)["id"], start(app_client)["id"]
    app_client.post(f"/tune/{cancelled}/cancel")
    for state, expected in {"queued": [waiting], "cancelled": [cancelled], "failed": []}.items():
        items = app_client.get(f"/tune?state={state}").get_json()["items"]
        assert [job["id"] for job in items] == expected


def test_a_job_is_paused_resumed_cancelled_and_deleted(
    app_client: FlaskClient, refused: Refused
) -> None:
    path = f"/tune/{start(app_client)['id']}"

    def ask(what: str) -> str:
        response = app_client.post(f"{path}/{what}")
        assert response.status_code == 202
        assert app_client.get(path).get_json() == response.get_json()
        return response.get_json()["state"]

    assert ask("pause") == "paused"
    refused(app_client.delete(path), 409)
    assert ask("resume") == "queued"
    assert ask("cancel") == "cancelled"
    job = app_client.get(path).get_json()
    assert job["finished"] is not None
    assert job["progress"]["eta_seconds"] == 0.0
    refused(app_client.post(f"{path}/resume"), 409)
    response = app_client.delete(path)
    assert (response.status_code, response.data) == (204, b"")
    refused(app_client.get(path), 404)


def test_a_job_without_trials_has_an_empty_list(app_client: FlaskClient, refused: Refused) -> None:
    path = f"/tune/{start(app_client)['id']}/trials"
    assert app_client.get(path).get_json() == {"items": [], "next": None}
    refused(app_client.get(f"{path}/1"), 404)


def test_a_job_of_the_service_is_told_whole(trained: Any) -> None:
    job = trained.jobs["iris"]
    assert job["state"] == "succeeded"
    assert job["stop_reason"] in ("max_trials", "exhausted")
    assert job["dataset"].startswith("ds_")
    assert job["progress"]["completed"] == job["progress"]["total"] == 2
    assert job["progress"]["eta_seconds"] == 0.0
    assert job["version"] == 1
    assert job["error"] is None
    assert job["created"] < job["started"] < job["finished"]
    trials = trained.client.trials(job["id"], sort="score")
    assert trials[0] == job["best_trial"]
    assert trials[0]["score"] <= trials[1]["score"]
    for trial in trials:
        assert trial["state"] == "completed"
        assert trial["score"] == trial["metrics"]["loss"]
        assert set(trial["metrics"]) >= {"accuracy", "balanced_accuracy", "f1", "auc", "log_loss"}
        assert trial["values"]["units"] in (4, 8)
        assert len(trial["history"]["val_loss"]) == 2
        assert trial["parameters"] > 0
        assert trial["seconds"] > 0
        one = trained.http.get(f"/tune/{job['id']}/trials/{trial['number']}")
        assert one.json() == trial


def test_trials_come_in_pages_in_either_order(trained: Any) -> None:
    path = f"/tune/{trained.jobs['iris']['id']}/trials"
    for sort in ("number", "score"):
        whole = trained.http.get(path, params={"sort": sort}).json()["items"]
        first = trained.http.get(path, params={"sort": sort, "limit": 1}).json()
        assert first["next"] == str(first["items"][0]["number"])
        rest = trained.http.get(path, params={"sort": sort, "after": first["next"]}).json()
        assert first["items"] + rest["items"] == whole
        assert rest["next"] is None


def test_a_regression_is_scored_in_the_units_of_its_target(trained: Any) -> None:
    best = trained.jobs["flats"]["best_trial"]
    assert set(best["metrics"]) >= {"mse", "mae", "rmse", "r2"}
    assert best["metrics"]["mae"] > 100  # prices reach 60,000; scaled ones would not reach 5


def test_auto_shows_what_was_chosen(app_client: FlaskClient) -> None:
    chosen = {"name": "grid", "points": 1000}
    space = {"units": {"type": "int", "min": 1, "max": 9}}
    assert start(app_client, search_space=space, strategy="auto")["request"]["strategy"] == chosen
    initial = [{"units": 30}]
    strategy = {"name": "auto", "initial_trials": initial}
    asked = start(app_client, strategy=strategy, budget={"max_trials": 100})["request"]
    assert asked["strategy"] == {
        "name": "bayesian",
        "num_initial_points": 6,
        "initial_trials": initial,
    }
