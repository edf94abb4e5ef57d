"""Forecasts over HTTP, of a service that really trains."""

from contextlib import suppress
from typing import Any

import httpx
import psutil
import pytest

from api.app import create_app
from models.settings import Settings

DIABETES = {"model": "ahead", "dataset": "builtin:diabetes", "target": "target"}
SPACE = {
    "num_layers": {"type": "int", "min": 1, "max": 2},
    "units": {"type": "choice", "values": [8, 64]},
}
RATE = {"learning_rate": {"type": "float", "min": 1e-3, "max": 1e-2}}
QUICK = {"search_space": SPACE | RATE}
SLOW = {"search_space": {"num_layers": 3, "units": 256} | RATE}
ENCODINGS = {
    "numeric_encoding": {"type": "choice", "values": ["robust", "piecewise", "periodic"]},
    "bins": {"type": "choice", "values": [4, 16]},
    "units": 8,
}
IMAGES = {
    "dataset": "builtin:digits",
    "network": "cnn",
    "search_space": {"conv_blocks": 1, "filters": {"type": "choice", "values": [2, 4]}},
    "budget": {"max_trials": 2, "epochs": 2},
}


@pytest.fixture(scope="session")
def plan(http: httpx.Client) -> Any:
    """Ask for a dry run of a job on diabetes with these changes."""

    def ask(**changes: Any) -> dict[str, Any]:
        holdout = {"evaluation": {"method": "holdout"}}
        body = DIABETES | {"search_space": SPACE} | holdout | changes
        response = http.post("/tune?dry_run=true", json=body)
        assert response.status_code == 200, response.json()
        found = response.json()
        assert found["forecast"] is not None, found["forecast_missing"]
        assert found["forecast_missing"] is None
        return found

    return ask


@pytest.mark.parametrize(
    ("changes", "trials", "runs"),
    [
        ({"strategy": "grid"}, 4, 1),
        ({"strategy": "grid", "evaluation": {}}, 4, 5),
        (IMAGES, 2, 1),
        ({"strategy": "grid", "search_space": ENCODINGS}, 4, 1),
        ({"strategy": "grid", "evaluation": {"method": "cv", "folds": 3}}, 4, 3),
        ({"strategy": "grid", "executions_per_trial": 2}, 4, 2),
        ({"strategy": {"name": "manual", "trials": [{"units": 8}, {"units": 9}]}}, 2, 1),
    ],
    ids=["mlp", "small", "cnn", "encodings", "cross-validation", "executions", "manual"],
)
def test_a_dry_run_foresees(plan: Any, changes: Any, trials: int, runs: int) -> None:
    forecast = plan(**changes)["forecast"]
    epochs = changes.get("budget", {"epochs": 200})["epochs"]
    assumed = forecast["assumes"]
    assert (assumed["trials"], assumed["runs_per_trial"]) == (trials, runs)
    assert assumed["epochs"] == trials * epochs
    assert assumed["parallelism"] == 2
    assert assumed["networks_trained"] >= 2
    assert forecast["seconds"] > 0
    assert forecast["saving_seconds"] > 0
    assert forecast["memory_bytes"] > 100 * 1024**2
    for name in ("parameters", "disk_bytes"):
        spread = forecast[name]
        assert 0 < spread["smallest"] <= spread["expected"] <= spread["largest"]
    assert forecast["disk_bytes"]["largest"] > 8 * forecast["parameters"]["largest"]
    assert all(seconds > 0 for seconds in forecast["seconds_per_trial"].values())


def test_the_parameters_are_those_of_the_ends_of_the_space(plan: Any) -> None:
    parameters = plan(strategy="grid")["forecast"]["parameters"]
    assert parameters["smallest"] == 11 * 8 + 9
    assert parameters["largest"] == 11 * 64 + 65 * 64 + 65


def test_hyperband_counts_the_epochs_of_its_rounds(plan: Any) -> None:
    space = SPACE | {"learning_rate": {"type": "float", "min": 1e-3, "max": 1e-2}}
    found = plan(search_space=space, strategy={"name": "hyperband", "max_epochs": 9})
    rounds = found["schedule"]
    epochs = sum(each["trials"] * (each["epochs"] - each["initial_epoch"]) for each in rounds)
    assert found["forecast"]["assumes"]["epochs"] == epochs
    assert found["forecast"]["assumes"]["trials"] == found["trials"]


def test_more_trials_take_longer_up_to_the_limit_of_seconds(plan: Any) -> None:
    space = SPACE | {"learning_rate": {"type": "float", "min": 1e-3, "max": 1e-2}}

    def seconds(**budget: Any) -> float:
        return plan(search_space=space, budget=budget)["forecast"]["seconds"]

    assert seconds(max_trials=1000) > seconds(max_trials=10)
    assert seconds(max_trials=1000, max_seconds=0.001) == 0.001


def test_rows_that_must_be_downloaded_are_stood_in_for(plan: Any) -> None:
    forecast = plan(dataset="builtin:california_housing", strategy="grid")["forecast"]
    assert forecast["parameters"]["smallest"] == 9 * 8 + 9


def test_a_dry_run_starts_nothing_and_leaves_the_api_without_tensorflow(
    plan: Any, http: httpx.Client
) -> None:
    def ids(path: str, key: str) -> set[str]:
        return {item[key] for item in http.get(f"{path}?limit=1000").json()["items"]}

    jobs, models = ids("/tune", "id"), ids("/models", "name")
    plan(strategy="grid")
    assert ids("/tune", "id") == jobs
    assert ids("/models", "name") == models
    maps = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has just ended
            if process.cmdline()[1:4] == ["-m", "luthier", "api"]:
                maps.append({mapped.path for mapped in process.memory_maps()})
    assert maps
    assert not [path for paths in maps for path in paths if "tensorflow" in path]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"forecast_seconds": 0.0}, "LUTHIER_FORECAST_SECONDS is 0."),
        ({"forecast_seconds": 0.01}, "It took longer than 0.01 s."),
    ],
)
def test_a_plan_without_a_forecast_says_why(settings: Settings, changes: Any, why: str) -> None:
    app = create_app(Settings(data=settings.data, **changes))
    services = app.extensions["luthier"]
    try:
        found = app.test_client().post("/tune?dry_run=true", json=DIABETES).get_json()
        assert found["trials"] == 20
        assert found["forecast"] is None
        assert found["forecast_missing"] == why
    finally:
        services.forecaster.close()
        services.database.close()
