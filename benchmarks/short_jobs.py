"""What a job costs beside its training.

`python -m benchmarks.short_jobs` posts small jobs, one after the other, to a real service that is
warm and idle, and prints the seconds from `POST /tune` until each has succeeded, its winner
registered, beside those in which networks were trained. Medians over `--seeds` many.
"""

import argparse
from collections.abc import Mapping
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.tuning import service
from benchmarks.tuning.target import SPACE

_ANY = 1e12  # a target that the first trial reaches
_DIABETES = {
    "model": "diabetes",
    "dataset": "builtin:diabetes",
    "target": "target",
    "search_space": dict(SPACE),
    "early_stopping": None,
    "reuse": False,
}
_IRIS = {
    **_DIABETES,
    "model": "iris",
    "dataset": "builtin:iris",
    "search_space": {"num_layers": 1, "units": {"type": "int", "min": 4, "max": 32}},
}
_HYPERBAND = {"name": "hyperband", "max_epochs": 9, "factor": 3}

JOBS: Mapping[str, Mapping[str, Any]] = {
    "one trial": {**_DIABETES, "budget": {"max_trials": 1, "epochs": 20}},
    "random, the first trial reaches the target": {
        **_DIABETES,
        "budget": {"max_trials": 40, "epochs": 20, "target": _ANY},
    },
    "bayesian, the first trial reaches the target": {
        **_DIABETES,
        "strategy": "bayesian",
        "budget": {"max_trials": 40, "epochs": 20, "target": _ANY},
    },
    "random, 8 trials": {**_DIABETES, "budget": {"max_trials": 8, "epochs": 20}},
    "bayesian, 8 trials": {
        **_DIABETES,
        "strategy": "bayesian",
        "budget": {"max_trials": 8, "epochs": 20},
    },
    "hyperband, 8 trials": {
        **_DIABETES,
        "strategy": _HYPERBAND,
        "budget": {"max_trials": 8, "epochs": 9},
    },
    "iris, 8 trials": {**_IRIS, "budget": {"max_trials": 8, "epochs": 10}},
}


def measure(seeds: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds of each job, the whole and those of training, by seed."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in JOBS}
    with service.running() as running:
        for seed in range(1, seeds + 1):
            for name, request in JOBS.items():
                seconds, job = running.tune({**request, "seed": seed})
                trials = running.trials(job["id"])
                found[name].append((seconds, sum(trial["seconds"] or 0.0 for trial in trials)))
    return found


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=5)
    found = measure(options.parse_args().seeds)
    table = Table("job", "seconds", "of them training, all slots together")
    for name, runs in found.items():
        whole, trained = (median(column) for column in zip(*runs, strict=True))
        table.add_row(name, f"{whole:.2f}", f"{trained:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
