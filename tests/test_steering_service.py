"""Steering jobs of the whole service, over HTTP, with real trainings."""

import re
import shutil
import subprocess
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from tests.waiting import PATIENCE, wait_until

SPACE = {
    "num_layers": 0,
    "learning_rate": {"type": "float", "min": 1e-3, "max": 1e-1, "sampling": "log"},
}
RATES = {"num_layers": 0, "learning_rate": {"type": "choice", "values": [0.003, 0.01, 0.03]}}
LAYERED = {
    "num_layers": {"type": "int", "min": 1, "max": 2},
    "units": {"type": "choice", "values": [4, 8], "per_layer": True},
}
STRATEGIES = {
    "manual": {"name": "manual", "trials": [{"units": 4}, {"units": 8}, {"num_layers": 1}]},
    "grid": {"name": "grid", "initial_trials": [{"units": 6}]},
    "random": "random",
    "bayesian": {"name": "bayesian", "num_initial_points": 2},
    "hyperband": {"name": "hyperband", "max_epochs": 3, "factor": 3},
}
TINY = {
    "model": "steered",
    "dataset": "builtin:diabetes",
    "target": "target",
    "budget": {"epochs": 3},
    "evaluation": {"method": "holdout"},
    "early_stopping": None,
    "ensemble": 1,
    "refit": False,
}


@pytest.fixture(scope="module")
def http(service):
    with httpx.Client(base_url=service.url, timeout=PATIENCE) as http:
        yield http


@pytest.fixture(scope="module")
def ended(client):
    """A job of `TINY` and these changes, once it has succeeded."""

    def run(**changes):
        changes["budget"] = TINY["budget"] | changes.get("budget", {})
        return succeeded(client, client.tune(TINY | changes))

    return run


def succeeded(client, job):
    done = client.wait(job["id"], every=0.1)
    assert done["state"] == "succeeded", done["error"]
    return done


def predictions(client, job):
    rows = [[0.01 * column * row for column in range(10)] for row in range(5)]
    return client.predict(job["model"], rows, version=job["version"])["predictions"]


def test_a_running_job_takes_own_trials_and_a_larger_budget(client):
    slow = {"search_space": SPACE, "budget": {"epochs": 1000, "max_trials": 2}, "seed": 11}
    job = client.tune(TINY | slow | {"model": "own", "parallelism": 1})
    (given,) = client.enqueue(job["id"], {"learning_rate": 0.0123})
    client.change_budget(job["id"], max_trials=3)
    done = succeeded(client, job)
    assert done["stop_reason"] == "max_trials"
    assert done["progress"]["completed"] == done["progress"]["total"] == 4
    trials = client.trials(job["id"])
    assert trials[given["number"] - 1]["values"]["learning_rate"] == 0.0123
    assert {trial["state"] for trial in trials} == {"completed"}


def test_equal_trials_are_not_trained_twice(service, client, ended):
    request = {"search_space": RATES, "strategy": "grid", "seed": 12}
    first = ended(**request, model="first")
    second = ended(**request, model="second")
    for trial, source in zip(client.trials(second["id"]), client.trials(first["id"]), strict=True):
        assert trial["reused_from"] == {"job": first["id"], "trial": source["number"]}
        assert trial["score"] == source["score"]
        assert source["reused_from"] is None
    assert predictions(client, second) == predictions(client, first)

    anew = ended(**request, model="anew", reuse=False)
    assert [trial["reused_from"] for trial in client.trials(anew["id"])] == [None] * 3
    assert predictions(client, anew) == predictions(client, first)


def test_a_winner_whose_weights_are_gone_is_trained_again(service, client, ended):
    request = {"search_space": RATES, "strategy": "grid", "seed": 13}
    first = ended(**request, model="kept")
    shutil.rmtree(service.data / "artifacts" / "jobs" / first["id"])
    second = ended(**request, model="regained")
    assert all(trial["reused_from"] for trial in client.trials(second["id"]))
    assert predictions(client, second) == predictions(client, first)
    evidence = client.version("regained", second["version"])["evidence"]
    assert evidence["training"]["seconds"] > 0


def test_another_objective_uses_the_same_trainings(client, ended):
    request = {"search_space": RATES, "strategy": "grid", "seed": 14}
    first = ended(**request)
    second = ended(**request, objective={"metric": "mae"})
    sources = client.trials(first["id"])
    assert [trial["score"] for trial in client.trials(second["id"])] == [
        trial["metrics"]["mae"] for trial in sources
    ]


def test_a_finished_job_goes_on_and_registers_only_a_new_winner(http, client, ended):
    rates = (0.01, 1e-6, 0.1)
    trials = [{"num_layers": 0, "learning_rate": rate} for rate in rates]
    strategy = {"name": "manual", "trials": trials}
    always = {"model": "longer", "seed": 15, "promote": "always"}
    job = ended(**always, strategy=strategy, budget={"max_trials": 1})
    assert (job["version"], job["best_trial"]["number"]) == (1, 1)

    client.change_budget(job["id"], max_trials=2)
    same = succeeded(client, job)
    assert (same["version"], same["best_trial"]["number"]) == (1, 1)
    assert same["conclusion"] == job["conclusion"] == client.version("longer", 1)["conclusion"]
    assert same["progress"]["completed"] == 2
    assert http.get("/models/longer").json()["latest_version"] == 1

    client.change_budget(job["id"], max_trials=None)
    better = succeeded(client, job)
    assert (better["version"], better["best_trial"]["number"]) == (2, 3)
    assert better["conclusion"] == client.version("longer", 2)["conclusion"] != job["conclusion"]
    assert better["stop_reason"] == "exhausted"
    assert better["finished"] > same["finished"] > job["finished"]
    assert client.predict("longer", [[0.0] * 10])["version"] == 2


