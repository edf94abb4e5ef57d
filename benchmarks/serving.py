"""Requests per second of one-row predictions, against what they would be done by otherwise.

`make bench-serving` trains one small version, then asks it over HTTP through gunicorn with one
process, and asks the same network in the same way through `model.predict`, through `model(x)` and
through a route that computes nothing. The rounds alternate; the figure is their median.
"""

import argparse
import http.client
import json
import multiprocessing
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

from luthier.client import Client

CLIENTS = 8
ROUNDS = 5
SECONDS = 3.0
ROW = [0.04, 0.05, 0.06, 0.02, -0.04, -0.03, -0.04, 0.0, 0.02, -0.02]
REQUEST = {
    "model": "diabetes",
    "dataset": "builtin:diabetes",
    "target": "target",
    "search_space": {"num_layers": 3, "units": 256},
    "budget": {"max_trials": 1, "epochs": 2},
}
LUTHIER = "Luthier `POST /predict` (ONNX Runtime)"
KERAS_ROUTES = {
    "predict": "Flask route, Keras `model.predict`",
    "call": "Flask route, Keras `model(x)`",
    "nothing": "Flask route that computes nothing",
}


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=ROUNDS)
    arguments.add_argument("--seconds", type=float, default=SECONDS)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as servers:
        targets = start_servers(servers, Path(folder))
        for name, (bind, path, body) in targets.items():
            print(f"warming up: {name}", flush=True)
            measure(bind, path, body, 0.5)
        rates: dict[str, list[float]] = {name: [] for name in targets}
        for _ in range(options.rounds):
            for name, (bind, path, body) in targets.items():
                rates[name].append(measure(bind, path, body, options.seconds))
    report(rates)


def start_servers(servers: ExitStack, folder: Path) -> dict[str, tuple[str, str, bytes]]:
    """Name -> address, path and body of what is compared; each has one process to itself."""
    bind = servers.enter_context(luthier(folder))
    body = json.dumps({"model": "diabetes", "instances": [ROW]}).encode()
    targets = {LUTHIER: (bind, "/predict", body)}
    keras_bind = servers.enter_context(keras_routes(folder / "model.keras"))
    for path, name in KERAS_ROUTES.items():
        targets[name] = (keras_bind, f"/{path}", json.dumps({"instances": [ROW]}).encode())
    return targets


@contextmanager
def luthier(folder: Path) -> Iterator[str]:
    """The embedded service with one trained version, whose network goes to `model.keras`."""
    bind = free_address()
    environment = os.environ | {"LUTHIER_BIND": bind, "LUTHIER_DATA": str(folder / "data")}
    with running([sys.executable, "-m", "luthier", "serve"], environment, bind, "/readyz"):
        with Client(f"http://{bind}") as client:
            job = client.wait(client.tune(REQUEST)["id"])
            assert job["state"] == "succeeded", job["error"]
        found = httpx.get(f"http://{bind}/models/diabetes/versions/1/artifacts/model.keras")
        (folder / "model.keras").write_bytes(found.content)
        yield bind


@contextmanager
def keras_routes(model: Path) -> Iterator[str]:
    """The same network in a plain Flask application under gunicorn."""
    bind = free_address()
    command = ["-m", "gunicorn", "-b", bind, "-k", "gthread", "--threads", str(CLIENTS)]
    command += ["--no-control-socket", "--chdir", str(Path(__file__).parent), "keras_server:app"]
    environment = os.environ | {"MODEL": str(model), "TF_CPP_MIN_LOG_LEVEL": "3"}
    with running([sys.executable, *command], environment, bind, "/ready"):
        yield bind


@contextmanager
def running(
    command: list[str], environment: dict[str, str], bind: str, ready: str
) -> Iterator[None]:
    """A server process, from its first answer until the end of the block."""
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"http://{bind}{ready}").is_success:
                    break
            except httpx.TransportError:
                time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


def measure(bind: str, path: str, body: bytes, seconds: float) -> float:
    """Answers per second to CLIENTS connections that each ask again once they are answered.

    The connections are shared by two processes, because one would be the bottleneck.
    """
    context = multiprocessing.get_context("fork")
    with context.Pool(2) as pool:
        counts = pool.starmap(ask, [(bind, path, body, seconds, CLIENTS // 2)] * 2)
    return sum(counts) / seconds


def ask(bind: str, path: str, body: bytes, seconds: float, connections: int) -> int:
    """Count the answers that `connections` threads get within `seconds`."""
    counts: list[int] = []

    def loop() -> None:
        connection = http.client.HTTPConnection(bind)
        deadline, count = time.monotonic() + seconds, 0
        while time.monotonic() < deadline:
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.read()
            assert response.status == 200, response.status
            count += 1
        counts.append(count)

    threads = [threading.Thread(target=loop) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts)


def report(rates: dict[str, list[float]]) -> None:
    """Print medians and ratios to `model.predict`."""
    medians = {name: statistics.median(found) for name, found in rates.items()}
    baseline = medians[KERAS_ROUTES["predict"]]
    table = Table("one row over HTTP, one process, 8 clients", "requests/s", "ratio", "spread")
    for name, median in medians.items():
        spread = f"{min(rates[name]):,.0f}–{max(rates[name]):,.0f}"
        table.add_row(name, f"{median:,.0f}", f"{median / baseline:.1f}×", spread)
    console = Console()
    console.print(table)
    console.print(f"{os.cpu_count()} cores, {platform.processor() or platform.machine()}")


def free_address() -> str:
    """A loopback address that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


if __name__ == "__main__":
    main()
