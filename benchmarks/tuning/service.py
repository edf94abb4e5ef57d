"""A real service on a free port, whose trial processes are warm."""

import io
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from benchmarks.tuning.preparing import TARGET, layers
from benchmarks.tuning.workloads import SEED, Array, Workload
from luthier.client import Client

_READY_WITHIN = 120.0  # seconds
_IDLE = 0.1  # seconds of CPU in half a second, below which a service has nothing to do
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
    with tempfile.TemporaryDirectory() as folder:
        bind = f"127.0.0.1:{_free_port()}"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("LUTHIER_")}
        environment |= {
            "LUTHIER_BIND": bind,
            "LUTHIER_DATA": folder,
            "LUTHIER_LOG_LEVEL": "WARNING",
            "LUTHIER_TRIAL_SLOTS": str(slots or 0),
        }
        command = [sys.executable, "-m", "luthier", "serve"]
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            with Client(f"http://{bind}") as client:
                service = Service(client, psutil.Process(process.pid))
                _wait_until_ready(bind, process)
                _warm_up(service, slots or os.cpu_count() or 1)
                yield service
        finally:
            process.terminate()
            process.wait(timeout=30)


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


def _free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(bind: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _READY_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"http://{bind}/readyz").is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise RuntimeError("The service did not start.")


def _warm_up(service: Service, slots: int) -> None:
    """Have every trial process started, and wait until none of them has anything left to do."""
    service.tune({**_WARM_UP, "budget": {"max_trials": 2 * slots, "epochs": 1}})
    while True:
        before = _cpu_seconds(service.process)
        time.sleep(0.5)
        if _cpu_seconds(service.process) - before < _IDLE:
            return


def _cpu_seconds(process: psutil.Process) -> float:
    total = 0.0
    for member in [process, *process.children(recursive=True)]:
        times = member.cpu_times()
        total += times.user + times.system
    return total
