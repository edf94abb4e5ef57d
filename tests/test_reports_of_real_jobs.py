"""Reports and comparisons of jobs that the whole service has run."""

import csv
import io

import matplotlib.image
import numpy as np
import pytest

from tests.processes import fetch

SPACE = {
    "num_layers": {"type": "int", "min": 1, "max": 2},
    "units": {"type": "int", "min": 8, "max": 16, "step": 8, "per_layer": True},
    "learning_rate": {"type": "float", "min": 3e-3, "max": 3e-2, "sampling": "log"},
}


def run(client, model, dataset, strategy="random", trials=3, **changes):
    request = {
        "model": model,
        "dataset": f"builtin:{dataset}",
        "target": "target",
        "search_space": SPACE,
        "strategy": {"name": strategy},
        "evaluation": {"method": "holdout"},
        "budget": {"epochs": 3, "max_trials": trials},
        "seed": 5,
    }
    done = client.wait(client.tune(request | changes)["id"], every=0.1)
    assert done["state"] == "succeeded", done["error"]
    return done


@pytest.mark.parametrize("dataset", ["diabetes", "breast_cancer", "iris"])
def test_a_real_job_is_reported(service, client, dataset):
    job = run(client, f"report-{dataset}", dataset)
    png = fetch(f"{service.url}/tune/{job['id']}/report?format=png").content
    assert matplotlib.image.imread(io.BytesIO(png)).shape[1] == 1800

    version = client.version(job["model"], 1)
    files = f"{service.url}/models/{job['model']}/versions/1/artifacts"
    answers = fetch(f"{files}/held_out.json").json()
    assert version["better_than_trees"] in (True, False, "undecided")
    for name in ("better_than_trees", "conclusion"):
        assert job[name] == version[name] == version["evidence"][name]
    assert job["promotion"] == version["promotion"]
    for metric, score in version["metrics"].items():
        low, high = version["intervals"][metric]
        assert low <= score <= high
    assert {name: each["note"] for name, each in version["baselines"].items()} == {
        "linear": None,
        "trees": None,
    }
    assert version["optimism"]["search"] == pytest.approx(job["best_trial"]["score"])
    important = {item["column"] for item in version["column_importance"]["items"]}
    assert important <= {column["name"] for column in version["signature"]["columns"]}
    assert "held_out.json" in version["files"]
    assert len(answers["truth"]) == answers["rows"] == version["evidence"]["test"]["rows"]
    if dataset == "diabetes":
        errors = np.array(answers["truth"]) - np.array(answers["predictions"])
        assert (errors**2).mean() == pytest.approx(version["metrics"]["mse"], rel=1e-4)
    else:
        best = np.array(answers["probabilities"]).argmax(axis=1)
        right = np.array(answers["classes"])[best] == np.array(answers["truth"])
        assert right.mean() == pytest.approx(version["metrics"]["accuracy"])


def test_real_jobs_are_compared_and_ranked(service, client):
    first = run(client, "compare-random", "diabetes", trials=10)
    second = run(client, "compare-bayesian", "diabetes", "bayesian", trials=4)
    address = f"{service.url}/compare?jobs={first['id']},{second['id']}"
    body = client.compare(first["id"], second["id"])
    assert [item["strategy"] for item in body["items"]] == ["random", "bayesian"]
    for item, job in zip(body["items"], (first, second), strict=True):
        trials = client.trials(job["id"])
        assert item["best_score"] == job["best_trial"]["score"] == min(t["score"] for t in trials)
        assert item["curve"]["best"][-1] == item["best_score"]
        assert item["curve"]["trials"] == list(range(1, len(trials) + 1))
        assert sorted(item["curve"]["numbers"]) == [trial["number"] for trial in trials]
        assert item["curve"]["seconds"] == sorted(item["curve"]["seconds"])
        assert 0 <= item["area_over_trials"] <= item["area_over_seconds"] + 1 <= 2
        assert item["held_out"]["score"] == client.version(job["model"], 1)["metrics"]["loss"]
        assert item["held_out"]["rows"] == 44
    assert body["area_trials"] == 10
    lines = list(csv.DictReader(io.StringIO(fetch(f"{address}&format=csv").text)))
    assert [line["id"] for line in lines] == [first["id"], second["id"]]
    ranking = fetch(f"{service.url}/tune/{first['id']}/importance").json()
    assert {item["hyperparameter"] for item in ranking["items"]} <= set(SPACE)
    assert ranking["warning"]
    assert fetch(f"{service.url}/tune/{second['id']}/importance").status_code == 409

    other = run(client, "compare-iris", "iris", trials=1)
    refused = fetch(f"{service.url}/compare?jobs={first['id']},{other['id']}")
    assert refused.status_code == 422
    assert "dataset" in refused.json()["detail"]
    assert "task: regression" in refused.json()["detail"]
    forced = client.compare(first["id"], other["id"], force=True)
    assert [item["id"] for item in forced["items"]] == [first["id"], other["id"]]
