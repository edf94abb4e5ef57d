"""Workload E: the time until a fixed validation loss is reached.

Luthier is asked through `POST /tune`; Keras Tuner searches with one process a core, each on its
own, and the first to get there counts. Every search has the same rows and the same space, and ends
at the first trial that is good enough or after the same number of trials in all.
"""

import math
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tuning import processes, service
from benchmarks.tuning.contestants.table import CONTESTANTS, CORES
from benchmarks.tuning.preparing import prepare_given
from benchmarks.tuning.task import Task
from benchmarks.tuning.workloads import KERAS_TUNER, SEED, WORKLOADS, Array, Space

TITLE = "seconds until the validation loss that a tenth of random trials of A reach"
STRATEGIES = ("random", "bayesian")
BAR = 15
MAX_TRIALS = 40
SHARE = 0.1  # of the reference trials that reach the target
# The trials of a job share its seed, and so the luck of its order of rows and its initial weights.
REFERENCE_SEEDS = range(10_000, 10_008)
REFERENCE_TRIALS = 16  # of each seed
_MODULE = "benchmarks.tuning.contestants.keras_tuner_target"
# Structures alone make little difference to the loss.
SPACE: Space = {
    **WORKLOADS["A"].space,
    "learning_rate": {"type": "float", "min": 1e-4, "max": 1e-2, "sampling": "log"},
}

Rows = tuple[Array, Array]


@dataclass(frozen=True)
class TargetTask(Task):
    """A search that ends at a target."""

    strategy: str = "random"
    seed: int = 1
    target: float = 0.0  # in the target column's own units


def compare(seeds: int, epochs: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Seconds until the target by strategy, of Luthier and of Keras Tuner."""
    training, validation = divide(*WORKLOADS["A"].table())
    target = _find_target(training, validation, epochs)
    say(f"E: the target is a mean squared error of {target:.1f}")
    found: dict[str, dict[str, list[dict[str, Any]]]] = {
        strategy: {"luthier": [], KERAS_TUNER: []} for strategy in STRATEGIES
    }
    has_peer = CONTESTANTS[KERAS_TUNER].is_installed
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.npz"
        prepare_given("regression", training, validation, rows)
        for seed in range(1, seeds + 1):
            ours = _search_luthier(training, validation, seed, target, epochs)
            for strategy, runs in found.items():
                runs["luthier"].append(ours[strategy])
                if has_peer:
                    runs[KERAS_TUNER].append(_search_peer(rows, strategy, seed, target, epochs))
                latest = {name: searches[-1] for name, searches in runs.items() if searches}
                say(f"E, {strategy}, seed {seed}: {latest}")
    return {
        "title": TITLE,
        "epochs": epochs,
        "target": target,
        "max_trials": MAX_TRIALS,
        "strategies": {
            strategy: {
                name: summarize(searches) if searches else {"missing": True}
                for name, searches in runs.items()
            }
            for strategy, runs in found.items()
        },
    }


def summarize(searches: list[dict[str, Any]]) -> dict[str, Any]:
    """The median of seconds; none if fewer than half of the searches reached the target."""
    seconds = [s["seconds"] if s["reached"] else math.inf for s in searches]
    median = statistics.median(seconds)
    return {"median": median if math.isfinite(median) else None, "searches": searches}


def divide(x: Array, y: Array) -> tuple[Rows, Rows]:
    """Rows to train on and rows to validate on, the same in every search."""
    order = np.random.default_rng(SEED).permutation(len(x))
    cut = len(x) * 4 // 5
    return (x[order[:cut]], y[order[:cut]]), (x[order[cut:]], y[order[cut:]])


def _find_target(training: Rows, validation: Rows, epochs: int) -> float:
    """The loss that a share of the trials of other random searches reaches."""
    scores: list[float] = []
    with service.running() as running:
        request = _request(running, training, validation, epochs)
        budget = {"max_trials": REFERENCE_TRIALS, "epochs": epochs}
        for seed in REFERENCE_SEEDS:
            _, job = running.tune({**request, "budget": budget, "seed": seed})
            scores += [trial["score"] for trial in running.trials(job["id"])]
    return sorted(scores)[math.ceil(SHARE * len(scores)) - 1]


def _search_luthier(
    training: Rows, validation: Rows, seed: int, target: float, epochs: int
) -> dict[str, dict[str, Any]]:
    found = {}
    with service.running() as running:
        request = _request(running, training, validation, epochs)
        request |= {"budget": {"max_trials": MAX_TRIALS, "epochs": epochs, "target": target}}
        for strategy in STRATEGIES:
            seconds, job = running.tune({**request, "strategy": strategy, "seed": seed})
            found[strategy] = {
                "seconds": seconds,
                "reached": job["stop_reason"] == "target",
                "trials": job["progress"]["completed"],
            }
    return found


def _search_peer(
    rows: Path, strategy: str, seed: int, target: float, epochs: int
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        task = TargetTask(
            kind="regression",
            rows=str(rows),
            networks=(),
            epochs=epochs,
            batch=WORKLOADS["A"].batch,
            executions=1,
            folder=folder,
            threads=1,
            processes=CORES,
            strategy=strategy,
            seed=seed,
            target=target,
        )
        seconds, answers = processes.measure(_MODULE, task, until_true=True)
    return {"seconds": seconds, "reached": any(answers)}


def _request(
    running: service.Service, training: Rows, validation: Rows, epochs: int
) -> dict[str, Any]:
    request = service.request_of(WORKLOADS["A"], running.upload(*training))
    evaluation = {
        "method": "holdout",
        "validation_dataset": running.upload(*validation),
        "test_fraction": 0.0,
    }
    return {**request, "search_space": dict(SPACE), "evaluation": evaluation}
