"""What a trial's process holds in memory after more and more trials, and what Keras's holds."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from benchmarks.tuning import processes, service
from benchmarks.tuning.preparing import draw_networks, prepare_rows
from benchmarks.tuning.task import Task
from benchmarks.tuning.workloads import WORKLOADS

_LOOK_EVERY = 0.1  # seconds
_MORE = 10  # trials after the last look, so that the winner's export is not in it
_MIB = 1024**2


def grow_service(marks: Sequence[int]) -> list[dict[str, Any]]:
    """Memory of the worker and of its one trial process, in MiB, after so many trials of A."""
    workload = replace(WORKLOADS["A"], trials=marks[-1] + _MORE, epochs=1)
    found: list[dict[str, Any]] = []
    with service.running(slots=1) as running:
        request = service.request_of(workload, running.upload(*workload.table()))
        worker = _find(running.process, "worker")
        job = running.client.tune(request)["id"]
        for mark in marks:
            while (now := running.client.job(job))["progress"]["completed"] < mark:
                if now["state"] not in ("queued", "running"):
                    raise RuntimeError(f"The job {now['state']}: {now['error']}")
                time.sleep(_LOOK_EVERY)
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
