"""Use `luthier serve` for a while and check that nothing grows.

`python -m tests.chaos.soak --minutes 30` runs jobs, predictions, uploads and deletions in loops
and measures every few seconds. The first third of the time is the warm-up. A line is fitted to
the rest; what it rises by must stay below a bound. The exit status is 1 where it does not.
"""

import argparse
import itertools
import json
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.chaos.calls import Calls
from tests.chaos.lanes import stop_on_signals
from tests.chaos.plan import ROWS, JobPlan
from tests.chaos.rounds import start_job, upload
from tests.chaos.service.deployment import Deployment

_PATIENCE = 120.0  # seconds
_THINK_SECONDS = 0.05  # between a client's calls
_MEGABYTE = 1 << 20
_SHARE = 0.1  # of the median; what a measure may rise by if that is above its bound
_BOUNDS: dict[str, float] = {  # what each may rise by after the warm-up
    "memory": 32.0,  # MB
    "open files": 4,
    "connections": 4,
    "threads": 3,
    "database": 0.5,  # MB
    "files": 8,
    "temporary": 2,
}
_WARM_UP = 1 / 3  # of the time
_AUDIT_DAYS = 5 / (24 * 60)  # five minutes: by default the audit log keeps every change for good


@dataclass
class Soak:
    """A service under use, and what was measured of it."""

    deployment: Deployment
    calls: Calls
    stop: threading.Event = field(default_factory=threading.Event)
    done: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    samples: list[tuple[float, dict[str, float]]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def run(self, seconds: float, every: float) -> None:
        """Use the service for so long, and measure it every so many seconds."""
        loops: Sequence[Callable[[int], None]] = (self.tune, self.predict, self.upload)
        self.tune(0)  # so that there is a model to predict with
        threads = [threading.Thread(target=self._loop, args=(loop,)) for loop in loops]
        for thread in threads:
            thread.start()
        began = time.monotonic()
        while time.monotonic() - began < seconds and not self.errors:
            self.samples.append((time.monotonic() - began, self.measure()))
            self.stop.wait(every)
        self.stop.set()
        for thread in threads:
            thread.join()

    def tune(self, number: int) -> None:
        """Run a job, predict with its version, and delete both; the first model is kept."""
        plan = JobPlan("random", 1 + number % 2, number)
        model = f"soak-{number}"
        dataset = upload(self.calls)
        job = start_job(self.calls, plan.request(model, dataset), model)
        while self.calls.document(f"/tune/{job}", params={"wait": 10})["state"] not in (
            "succeeded",
            "failed",
        ):
            continue
        self._send("POST", "/predict", json={"model": model, "instances": ROWS})
        self._send("DELETE", f"/tune/{job}")
        if number:
            self._send("DELETE", f"/models/{model}")

    def predict(self, number: int) -> None:
        """Predict a few rows with the model that stays."""
        self._send("POST", "/predict", json={"model": "soak-0", "instances": ROWS})
        if number % 20 == 0:
            self._send("GET", "/models")
            self._send("GET", "/tune")

    def upload(self, number: int) -> None:
        """Store a table that nobody stored before, read it, and delete it."""
        rows = "".join(f"{number},{row},{row % 7}\n" for row in range(200))
        files = {"file": ("table.csv", f"a,b,c\n{rows}".encode())}
        answer = self.calls.until_answered("POST", "/datasets", files=files)
        dataset = answer.json()["id"]
        self._send("GET", f"/datasets/{dataset}")
        self._send("DELETE", f"/datasets/{dataset}")

    def measure(self) -> dict[str, float]:
        """Return every measure now: of each kind of process, and of what is stored."""
        found: defaultdict[str, float] = defaultdict(float)
        for process in self.deployment.marked():
            try:
                kind = _kind(process)
                with process.oneshot():
                    found[f"memory: {kind}"] += process.memory_info().rss / _MEGABYTE
                    found[f"open files: {kind}"] += process.num_fds()
                    found[f"threads: {kind}"] += process.num_threads()
                    found[f"connections: {kind}"] += len(process.net_connections())
            except psutil.Error:
                continue
        disk = self.deployment.disk
        stored = sum(path.stat().st_size for path in disk.data.glob("luthier.db*"))
        found["database: bytes (MB)"] = stored / _MEGABYTE
        found["files: stored"] = sum(path.is_file() for path in disk.artifacts.rglob("*"))
        folders = [part.temporary for part in self.deployment.parts]
        found["temporary: files"] = sum(1 for folder in folders for _ in folder.iterdir())
        return dict(found)

    def _loop(self, act: Callable[[int], None]) -> None:
        try:
            for number in itertools.count(1):
                if self.stop.is_set():
                    return
                act(number)
                self.done[act.__name__] += 1
                self.stop.wait(_THINK_SECONDS)
        except Exception as error:
            self.errors.append(f"{act.__name__}: {type(error).__name__}: {error}")

    def _send(self, method: str, path: str, **arguments: object) -> None:
        answer = self.calls.until_answered(method, path, **arguments)
        if not answer.is_success:
            self.refused[f"{method} {'/'.join(path.split('/')[:2])}: {answer.status_code}"] += 1


def growth(samples: Sequence[tuple[float, Mapping[str, float]]], name: str) -> float:
    """Return by how much a measure rises along a line fitted to what follows the warm-up."""
    times, values = _after_warm_up(samples, name)
    if len(times) < 2:
        return 0.0
    line = statistics.linear_regression(times, values)
    return line.slope * (times[-1] - times[0])


def bound(samples: Sequence[tuple[float, Mapping[str, float]]], name: str) -> float:
    """Return by how much a measure may rise."""
    _, values = _after_warm_up(samples, name)
    median = statistics.median(values) if values else 0.0
    return max(_BOUNDS[name.partition(":")[0]], _SHARE * median)


def rendered(samples: Sequence[tuple[float, Mapping[str, float]]]) -> tuple[str, list[str]]:
    """Return the table of measures, and the names of those that grow."""
    lines = ["| measure | first | median | last | rises by | may rise by |", "|" + " --- |" * 6]
    grown = []
    for name in sorted({name for _, sample in samples for name in sample}):
        _, values = _after_warm_up(samples, name)
        if not values:
            continue
        rise, limit = growth(samples, name), bound(samples, name)
        figures = (samples[0][1].get(name, 0.0), statistics.median(values), values[-1])
        cells = [name, *(f"{figure:,.1f}" for figure in (*figures, rise, limit))]
        lines.append(f"| {' | '.join(cells)} |")
        if rise > limit:
            grown.append(name)
    return "\n".join(lines), grown


def _after_warm_up(
    samples: Sequence[tuple[float, Mapping[str, float]]], name: str
) -> tuple[list[float], list[float]]:
    start = samples[-1][0] * _WARM_UP
    kept = [(at, sample[name]) for at, sample in samples if at >= start and name in sample]
    return [at for at, _ in kept], [value for _, value in kept]


def _kind(process: psutil.Process) -> str:
    line = process.cmdline()
    if "--multiprocessing-fork" in line:
        return "trials"
    if line[1:3] != ["-m", "luthier"]:
        return "other"
    parent = process.parent()
    is_fork = parent is not None and parent.cmdline() == line
    return f"{line[3]} process" if is_fork else line[3]


def main() -> int:
    """Use the service, print the table, and say what grew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between measures")
    parser.add_argument("--json", type=Path, help="file for every measure")
    wanted = parser.parse_args()
    stop_on_signals()
    folder = Path(tempfile.mkdtemp(prefix="luthier-soak-"))
    deployment = Deployment(folder / "service", "sqlite", None, keep_audit_days=_AUDIT_DAYS)
    deployment.start()
    soak = Soak(deployment, Calls(deployment.urls, _PATIENCE))
    try:
        soak.run(wanted.minutes * 60, wanted.every)
    finally:
        soak.calls.close()
        left = deployment.close()
        deployment.release(keep=False)
    table, grown = rendered(soak.samples)
    done = ", ".join(f"{count:,} times {name}" for name, count in sorted(soak.done.items()))
    print(f"{table}\n\n{done}")
    problems = [*soak.errors, *soak.calls.faults, *soak.calls.unanswered, *deployment.exits]
    problems += [f"refused {count} times: {call}" for call, count in soak.refused.items()]
    problems += [f"left in the temporary folder: {name}" for name in left]
    problems += [f"grows: {name}" for name in grown]
    print("\n".join(problems) or "Nothing grew.")
    if wanted.json:
        wanted.json.write_text(json.dumps(soak.samples))
    shutil.rmtree(folder, ignore_errors=True)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
