"""The commands of docs/ run as they stand, each page as one script against a real service."""

import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from luthier.client import RequestRefused
from tests.foreign_graphs import linear
from tests.readme import commands, pages_with_commands, run_commands
from tests.waiting import wait_until

# Pages whose commands run in other tests, or cannot run here.
ELSEWHERE = {
    "cli.md": "tests/commands/test_cli_page.py",
    "keys.md": "tests/test_key_commands.py: a first key would close the shared service",
    "operation.md": "tests/test_parts_apart.py: a database and a bucket of one's own",
    "protocols.md": "tests/dialects/test_protocols_page.py",
    "ray.md": "tests/executors/test_ray_cluster.py: a cluster of one's own",
    "retention.md": "tests/retention/test_commands.py",
    "steering.md": "tests/test_steering_service.py",
    "tuning.md": "tests/test_weights_service.py and tests/test_readme.py",
}
HERE = [
    "batch.md",
    "exports.md",
    "keras-tuner.md",
    "monitoring.md",
    "reports.md",
    "retries.md",
    "rollout.md",
    "trial-exports.md",
    "tutorial.md",
]
QUICK: dict[str, Any] = {
    "evaluation": {"method": "holdout"},
    "early_stopping": None,
    "ensemble": 1,
    "refit": False,
    "promote": "always",
    "budget": {"epochs": 1},
}
LINEAR = {"num_layers": 0, "learning_rate": {"type": "float", "min": 0.001, "max": 0.1}}

# Raised inside Keras Tuner's lock.
pytestmark = pytest.mark.filterwarnings("ignore:(currentThread|getName):DeprecationWarning")


def test_every_page_with_commands_is_run_somewhere() -> None:
    assert pages_with_commands() == set(HERE) | set(ELSEWHERE)
    for place in ELSEWHERE.values():
        assert Path(__file__).parents[1].joinpath(place.partition(":")[0].split()[0]).exists()


@pytest.fixture(scope="module")
def houses(client, tmp_path_factory):
    """Four versions of `house-prices`; the file and the id of its dataset."""
    generator = random.Random(0)
    lines = ["id,rooms,city,price"]
    for number in range(80):
        rooms, city = generator.randint(1, 6), generator.choice(["Graz", "Wien", "Linz"])
        price = 60 * rooms + 40 * (city == "Wien") + generator.random()
        lines.append(f"h{number},{rooms},{city},{price:.2f}")
    path = tmp_path_factory.mktemp("houses") / "houses.csv"
    path.write_text("\n".join(lines) + "\n")
    dataset = client.upload(path)["id"]
    request = QUICK | {"model": "house-prices", "dataset": dataset, "target": "price"}
    for rate in (0.01, 0.02, 0.03, 0.04):
        trials = [{"num_layers": 0, "learning_rate": rate}]
        strategy = {"name": "manual", "trials": trials}
        job = client.wait(
            client.tune(request | {"exclude": ["id"], "strategy": strategy})["id"], every=0.1
        )
        assert job["state"] == "succeeded", job["error"]
    return path, dataset


def nothing(folder, **_):
    return {}


def job_of(client, strategy, trials):
    request = QUICK | {"model": "commands", "dataset": "builtin:diabetes", "target": "target"}
    request |= {"search_space": LINEAR, "strategy": strategy}
    request["budget"] = {"epochs": 1, "max_trials": trials}
    done = client.wait(client.tune(request)["id"], every=0.1)
    assert done["state"] == "succeeded", done["error"]
    return done["id"]


def one_job(folder, client, **_):
    return {"JOB": job_of(client, "random", 2)}


def two_jobs(folder, client, **_):
    found = job_of(client, "random", 10)
    return {"JOB": found, "RANDOM_JOB": found, "BAYESIAN_JOB": job_of(client, "bayesian", 3)}


def a_file(folder, houses, **_):
    shutil.copy(houses[0], folder / "houses.csv")
    return {"DATASET": houses[1]}


def a_graph(folder, **_):
    (folder / "theirs.onnx").write_bytes(linear(2))
    return {}


def a_request(folder, **_):
    (folder / "request.json").write_text(
        '{"model": "again", "dataset": "builtin:diabetes", "target": "target", "ensemble": 1,'
        ' "budget": {"max_trials": 1, "epochs": 1}, "evaluation": {"method": "holdout"}}'
    )
    return {}


def a_logged_prediction(folder, client, service, **_):
    body = {"prediction_log": {"sample": 1.0}}
    assert httpx.patch(f"{service.url}/models/house-prices", json=body).is_success

    def logged():
        row = {"rooms": 3, "city": "Graz"}
        answer = client.predict("house-prices", [row])["prediction_id"]
        return answer if answer.startswith("log") else None

    found = wait_until(logged)

    def stored():
        try:
            return client.feedback("house-prices", found, [210.0])
        except RequestRefused as refusal:
            if refusal.status != 409:  # another process has it in memory
                raise
            return None

    wait_until(stored)
    return {"ID": found}


def a_project(folder, **_):
    from tests.keras_tuner_projects import write_project

    def declare(hp):
        hp.Int("units", 8, 32, step=8)
        hp.Float("learning_rate", 1e-4, 1e-1, sampling="log")

    write_project(folder / "tuning" / "diabetes", declare)
    return {}


PREPARED: dict[str, Callable[..., dict[str, str]]] = {
    "batch.md": a_file,
    "exports.md": a_graph,
    "keras-tuner.md": a_project,
    "monitoring.md": a_logged_prediction,
    "reports.md": two_jobs,
    "retries.md": a_request,
    "trial-exports.md": one_job,
}


@pytest.mark.parametrize("page", HERE)
def test_the_commands_of_a_page_run(page, service, client, houses, tmp_path):
    prepare = PREPARED.get(page, nothing)
    variables = prepare(tmp_path, client=client, service=service, houses=houses)
    done = run_commands(commands(page, service.url), tmp_path, sys.executable, variables)
    check = CHECKS.get(page)
    assert check is None or check(tmp_path, done.stdout), done.stdout


CHECKS: dict[str, Callable[[Path, str], bool]] = {
    "batch.md": lambda folder, said: (
        any(folder.glob("*.csv.1")) or len([*folder.glob("*.csv")]) > 1
    ),
    "exports.md": lambda folder, said: (folder / "model.onnx").stat().st_size > 1000,
    "keras-tuner.md": lambda folder, said: said.count('"forecast"') >= 2,
    "reports.md": lambda folder, said: (folder / "report.png").read_bytes().startswith(b"\x89PNG"),
    "rollout.md": lambda folder, said: '"weights":{"3":0.9,"4":0.1}' in said,
    "trial-exports.md": lambda folder, said: (folder / "study.db").exists() and "2 trials" in said,
    "tutorial.md": lambda folder, said: (
        len((folder / "predicted.csv").read_text().splitlines()) == 343
        and '"promotion":{' in said
        and (folder / "penguins.onnx").stat().st_size > 1000
    ),
}
