"""The time that the service adds to the training of a job.

`python -m benchmarks.service` posts jobs one after the other to a warm, idle service. For each it
prints the seconds from `POST /tune` until the job has succeeded with its winner registered, those
of the search, and, for each trial, the milliseconds of the search and of training; all are medians
over `--seeds` seeds. `--only TEXT` runs the jobs with it in their names, `--trials N` changes
the number of trials of the long ones.
"""

import argparse
from collections.abc import Mapping
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.tuning import service
from benchmarks.tuning.contestants.table import CORES
from benchmarks.tuning.target import SPACE

WIDE = {
    "num_layers": {"type": "int", "min": 2, "max": 5},
    "units": {"type": "int", "min": 64, "max": 512, "step": 32},
    "learning_rate": {"type": "float", "min": 1e-4, "max": 1e-2, "sampling": "log"},
}
NARROW = {
    "num_layers": {"type": "int", "min": 1, "max": 3},
    "units": {"type": "int", "min": 8, "max": 64, "step": 8},
    "learning_rate": {"type": "float", "min": 1e-4, "max": 1e-1, "sampling": "log"},
    "dropout": {"type": "float", "min": 0.0, "max": 0.5},
    "batch_size": {"type": "choice", "values": [16, 32, 64]},
    "activation": {"type": "choice", "values": ["relu", "selu", "tanh"]},
}
TINY = {"num_layers": 1, "units": {"type": "int", "min": 4, "max": 32}, "batch_size": 64}
_REACHED_AT_ONCE = 1e12  # a target that the first trial reaches


def jobs(trials: int | None) -> Mapping[str, dict[str, Any]]:
    """Return the requests by name; `trials` is the number of trials of the long ones."""
    return {
        "one trial": _job(1, 20),
        "first trial reaches the target, random": _job(40, 20, target=_REACHED_AT_ONCE),
        "first trial reaches the target, bayesian": _job(
            40, 20, "bayesian", target=_REACHED_AT_ONCE
        ),
        "8 trials, random": _job(8, 20),
        "8 trials, bayesian": _job(8, 20, "bayesian"),
        "8 trials, hyperband": _job(8, 9, {"name": "hyperband", "max_epochs": 9, "factor": 3}),
        "long, tiny networks": {
            **_job(trials or 128, 10, space=TINY),
            "dataset": "builtin:iris",
        },
        "long, random": _job(trials or 64, 20, space=WIDE),
        "long, bayesian": _job(trials or 48, 30, "bayesian", space=NARROW),
    }


def _job(
    trials: int,
    epochs: int,
    strategy: Any = "random",
    space: Mapping[str, Any] = SPACE,
    **budget: Any,
) -> dict[str, Any]:
    return {
        "model": "benchmark",
        "dataset": "builtin:diabetes",
        "target": "target",
        "search_space": dict(space),
        "strategy": strategy,
        "evaluation": {"method": "holdout"},
        "budget": {"max_trials": trials, "epochs": epochs, **budget},
        "early_stopping": None,
        "reuse": False,
    }


def measure(running: service.Service, request: Mapping[str, Any]) -> dict[str, float]:
    """Run one job; return its figures."""
    seconds, job = running.tune(request)
    trials = running.trials(job["id"])
    training = sum(trial["seconds"] or 0.0 for trial in trials)
    return {
        "trials": len(trials),
        "seconds": seconds,
        "search": job["seconds"],
        "ms of search a trial": 1000 * job["seconds"] / len(trials),
        "ms of training a trial": 1000 * training / len(trials),
        "slots' time in training": training / (CORES * job["seconds"]),
    }


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--only", default="")
    options.add_argument("--trials", type=int)
    options.add_argument("--seeds", type=int, default=3)
    chosen = options.parse_args()
    table = Table(title=f"{CORES} trial slots, medians of {chosen.seeds} seeds")
    table.add_column("job")
    with service.running() as running:
        for name, request in jobs(chosen.trials).items():
            if chosen.only not in name:
                continue
            seeds = range(1, chosen.seeds + 1)
            runs = [measure(running, {**request, "seed": seed}) for seed in seeds]
            figures = {key: median(run[key] for run in runs) for key in runs[0]}
            if not table.row_count:
                for heading in figures:
                    table.add_column(heading, justify="right")
            table.add_row(name, *(f"{figure:.4g}" for figure in figures.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