def test_a_budget_raised_while_the_winner_is_saved_makes_no_version_of_it(http, client):
    changes = {"model": "saving", "search_space": SPACE, "budget": {"epochs": 3, "max_trials": 1}}
    job = client.tune(TINY | changes | {"seed": 19})
    wait_until(lambda: stopped(client, job), every=0.01)
    client.change_budget(job["id"], max_trials=3)
    done = succeeded(client, job)
    assert done["progress"]["completed"] == 3
    version = client.version("saving", done["version"])
    assert version["evidence"]["lineage"]["trial"] == done["best_trial"]["number"]
    assert http.get("/models/saving").json()["latest_version"] == done["version"]


def stopped(client, job):
    found = client.job(job["id"])
    return found if found["stop_reason"] else None


def test_hyperband_goes_on_from_weights_that_it_had_dropped(client, ended):
    strategy = {"name": "hyperband", "max_epochs": 4, "factor": 2}
    request = {"search_space": SPACE, "strategy": strategy, "seed": 16, "reuse": False}
    request["parallelism"] = 1
    whole = ended(**request, budget={"max_trials": 7})
    job = ended(**request, budget={"max_trials": 4})
    client.change_budget(job["id"], max_trials=7)
    succeeded(client, job)
    trials = client.trials(job["id"])
    assert [trial["parent"] is None for trial in trials] == [True] * 4 + [False] * 3
    assert [told(trial) for trial in trials] == [told(t) for t in client.trials(whole["id"])]


def test_a_narrowed_job_begins_with_what_is_known(http, client, ended):
    wide = ended(search_space=SPACE, budget={"max_trials": 8}, seed=17)
    body = {"model": "narrowed", "narrow_from": {"job": wide["id"]}, "budget": {"max_trials": 2}}
    plan = http.post("/tune?dry_run=true", json=body).json()
    job = client.tune(body)
    assert job["request"]["search_space"] == plan["request"]["search_space"]
    done = succeeded(client, job)
    trials = client.trials(job["id"])
    known = trials[: plan["reused"]]
    assert 3 <= len(known) < 8
    assert {trial["reused_from"]["job"] for trial in known} == {wide["id"]}
    assert len(trials) == len(known) + 2
    rates = [trial["values"]["learning_rate"] for trial in trials[len(known) :]]
    bounds = job["request"]["search_space"]["learning_rate"]
    assert all(bounds["min"] <= rate <= bounds["max"] for rate in rates)
    assert done["best_trial"]["score"] <= wide["best_trial"]["score"]
    assert predictions(client, done)


def test_a_job_goes_on_after_an_operator_took_it_from_its_worker(client):
    # No machine trains that during the test.
    long = {"budget": {"epochs": 100_000, "max_trials": 2}, "executions_per_trial": 10}
    job = client.tune(TINY | long | {"search_space": SPACE, "reuse": False})["id"]
    wait_until(lambda: client.job(job)["progress"]["running"] == 2)
    held = client.job(job)
    assert held["held_by"]
    assert datetime.fromisoformat(held["lease_until"]) > datetime.fromisoformat(held["started"])
    taken = client.requeue(job)
    assert (taken["held_by"], taken["state"]) == (None, "queued")
    wait_until(lambda: client.job(job)["progress"]["running"] == 2)
    assert client.job(job)["state"] == "running"
    assert [trial["retries"] for trial in client.trials(job)] == [0, 0]
    client.cancel(job)
    assert client.wait(job, every=0.1)["held_by"] is None
    told = [event["data"] for event in client.events(job)]
    states = [each["state"] for each in told if "state" in each and "trial" not in each]
    assert states == ["queued", "running", "queued", "running", "cancelling", "cancelled"]
    first = [each["state"] for each in told if each.get("trial") == 1 and "state" in each]
    assert first == ["waiting", "running", "waiting", "running", "cancelled"]


def told(trial):
    return trial["values"], trial["score"], trial["epochs"], trial["history"]


def test_the_examples_of_the_documentation_run(service, client, tmp_path):
    page = (Path(__file__).parent.parent / "docs" / "steering.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```bash\n(.*?)```", page, re.S)
    script = "\n".join(blocks).replace("localhost:8000", service.url.removeprefix("http://"))
    finished = subprocess.run(
        ["bash", "-euc", script], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count('\n"reused_from":{"job":"job_') == 6


@pytest.mark.parametrize(
    ("strategy", "parallelism"),
    [(name, 1) for name in STRATEGIES] + [(name, 2) for name in ("random", "grid", "manual")],
)
def test_the_same_request_gives_the_same_trials_and_scores(client, ended, strategy, parallelism):
    limit = {"max_trials": 4} if strategy in ("random", "bayesian") else {}
    request = {
        "search_space": LAYERED,
        "strategy": STRATEGIES[strategy],
        "budget": limit,
        "parallelism": parallelism,
        "seed": 18,
        "reuse": False,
    }
    one, other = (client.trials(ended(**request)["id"]) for _ in range(2))
    assert [told(trial) for trial in one] == [told(trial) for trial in other]
    assert len({str(trial["values"]) for trial in one}) >= 3
