"""What moves `champion`, over HTTP with a real worker, by jobs of keys with different scopes."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from luthier.client import Client, RequestRefused
from tests.processes import free_bind, running, stop
from tests.waiting import PATIENCE, wait_until

BOSS, TUNER = "b" * 40, "t" * 40
KEYS = f"boss:admin:{BOSS},tuner:read+tune+predict:{TUNER}"
TINY: dict[str, Any] = {
    "target": "y",
    "features": ["a", "b"],
    "strategy": "grid",
    "evaluation": {"method": "holdout", "test_fraction": 0.3},
    "ensemble": 1,
}
LINEAR = {"num_layers": 0, "optimizer": "adam", "batch_size": 16}
GOOD = {"search_space": LINEAR | {"learning_rate": 0.1}, "budget": {"epochs": 30, "max_trials": 1}}
POOR = {"search_space": LINEAR | {"learning_rate": 1e-6}, "budget": {"epochs": 1, "max_trials": 1}}
FAIR = GOOD | {"budget": {"epochs": 3, "max_trials": 1}}

Clients = dict[str, Client]
Tune = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    """Clients of a service, by the name of their key."""
    folder = tmp_path_factory.mktemp("promotion")
    bind, log = free_bind(), folder / "service.log"
    settings = {"data": folder / "data", "trial_slots": 2, "api_keys": KEYS}
    with running("serve", log, bind=bind, **settings) as process:
        wait_until(lambda: process.poll() is not None or _is_ready(log))
        url = f"http://{bind}"
        with Client(url, PATIENCE, BOSS) as boss, Client(url, PATIENCE, TUNER) as tuner:
            yield {"boss": boss, "tuner": tuner}
        assert stop(process) == 0, log.read_text()


def _is_ready(log: Path) -> bool:
    return "Luthier is ready" in log.read_text()


@pytest.fixture(scope="module")
def dataset(clients: Clients, tmp_path_factory: pytest.TempPathFactory) -> str:
    rows = np.random.default_rng(5).normal(size=(200, 3)).tolist()
    lines = [f"{a},{b},{5 * a - b + 0.1 * noise},{a + b}" for a, b, noise in rows]
    path = tmp_path_factory.mktemp("rows") / "plane.csv"
    path.write_text("\n".join(["a,b,y,z", *lines]))
    return str(clients["boss"].upload(path)["id"])


@pytest.fixture(scope="module")
def tune(clients: Clients, dataset: str) -> Tune:
    """Tune as the holder of a key; return the job when it has succeeded."""

    def run(key: str, model: str, quality: dict[str, Any], **changes: Any) -> dict[str, Any]:
        client = clients[key]
        request = TINY | quality | {"model": model, "dataset": dataset} | changes
        job = client.wait(client.tune(request)["id"], every=0.1)
        assert job["state"] == "succeeded", job["error"]
        return job

    return run


def champion(client: Client, model: str) -> int:
    """The version that answers."""
    return int(client.predict(model, [{"a": 1.0, "b": 1.0}])["version"])


def test_only_a_better_version_of_those_who_may_becomes_the_champion(
    clients: Clients, tune: Tune
) -> None:
    boss, tuner = clients["boss"], clients["tuner"]

    first = tune("tuner", "plane", POOR)
    assert first["promotion"]["reason"] == "It is the first version of the model."
    assert champion(tuner, "plane") == 1

    better = tune("tuner", "plane", GOOD)
    found = better["promotion"]
    assert (found["promoted"], found["better"], found["champion"]) == (False, True, 1)
    assert "But it is not allowed: the key of the job lacks the scope `promote`" in found["reason"]
    assert (found["metric"], found["rows"]) == ("rmse", 60)
    assert 0 < found["difference_interval"][0] < found["champion_score"] - found["score"]
    assert tuner.version("plane", 2)["promotion"] == found
    assert champion(tuner, "plane") == 1

    with pytest.raises(RequestRefused, match="403"):
        tuner.auto_promote("plane")
    assert boss.auto_promote("plane")["auto_promote"] is True
    assert tune("tuner", "plane", GOOD)["promotion"]["promoted"]
    assert champion(tuner, "plane") == 3

    # One epoch, and another target: neither moves what production answers.
    worse = tune("tuner", "plane", POOR)["promotion"]
    assert (worse["promoted"], worse["better"]) == (False, False)
    assert worse["reason"].startswith("It is worse than the champion, version 3: rmse ")
    other = tune("tuner", "plane", GOOD, target="z")["promotion"]
    assert (other["promoted"], other["differs"]) == (False, ["target"])
    assert "only `breaking: true` promotes such a version" in other["reason"]
    forced = tune("boss", "plane", GOOD, target="z", promote="always")["promotion"]
    assert not forced["promoted"]
    assert champion(tuner, "plane") == 3

    assert tune("boss", "plane", POOR, promote="never")["promotion"]["promoted"] is False
    changes = {"target": "z", "promote": "always", "breaking": True}
    assert tune("boss", "plane", GOOD, **changes)["promotion"]["promoted"]
    assert champion(tuner, "plane") == 8

    assert boss.promote("plane", 3, "The target was wrong.", expected=8)["aliases"] == {
        "champion": 3
    }
    moves = tuner.moves("plane")
    told = [(move["from"], move["to"], move["by"]) for move in moves]
    assert told == [(8, 3, "boss"), (3, 8, "boss"), (1, 3, "tuner"), (None, 1, "tuner")]
    assert moves[0]["reason"] == "The target was wrong."
    assert (moves[0]["job"], moves[0]["promotion"]) == (None, None)
    assert moves[2]["promotion"] == tuner.version("plane", 3)["promotion"]
    assert moves[2]["job"] == tuner.version("plane", 3)["job"]


def test_of_two_better_jobs_that_end_together_the_best_is_the_champion(
    clients: Clients, dataset: str, tune: Tune
) -> None:
    """Whichever is published last was compared with the champion that it finds then."""
    boss = clients["boss"]
    tune("boss", "raced", POOR)
    request = TINY | {"model": "raced", "dataset": dataset}
    started = [boss.tune(request | quality)["id"] for quality in (GOOD, FAIR)]
    good, fair = (boss.wait(job, every=0.1) for job in started)
    assert {good["version"], fair["version"]} == {2, 3}
    assert champion(boss, "raced") == good["version"]
    assert good["promotion"]["promoted"]
    assert good["promotion"]["champion"] == (
        fair["version"] if fair["promotion"]["promoted"] else 1
    )
    assert fair["promotion"]["champion"] == (
        1 if fair["promotion"]["promoted"] else good["version"]
    )
    moves = [move for move in boss.moves("raced") if move["from"]]
    assert [move["from"] for move in moves] == [move["promotion"]["champion"] for move in moves]


def test_a_key_that_may_tune_cannot_ask_for_more(clients: Clients, dataset: str) -> None:
    request = TINY | POOR | {"model": "asked", "dataset": dataset}
    for field, value in (("promote", "always"), ("breaking", True)):
        for send in (clients["tuner"].tune, clients["tuner"].plan):
            with pytest.raises(RequestRefused) as refused:
                send(request | {field: value})
            assert refused.value.status == 403
            assert list(refused.value.problem["errors"]) == [field]


def test_a_job_that_another_key_steered_moves_no_alias_by_the_right_of_its_own(
    clients: Clients, tune: Tune
) -> None:
    boss, tuner = clients["boss"], clients["tuner"]
    good = tune("boss", "steered", GOOD)
    rates = {"type": "choice", "values": [0.1, 1e-6]}
    job = tune(
        "boss",
        "steered",
        GOOD | {"search_space": LINEAR | {"learning_rate": rates}},
        budget={"epochs": 30, "max_trials": 2},
        promote="always",
    )
    assert job["promotion"]["promoted"]
    poor = max(tuner.trials(job["id"]), key=lambda trial: trial["score"])
    tuner.finish(job["id"], poor["number"])
    verdict = tuner.wait(job["id"], every=0.1)["promotion"]
    assert not verdict["promoted"]
    assert "But it is not allowed" in verdict["reason"]
    assert champion(boss, "steered") == job["version"] > good["version"]
