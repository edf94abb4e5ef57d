"""Whole searches through `POST /tune`: more trials, more at once."""

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from benchmarks.tuning import service
from benchmarks.tuning.workloads import WORKLOADS


def grow_trials(counts: Sequence[int], epochs: int) -> list[dict[str, Any]]:
    """Searches of workload A with so many trials each."""
    with service.running() as running:
        dataset = running.upload(*WORKLOADS["A"].table())
        return [_search(running, dataset, count, epochs) for count in counts]


def grow_parallelism(degrees: Sequence[int], trials: int, epochs: int) -> list[dict[str, Any]]:
    """The same search of workload A with so many trials at once."""
    with service.running() as running:
        dataset = running.upload(*WORKLOADS["A"].table())
        return [_search(running, dataset, trials, epochs, degree) for degree in degrees]


def _search(
    running: service.Service,
    dataset: str,
    trials: int,
    epochs: int,
    parallelism: int = os.cpu_count() or 1,
) -> dict[str, Any]:
    """`service_share` is the part of the slots' time in which no network was trained."""
    workload = replace(WORKLOADS["A"], trials=trials, epochs=epochs)
    request = service.request_of(workload, dataset) | {"parallelism": parallelism}
    seconds, job = running.tune(request)
    training = sum(trial["seconds"] for trial in running.trials(job["id"]))
    return {
        "trials": trials,
        "parallelism": parallelism,
        "seconds": seconds,
        "seconds_a_trial": seconds / trials,
        "search_seconds": job["seconds"],
        "service_share": 1 - training / (seconds * parallelism),
    }
