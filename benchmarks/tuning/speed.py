"""Seconds a trial of every contestant, in rounds that alternate between them."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.tuning import processes, results, service
from benchmarks.tuning.contestants.table import CONTESTANTS, Contestant, Way
from benchmarks.tuning.preparing import draw_networks, prepare_rows
from benchmarks.tuning.task import Layers, Task
from benchmarks.tuning.workloads import SERVICE, Workload, representative

Say = Callable[[str], None]

_MODULES = "benchmarks.tuning.contestants"


def compare(workload: Workload, rounds: int, say: Say) -> dict[str, Any]:
    """Seconds a trial by contestant.

    In the first round a contestant is tried in all its ways, then in the one that was fastest.
    """
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.npz"
        prepare_rows(workload, rows)
        lanes = [_Lane(CONTESTANTS[name]) for name in workload.contestants]
        lanes = [lane for lane in lanes if lane.contestant.is_installed]
        measurement = _Measurement(workload, draw_networks(workload), str(rows))
        for number in range(rounds):
            for lane in lanes if number % 2 == 0 else reversed(lanes):
                lane.measure(measurement)
                say(f"{workload.name}, round {number + 1}: {lane}")
    measured = {lane.contestant.name: lane.summary() for lane in lanes}
    missing = {"missing": True}
    return {
        "title": workload.title,
        "epochs": workload.epochs,
        "contestants": {name: measured.get(name, missing) for name in workload.contestants},
    }


class _Measurement:
    """Measures any contestant on one workload."""

    def __init__(self, workload: Workload, networks: tuple[Layers, ...], rows: str) -> None:
        self._workload, self._networks, self._rows = workload, networks, rows
        few = representative(networks, workload.slow_trials)
        self._few = tuple(networks[number] for number in few)

    def networks(self, contestant: Contestant) -> tuple[Layers, ...]:
        """Those that a contestant trains."""
        return self._few if contestant.is_slow else self._networks

    def seconds(self, contestant: Contestant, way: Way) -> float:
        """Seconds a trial."""
        networks = self.networks(contestant)
        if contestant.name == SERVICE:
            return service.measure(self._workload, networks) / len(networks)
        with tempfile.TemporaryDirectory() as folder:
            task = Task(
                kind=self._workload.kind,
                rows=self._rows,
                networks=networks,
                epochs=self._workload.epochs,
                batch=self._workload.batch,
                executions=self._workload.executions,
                folder=folder,
                threads=way.threads,
                processes=way.processes,
                variant=way.variant,
            )
            seconds, _ = processes.measure(f"{_MODULES}.{contestant.module}", task)
        return seconds / len(networks)


class _Lane:
    """One contestant through the rounds."""

    def __init__(self, contestant: Contestant) -> None:
        self.contestant = contestant
        self._figures: dict[str, list[float]] = {way.label: [] for way in contestant.ways}
        self._ways = contestant.ways
        self._trials = 0
        self._error: str | None = None

    def measure(self, measurement: _Measurement) -> None:
        """One round more, unless it failed before."""
        if self._error is not None:
            return
        self._trials = len(measurement.networks(self.contestant))
        try:
            for way in self._ways:
                self._figures[way.label].append(measurement.seconds(self.contestant, way))
        except (processes.ContestantFailed, RuntimeError) as error:
            self._error = str(error)
            return
        self._ways = (min(self._ways, key=lambda way: self._figures[way.label][-1]),)

    def summary(self) -> dict[str, Any]:
        """What is written down."""
        if self._error is not None:
            return {"error": self._error}
        best = self._ways[0].label
        return {
            "seconds": results.spread(self._figures[best]),
            "trials": self._trials,
            "way": best,
            "first_round": {label: rounds[0] for label, rounds in self._figures.items()},
        }

    def __str__(self) -> str:
        if self._error is not None:
            return f"{self.contestant.title} failed: {self._error}"
        latest = self._figures[self._ways[0].label][-1]
        return f"{self.contestant.title} {latest:.4g} s a trial"
