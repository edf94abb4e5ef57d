"""The forecast of a dry run beside the seconds that the job then took.

`python -m benchmarks.forecast` asks a real service for a dry run of each job below, then runs the
job. Early stopping is off, since a forecast counts every epoch. The last line is the time that a
trial takes outside its training, which a forecast adds to each trial.
"""

import argparse
import os
import statistics
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.tuning import service

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
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--only", default="", help="run only jobs with this text in their names")
    chosen = options.parse_args()
    table = Table(title=f"forecast and real seconds, {os.cpu_count()} cores")
    for heading in ("job", "dry run", "forecast", "real", "real ÷ forecast", "load"):
        table.add_column(heading, justify="left" if heading == "job" else "right")
    outside: list[float] = []
    with service.running() as running:
        for name, request in JOBS.items():
            if chosen.only not in name:
                continue
            body = request | {"model": "forecast"}
            started = time.perf_counter()
            forecast = running.client.plan(body)["forecast"]["seconds"]
            asked = time.perf_counter() - started
            real, job = running.tune(body)
            outside += [_seconds_outside_training(trial) for trial in running.trials(job["id"])]
            figures = (asked, forecast, real, real / forecast, os.getloadavg()[0])
            table.add_row(name, *(f"{figure:,.2f}" for figure in figures))
    console = Console()
    console.print(table)
    console.print(f"outside its training a trial takes {statistics.median(outside):.3f} s (median)")


def _seconds_outside_training(trial: Mapping[str, Any]) -> float:
    begin, end = (datetime.fromisoformat(trial[name]) for name in ("started", "finished"))
    return (end - begin).total_seconds() - float(trial["seconds"])


if __name__ == "__main__":
    main()
