"""Constraints and several objectives in the whole service, over HTTP, with real trainings."""

from typing import Any

import httpx
import pytest

from luthier.client import Client
from tests.waiting import PATIENCE

# With 10 features: 49 parameters and 769.
SIZES = {"name": "manual", "trials": [{"units": 64}, {"units": 4}]}
TINY = {
    "model": "aims",
    "dataset": "builtin:diabetes",
    "target": "target",
    "search_space": {"num_layers": 1, "units": {"type": "int", "min": 4, "max": 64}},
    "strategy": SIZES,
    "budget": {"epochs": 2},
    "evaluation": {"method": "holdout"},
}


@pytest.fixture
def ended(client: Client) -> Any:
    """A job of `TINY` and these changes, once it has ended."""

    def run(**changes: Any) -> dict[str, Any]:
        return client.wait(client.tune(TINY | changes)["id"], every=0.1)

    return run


def test_the_winner_keeps_the_constraints_and_its_latency_is_measured(
    ended: Any, client: Client, service: Any
) -> None:
    bounds = {"parameters": {"max": 100}, "latency_ms": {"max": 60_000}}
    job = ended(constraints=bounds)
    assert job["state"] == "succeeded", job["error"]
    large, small = client.trials(job["id"])
    assert (large["state"], large["fits"]) == ("completed", False)
    assert large["violations"] == {"parameters": pytest.approx(6.69)}
    assert (small["fits"], small["violations"]) == (True, {})
    assert job["best_trial"]["number"] == small["number"]
    assert small["metrics"]["parameters"] == 49
    assert 0 < small["metrics"]["latency_ms"] < 60_000
    version = httpx.get(f"{service.url}/models/aims/versions/{job['version']}", timeout=PATIENCE)
    assert version.json()["parameters"] == 49
    assert httpx.get(
        f"{service.url}/tune/{job['id']}/report?format=png", timeout=PATIENCE
    ).is_success


def test_a_job_without_a_trial_that_fits_fails_and_names_the_closest(ended: Any) -> None:
    job = ended(constraints={"parameters": {"max": 40}})
    assert (job["state"], job["version"], job["best_trial"]) == ("failed", None, None)
    assert "No trial keeps the constraints" in job["error"]
    assert "The closest is trial 2: parameters is 49, above 40." in job["error"]
    assert job["progress"]["completed"] == 2


def test_a_version_is_built_of_any_point_of_the_front(
    ended: Any, client: Client, service: Any
) -> None:
    strategy = {"name": "tpe", "num_initial_points": 2, "initial_trials": SIZES["trials"]}
    objective = ["mae", {"metric": "parameters"}]
    job = ended(strategy=strategy, objective=objective, budget={"epochs": 2, "max_trials": 3})
    assert job["state"] == "succeeded", job["error"]
    front = client.front(job["id"])
    assert [each["metric"] for each in front["objectives"]] == ["mae", "parameters"]
    trials = {trial["number"]: trial for trial in client.trials(job["id"])}
    assert len(trials) == 5
    for item in front["items"]:
        assert item["scores"] == trials[item["trial"]]["scores"]
    assert front["items"][0]["trial"] == job["best_trial"]["number"]
    assert job["front"] == [item["trial"] for item in front["items"]]
    smallest = front["items"][-1]
    assert smallest["scores"]["parameters"] == front["best"]["parameters"] == 49
    assert sorted(each["trial"] for each in front["progress"]) == sorted(trials)
    assert 0 <= front["hypervolume"] == front["progress"][-1]["hypervolume"] <= 1
    chosen = httpx.post(
        f"{service.url}/tune/{job['id']}/finish",
        json={"trial": smallest["trial"]},
        timeout=PATIENCE,
    )
    assert chosen.status_code == 202, chosen.text
    again = client.wait(job["id"], every=0.1)
    assert again["state"] == "succeeded", again["error"]
    assert again["chosen_trial"] == smallest["trial"]
    version = httpx.get(f"{service.url}/models/aims/versions/{again['version']}", timeout=PATIENCE)
    assert version.json()["parameters"] == 49
    assert httpx.get(
        f"{service.url}/tune/{job['id']}/report?format=png", timeout=PATIENCE
    ).is_success


def test_a_job_for_a_metric_of_labels_chooses_its_threshold(ended: Any, client: Client) -> None:
    rows = [
        {"x": n % 37 / 9, "state": "ill" if n % 37 > 24 + n % 17 else "well"} for n in range(600)
    ]
    ill = sum(row["state"] == "ill" for row in rows)
    job = ended(
        model="states",
        dataset={"records": rows},
        target="state",
        objective="f1",
        budget={"epochs": 10},
        strategy={"name": "manual", "trials": [{"units": 16}]},
    )
    assert job["state"] == "succeeded", job["error"]
    assert ill < 300
    assert job["request"]["objective"]["positive_class"] == "ill"
    version = client.version("states", job["version"])
    found = version["threshold"]
    assert found["metric"] == "f1"
    assert version["signature"]["positive_class"] == "ill"
    assert version["signature"]["threshold"] == found["value"]
    assert found["unseen"] is not None
    body = client.predict("states", [{"x": 3.0}, {"x": 0.1}])
    assert body.get("threshold") == found["value"]
    if found["value"] is None:
        assert found["note"]
    else:
        assert version["metrics"]["f1"] == pytest.approx(found["test"]["after"]["f1"])
        assert found["unseen"]["after"] > found["unseen"]["before"]
    other = client.predict("states", [{"x": 3.0}, {"x": 0.1}], threshold=0.0001)
    assert other["predictions"] == ["ill", "ill"]
