"""A real service whose trials run on a Ray cluster of two nodes, of which one is killed."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.cluster_utils import Cluster

from luthier.client import Client
from tests.processes import free_bind, running, stop
from tests.ray_nodes import ray_cluster
from tests.waiting import PATIENCE, wait_until

ROWS = "x,y\n" + "".join(f"{number},{2 * number % 7}\n" for number in range(60))
SPACE = {"num_layers": 1, "units": 2, "batch_size": 4}
RATES = {"learning_rate": {"type": "float", "min": 1e-4, "max": 1e-2, "sampling": "log"}}
SUBMITTED = re.compile(r"task \d+ runs on node (\w+)")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with ray_cluster(1, 1) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ray") / "service.log"


@pytest.fixture(scope="module")
def client(cluster: Cluster, log: Path) -> Iterator[Client]:
    settings = {"executor": "ray", "ray_address": cluster.address, "log_level": "DEBUG"}
    settings |= {"data": str(log.parent / "data"), "forecast_seconds": "0"}
    bind = free_bind()
    with running("serve", log, bind=bind, **settings) as process:
        wait_until(lambda: process.poll() is not None or "Luthier is ready" in log.read_text())
        assert process.poll() is None, log.read_text()
        with Client(f"http://{bind}", timeout=PATIENCE) as client:
            yield client
        assert stop(process) == 0, log.read_text()


@pytest.fixture(scope="module")
def dataset(client: Client, log: Path) -> str:
    path = log.parent / "lines.csv"
    path.write_text(ROWS)
    return str(client.upload(path)["id"])


def request(dataset: str, model: str, **changes: Any) -> dict[str, Any]:
    return {
        "model": model,
        "dataset": dataset,
        "target": "y",
        "task": "regression",
        "evaluation": {"method": "holdout"},
        "search_space": {**SPACE, **RATES},
        "strategy": "random",
        "reuse": False,
        **changes,
    }


def trials_of(client: Client, job: str) -> list[dict[str, Any]]:
    return list(client.trials(job))


def test_a_job_of_short_trials_uses_every_node(
    client: Client, cluster: Cluster, dataset: str, log: Path
) -> None:
    body = request(dataset, "short", budget={"max_trials": 200, "epochs": 1})
    job = client.wait(client.tune(body)["id"])
    assert job["state"] == "succeeded", job
    assert job["progress"]["completed"] == 200
    used = Counter(SUBMITTED.findall(log.read_text()))
    nodes: list[Any] = [cluster.head_node, *cluster.worker_nodes]
    assert used.keys() == {node.node_id for node in nodes}
    assert used.total() >= 200
    assert min(used.values()) >= 20, used


def test_a_job_goes_on_when_a_node_is_killed(
    client: Client, cluster: Cluster, dataset: str
) -> None:
    # Long enough that it is far from its end when the node has gone.
    body = request(dataset, "killed", budget={"max_trials": 50, "epochs": 800})
    started = client.tune(body)["id"]
    wait_until(lambda: client.job(started)["progress"]["completed"] >= 2)
    (node,) = cluster.worker_nodes
    cluster.remove_node(node, allow_graceful=False)
    before = client.job(started)["progress"]["completed"]
    job = client.wait(started)
    assert before < 50, "the node was killed too late"
    assert job["state"] == "succeeded", job
    trials = trials_of(client, started)
    assert sorted(trial["number"] for trial in trials) == list(range(1, 51))
    assert {trial["state"] for trial in trials} == {"completed"}
    assert sum(trial["retries"] for trial in trials) <= 1
    assert all(trial["epochs"] == 800 for trial in trials)


def test_a_cancelled_job_frees_its_slot(client: Client, dataset: str) -> None:
    body = request(dataset, "endless", budget={"max_trials": 5, "epochs": 100_000})
    endless = client.tune(body)["id"]
    wait_until(lambda: client.job(endless)["progress"]["running"])
    client.cancel(endless)
    assert client.wait(endless)["state"] == "cancelled"
    body = request(dataset, "after", budget={"max_trials": 1, "epochs": 1})
    assert client.wait(client.tune(body)["id"])["state"] == "succeeded"
