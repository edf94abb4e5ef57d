"""A real service on a free port, whose trial processes are warm."""

import io
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.server import serving, wait_until_idle
from benchmarks.tuning.preparing import TARGET, layers
from benchmarks.tuning.workloads import SEED, Array, Workload
from luthier.client import Client

_WARM_UP = {
    "model": "warm-up",
    "dataset": "builtin:xor",
    "target": "target",
    "search_space": {"num_layers": 2, "units": 16},
    "evaluation": {"method": "train"},
    "reuse": False,
}


@dataclass(frozen=True)
class Service:
    """One that runs."""

    client: Client
    process: psutil.Process  # `luthier serve`

    def upload(self, x: Array, y: Array) -> str:
        """Store arrays as a dataset and answer its id."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.npz"
            packed = io.BytesIO()
            np.savez(packed, x=x, y=y)
            path.write_bytes(packed.getvalue())
            return str(self.client.upload(path)["id"])

    def tune(self, request: Mapping[str, Any]) -> tuple[float, dict[str, Any]]:
        """Seconds from the request until its job has succeeded, and that job.

        The end is what the job itself says: looks that are frequent enough to see it would take
        the trials a seventh of the processor.
        """
        started = datetime.now(UTC)
        job = self.client.wait(self.client.tune(request)["id"])
        if job["state"] != "succeeded":
            raise RuntimeError(f"The job {job['state']}: {job['error']}")
        return (datetime.fromisoformat(job["finished"]) - started).total_seconds(), job

    def trials(self, job: str) -> list[dict[str, Any]]:
        """Every trial of a job, in the order of their numbers."""
        found: list[dict[str, Any]] = []
        while page := self.client.trials(job, limit=1000, **_after(found)):
            found += page
        return found


def _after(found: list[dict[str, Any]]) -> dict[str, int]:
    return {"after": found[-1]["number"]} if found else {}


@contextmanager
def running(slots: int | None = None) -> Iterator[Service]:
    """`luthier serve` with an empty database until the end of the block; warm before it begins."""
    with serving(slots) as (url, pid), Client(url) as client:
        service = Service(client, psutil.Process(pid))
        _warm_up(service, slots or os.cpu_count() or 1)
        yield service


def request_of(workload: Workload, dataset: str) -> dict[str, Any]:
    """What is posted to `/tune` to search a workload at random."""
    return {
        "model": f"benchmark-{workload.name.lower()}",
        "dataset": dataset,
        "target": TARGET,
        "task": workload.kind,
        "search_space": dict(workload.space),
        "strategy": "random",
        "budget": {"max_trials": workload.trials, "epochs": workload.epochs},
        "evaluation": dict(workload.evaluation),
        "executions_per_trial": workload.executions,
        "early_stopping": None,
        "seed": SEED,
        "reuse": False,
        # As the others do: the best network is kept, and nothing is trained after the search.
        "ensemble": 1,
        "refit": False,
    }


def measure(workload: Workload, networks: tuple[tuple[int, ...], ...]) -> float:
    """Seconds until the job of a workload has succeeded, its winner exported and registered.

    Raises RuntimeError if it trained other networks than `networks`.
    """
    with running() as service:
        dataset = service.upload(*workload.table())
        seconds, job = service.tune(request_of(workload, dataset))
        trained = tuple(layers(trial["values"]) for trial in service.trials(job["id"]))
    if sorted(trained) != sorted(networks):
        raise RuntimeError("The service trained other networks than the rest.")
    return seconds


def _warm_up(service: Service, slots: int) -> None:
    """Have every trial process started, and wait until none of them has anything left to do."""
    service.tune({**_WARM_UP, "budget": {"max_trials": 2 * slots, "epochs": 1}})
    wait_until_idle(service.process.pid)
