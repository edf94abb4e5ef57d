"""How far forecasts are off: jobs through a real service, each asked for and then done.

`python -m benchmarks.forecast` starts `luthier serve` in a folder of its own, asks for a dry run of
each job below, runs the job, and prints the forecast beside the real figure, and how many times the
forecast the real figure is. Disk is foreseen for the expected and for the largest network, and is
the winner's in the end. Early stopping is off, since a forecast counts every epoch. The last line
is what a trial takes beside its training, which `models/jobs/forecasting.py` adds to each.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.serving import free_address
from luthier.client import Client

SMALL = {
    "num_layers": {"type": "int", "min": 1, "max": 2},
    "units": {"type": "int", "min": 8, "max": 32, "step": 8},
}
LARGE = {
    "num_layers": {"type": "int", "min": 2, "max": 5},
    "units": {"type": "int", "min": 64, "max": 512, "step": 32, "per_layer": True},
    "batch_size": {"type": "choice", "values": [32, 64, 128]},
}
CNN = {
    "conv_blocks": {"type": "int", "min": 1, "max": 2},
    "filters": {"type": "choice", "values": [8, 16]},
    "num_layers": 1,
    "units": {"type": "choice", "values": [32, 64]},
    "batch_size": 64,
}
WHOLE = {"target": "target", "early_stopping": None, "reuse": False}
DIABETES = WHOLE | {"dataset": "builtin:diabetes"}
JOBS: Mapping[str, dict[str, Any]] = {
    "small networks, random": DIABETES
    | {"search_space": SMALL, "budget": {"max_trials": 40, "epochs": 100}},
    "large networks, random": DIABETES
    | {"search_space": LARGE, "budget": {"max_trials": 30, "epochs": 30}},
    "large networks, bayesian": DIABETES
    | {
        "search_space": LARGE,
        "strategy": "bayesian",
        "budget": {"max_trials": 20, "epochs": 30},
    },
    "five folds": DIABETES
    | {
        "search_space": SMALL,
        "budget": {"max_trials": 20, "epochs": 60},
        "evaluation": {"method": "cv", "folds": 5},
    },
    "grid of widths": DIABETES
    | {
        "search_space": {"units": {"type": "choice", "values": [16, 64, 256]}, "num_layers": 3},
        "strategy": "grid",
        "budget": {"epochs": 100},
    },
    "hyperband": WHOLE
    | {
        "dataset": "builtin:digits",
        "strategy": {"name": "hyperband", "max_epochs": 27},
    },
    "cnn of digits": WHOLE
    | {
        "dataset": "builtin:digits",
        "network": "cnn",
        "search_space": CNN,
        "budget": {"max_trials": 6, "epochs": 10},
    },
}


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--only", help="run only jobs with this in their names")
    options = arguments.parse_args()
    console = Console(width=110)
    table = Table(title=f"forecast and real figure, {os.cpu_count()} cores")
    for heading in ("job", "figure", "forecast", "real", "real ÷ forecast"):
        table.add_column(heading, justify="left" if heading in ("job", "figure") else "right")
    beside: list[float] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(serving(folder))
        client = stack.enter_context(Client(url))
        for name, request in JOBS.items():
            if options.only and options.only not in name:
                continue
            body = request | {"model": "forecast"}
            started = time.perf_counter()
            plan = client.plan(body)
            asked = time.perf_counter() - started
            job = client.wait(client.tune(body)["id"])
            assert job["state"] == "succeeded", job
            trials = client.trials(job["id"], limit=1000)
            beside += [_seconds_beside_training(trial) for trial in trials]
            add_rows(table, name, plan["forecast"], job)
            load = os.getloadavg()[0]
            console.print(f"{name}: dry run answered in {asked:.1f} s, load average {load:.1f}")
    console.print(table)
    console.print(f"beside its training a trial takes {statistics.median(beside):.3f} s (median)")


def add_rows(table: Table, name: str, forecast: Mapping[str, Any], job: Mapping[str, Any]) -> None:
    """The figures of one job: its dry run's, its worker's and the real ones."""
    actual, own = job["actual"], job["forecast"]  # no forecast where quick trials were over before
    disk, real_disk = forecast["disk_bytes"], actual["disk_bytes"] / 1e3
    rows = [
        ("seconds, dry run", forecast["seconds"], actual["seconds"]),
        *([] if own is None else [("seconds, worker", own["seconds"], actual["seconds"])]),
        ("saving seconds", forecast["saving_seconds"], actual["saving_seconds"]),
        ("memory, MB", forecast["memory_bytes"] / 1e6, actual["memory_bytes"] / 1e6),
        ("disk, kB, expected", disk["expected"] / 1e3, real_disk),
        ("disk, kB, largest", disk["largest"] / 1e3, real_disk),
    ]
    for number, (figure, foreseen, real) in enumerate(rows):
        ratio = real / foreseen if foreseen else float("nan")
        table.add_row(
            name if number == 0 else "",
            figure,
            f"{foreseen:,.2f}",
            f"{real:,.2f}",
            f"{ratio:.2f}",
            end_section=number == len(rows) - 1,
        )


def _seconds_beside_training(trial: Mapping[str, Any]) -> float:
    begin, end = (datetime.fromisoformat(trial[name]) for name in ("started", "finished"))
    return (end - begin).total_seconds() - float(trial["seconds"])


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """A `luthier serve` that is ready; its address."""
    bind = free_address()
    environment = {**os.environ, "LUTHIER_BIND": bind, "LUTHIER_DATA": str(folder / "data")}
    with (folder / "service.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "luthier", "serve"],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 120
        while "Luthier is ready" not in (folder / "service.log").read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((folder / "service.log").read_text())
            time.sleep(0.2)
        yield f"http://{bind}"
    finally:
        process.terminate()
        process.wait(30)


if __name__ == "__main__":
    main()
