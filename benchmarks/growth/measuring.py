"""How time and memory grow: with trials and parallelism, with rows, with trials of one process."""

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.tuning import processes, service
from benchmarks.tuning.preparing import draw_networks, prepare_rows
from benchmarks.tuning.task import Array, Fold, Task, save
from benchmarks.tuning.workloads import WORKLOADS

FEATURES, LAYERS, EPOCHS, BATCH = 20, (256, 128), 2, 256  # of the networks of growing rows
_VALIDATION_SHARE = 5  # every fifth row
_MODULES = "benchmarks.tuning.contestants"
_POLL_SECONDS = 0.1
_MORE_TRIALS = 10  # after the last mark, so that the winner's export is not measured
_MIB = 1024**2


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


def grow_rows(counts: Sequence[int], most_served: int) -> list[dict[str, Any]]:
    """Seconds of one trial on so many rows; through the service up to `most_served` rows."""
    found = []
    with service.running() as running:
        for count in counts:
            x, y = _table(count)
            trainer, floor = _alone(x, y)
            served = _served(running, x, y) if count <= most_served else None
            found.append({"rows": count, "trainer": trainer, "floor": floor, "service": served})
    return found


def _table(rows: int) -> tuple[Array, Array]:
    draw = np.random.default_rng(0)
    x = draw.standard_normal((rows, FEATURES), dtype=np.float32)
    return x, np.sin(x).sum(axis=1)


def _alone(x: Array, y: Array) -> Iterator[float]:
    """Seconds of the trainer and of the matrix products alone, one process of one thread."""
    cut = len(x) - len(x) // _VALIDATION_SHARE
    fold = Fold(x[:cut], y[:cut], x[cut:], y[cut:], classes=1, target_scale=1.0)
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.npz"
        save(rows, [fold])
        task = Task("regression", str(rows), (LAYERS,), EPOCHS, BATCH, 1, folder, threads=1)
        for module in ("luthier_trainer", "matrix_products"):
            yield processes.measure(f"{_MODULES}.{module}", task)[0]


def _served(running: service.Service, x: Array, y: Array) -> float:
    """Seconds from the request until the version of its one trial is there."""
    request = {
        "model": "growth",
        "dataset": running.upload(x, y),
        "target": "y",
        "task": "regression",
        "search_space": {
            "num_layers": len(LAYERS),
            "units": {"type": "choice", "values": list(LAYERS), "per_layer": True},
            "batch_size": BATCH,
        },
        "strategy": {
            "name": "manual",
            "trials": [{"num_layers": len(LAYERS), "units": list(LAYERS)}],
        },
        "budget": {"epochs": EPOCHS},
        "evaluation": {"method": "holdout", "test_fraction": 0.0},
        "early_stopping": None,
        "reuse": False,
    }
    return running.tune(request)[0]


def grow_service(marks: Sequence[int]) -> list[dict[str, Any]]:
    """Memory of the worker and of its one trial process, in MiB, after so many trials of A."""
    workload = replace(WORKLOADS["A"], trials=marks[-1] + _MORE_TRIALS, epochs=1)
    found: list[dict[str, Any]] = []
    with service.running(slots=1) as running:
        request = service.request_of(workload, running.upload(*workload.table()))
        worker = _find(running.process, "worker")
        job = running.client.tune(request)["id"]
        for mark in marks:
            while (now := running.client.job(job))["progress"]["completed"] < mark:
                if now["state"] not in ("queued", "running"):
                    raise RuntimeError(f"The job {now['state']}: {now['error']}")
                time.sleep(_POLL_SECONDS)
            trials = _find(worker, "spawn_main")
            found.append({"trials": mark, "worker": _rss(worker), "trial_process": _rss(trials)})
        running.client.wait(job)
    return found


def grow_keras(marks: Sequence[int]) -> list[dict[str, Any]]:
    """Memory of one process, in MiB, in which Keras fits one network of A after the other."""
    workload = replace(WORKLOADS["A"], trials=marks[-1], epochs=1)
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.npz"
        prepare_rows(workload, rows)
        task = Task(
            workload.kind,
            str(rows),
            draw_networks(workload),
            workload.epochs,
            workload.batch,
            workload.executions,
            folder,
        )
        _, (held,) = processes.measure("benchmarks.growth.keras_memory", task)
    return [{"trials": mark, "process": held[mark - 1] / _MIB} for mark in marks]


def _find(process: psutil.Process, word: str) -> psutil.Process:
    """The largest process below `process` that has `word` in its command."""
    found = [p for p in process.children(recursive=True) if any(word in a for a in p.cmdline())]
    return max(found, key=_rss)


def _rss(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / _MIB
