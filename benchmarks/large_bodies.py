"""The time of single-row predictions while other clients send bodies of 10,000 rows.

`python -m benchmarks.large_bodies` trains one small version and serves it in one process. Four
connections ask for one row each, again as soon as they are answered: alone, and beside two clients
that send large bodies in the same way. Both take turns for `--rounds` rounds. It prints the median
and the 99th percentile of the single rows, their ratios, and the rows a second of the large bodies.
`--url` measures a service that runs already and has the model `diabetes`.
"""

import argparse
import http.client
import json
import multiprocessing
import threading
import time
from contextlib import ExitStack
from multiprocessing.pool import Pool
from statistics import quantiles
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Table

from benchmarks.server import serving, wait_until_idle
from luthier.client import Client

SINGLE, LARGE = 4, 2  # connections
ROWS = 10_000
ROW = [0.04, 0.05, 0.06, 0.02, -0.04, -0.03, -0.04, 0.0, 0.02, -0.02]
REQUEST = {
    "model": "diabetes",
    "dataset": "builtin:diabetes",
    "target": "target",
    "search_space": {"num_layers": 3, "units": 256},
    "budget": {"max_trials": 1, "epochs": 2},
}


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seconds", type=float, default=4.0)
    arguments.add_argument("--url")
    options = arguments.parse_args()
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        pool = stack.enter_context(context.Pool(2))
        bind = urlsplit(options.url or _trained(stack)).netloc
        _measure(pool, bind, 1.0, beside=True)  # everything is loaded
        alone: list[float] = []
        beside: list[float] = []
        answered = 0
        for _ in range(options.rounds):
            alone += _measure(pool, bind, options.seconds, beside=False)[0]
            found, large = _measure(pool, bind, options.seconds, beside=True)
            beside += found
            answered += large
    _report(alone, beside, answered * ROWS / (options.rounds * options.seconds))


def _trained(stack: ExitStack) -> str:
    """Start a service with the model and return its address."""
    url, process = stack.enter_context(serving())
    with Client(url) as client:
        job = client.wait(client.tune(REQUEST)["id"])
        if job["state"] != "succeeded":
            raise RuntimeError(f"The job {job['state']}: {job['error']}")
    wait_until_idle(process)
    return url


def _measure(pool: Pool, bind: str, seconds: float, *, beside: bool) -> tuple[list[float], int]:
    """Return the seconds of each single row, and how many large bodies were answered."""
    large = pool.apply_async(ask, (bind, ROWS, LARGE, seconds)) if beside else None
    single = pool.apply_async(ask, (bind, 1, SINGLE, seconds)).get()
    return single, 0 if large is None else len(large.get())


def ask(bind: str, rows: int, connections: int, seconds: float) -> list[float]:
    """Return the seconds of each request of so many connections, which ask one after the other."""
    body = json.dumps({"model": "diabetes", "instances": [ROW] * rows}).encode()
    found: list[float] = []

    def loop() -> None:
        connection = http.client.HTTPConnection(bind)
        deadline = time.perf_counter() + seconds
        while (begun := time.perf_counter()) < deadline:
            connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                raise RuntimeError(f"The answer is {response.status}.")
            found.append(time.perf_counter() - begun)

    threads = [threading.Thread(target=loop) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def _report(alone: list[float], beside: list[float], rate: float) -> None:
    table = Table("single rows", "requests", "p50, ms", "p99, ms")
    cuts = {}
    for name, found in (("alone", alone), (f"beside {LARGE} × {ROWS:,} rows", beside)):
        percents = quantiles(found, n=100)
        cuts[name] = percents[49], percents[98]
        table.add_row(name, f"{len(found):,}", *(f"{1000 * cut:.1f}" for cut in cuts[name]))
    first, second = cuts.values()
    table.add_row("ratio", "", *(f"{b / a:.1f}" for a, b in zip(first, second, strict=True)))
    console = Console()
    console.print(table)
    console.print(f"large bodies: {rate:,.0f} rows/s")


if __name__ == "__main__":
    main()
