"""The figures of `/metrics` and the checks of `/readyz`."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from models.jobs.reader import JobStatistics
from models.retention.usage import Usage
from models.serving.shadows import ShadowResult
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.store.readiness import artifacts_trouble, database_trouble

OK = "ok"
WRITE_EVERY = 10.0  # seconds between two tests of writing, where the last one went well
CHECK_SECONDS = 2.0  # that all checks may take; the probe of Kubernetes gives up after 3

_PARTS = {"database": "The database", "artifacts": "The artifact root"}

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds

log = logging.getLogger(__name__)


class Readiness:
    """The checks of one process: whether it can serve requests, and what is missing."""

    def __init__(self, database: Database, artifacts: Artifacts) -> None:
        self.is_draining: Callable[[], bool] = lambda: False  # whether the process is to end soon
        self._database = database
        self._artifacts = artifacts
        self._lock = threading.Lock()
        self._test: _Test | None = None  # that has begun and not ended
        self._written_until = 0.0  # by the monotonic clock: when to try to write again

    def checks(self) -> dict[str, str]:
        """Return every check by its name: `ok`, or what is wrong.

        A process that is to end makes no other checks. What does not answer within seconds counts
        as wrong; its test goes on, and nothing waits for it.
        """
        if self.is_draining():
            return {"process": "The process is draining: it ends soon."}
        with self._lock:
            test = self._test
            if test is None or not test.is_alive():
                test = self._test = _Test(self._run_test)
                test.start()
        test.join(CHECK_SECONDS)
        found = {"process": OK, **test.found}
        for part, what in _PARTS.items():
            if part not in found:
                found[part] = f"{what} does not answer."
                break
        return {part: found.get(part, "It was not tested.") for part in ("process", *_PARTS)}

    def _run_test(self, found: dict[str, str]) -> None:
        """Test the parts one after the other; whether they can be written, every few seconds."""
        writes = time.monotonic() >= self._written_until
        found["database"] = database_trouble(self._database, writes) or OK
        found["artifacts"] = artifacts_trouble(self._artifacts, writes) or OK
        if writes and set(found.values()) == {OK}:
            self._written_until = time.monotonic() + WRITE_EVERY
        elif set(found.values()) != {OK}:
            self._written_until = 0.0


class _Test(threading.Thread):
    """A run of the checks, and what it has found so far."""

    def __init__(self, run: Callable[[dict[str, str]], None]) -> None:
        super().__init__(name="readiness", daemon=True)
        self._run = run
        self.found: dict[str, str] = {}

    def run(self) -> None:
        self._run(self.found)


class ApiMetrics:
    """The counts of one server, which may have several processes.

    With PROMETHEUS_MULTIPROC_DIR set before prometheus_client was imported, each process writes
    its counts to a file there, and every process answers for all. Labels take only values that
    the service knows: routes, methods of HTTP, and versions that have answered.
    """

    def __init__(self, statistics: Callable[[], JobStatistics], usage: Callable[[], Usage]) -> None:
        own = CollectorRegistry()
        folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        self._requests = Counter(
            "luthier_http_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=own,
        )
        self._seconds = Histogram(
            "luthier_http_request_seconds",
            "Seconds until an answer began.",
            ["method", "route"],
            buckets=BUCKETS,
            registry=own,
        )
        self.in_flight = Gauge(
            "luthier_http_requests_in_flight",
            "Requests being answered, streams of events included.",
            registry=own,
            multiprocess_mode="livesum",
        )
        self._predictions = Counter(
            "luthier_predictions", "Requests predicted.", ["model", "version"], registry=own
        )
        self._rows = Counter(
            "luthier_predicted_rows", "Rows predicted.", ["model", "version"], registry=own
        )
        self._shadow_requests = Counter(
            "luthier_shadow_requests",
            "Requests for shadows.",
            ["model", "version", "outcome"],
            registry=own,
        )
        self._shadow_rows, self._shadow_differing, self._shadow_difference = (
            Counter(f"luthier_shadow_{name}", text, ["model", "version"], registry=own)
            for name, text in (
                ("rows", "Rows that shadows computed."),
                ("differing_rows", "Rows whose class was another than the one answered."),
                ("absolute_difference", "Sum of absolute differences from numbers answered."),
            )
        )
        self._shown = own
        if folder is not None:
            self._shown = CollectorRegistry()
            self._shown.register(_AllProcesses(Path(folder)))
        self._shown.register(_StatisticsCollector(statistics, usage))
        # To find the counter of some labels takes longer than to count.
        self._request_counter = lru_cache(1024)(self._requests.labels)
        self._request_seconds = lru_cache(1024)(self._seconds.labels)
        self._prediction_counter = lru_cache(1024)(self._predictions.labels)
        self._row_counter = lru_cache(1024)(self._rows.labels)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request of `route` that was answered after `seconds`."""
        self._request_counter(method, route, f"{status // 100}xx").inc()
        self._request_seconds(method, route).observe(seconds)

    def predicted(self, model: str, version: int, rows: int) -> None:
        """Count a request whose `rows` rows a version has predicted."""
        self._prediction_counter(model, version).inc()
        self._row_counter(model, version).inc(rows)

    def shadowed(self, result: ShadowResult) -> None:
        """Count a request for a shadow, and how its predictions differ."""
        names = (result.model, result.version)
        self._shadow_requests.labels(*names, result.outcome).inc()
        self._shadow_rows.labels(*names).inc(result.rows)
        self._shadow_differing.labels(*names).inc(result.differing)
        self._shadow_difference.labels(*names).inc(result.difference)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Return every metric in the format that `accept` asks for, and its media type."""
        encode, media_type = choose_encoder(accept)
        return encode(self._shown), media_type


class _AllProcesses(Collector):
    """The counts in the files of a folder, with those of processes that have ended."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        """Add up what the processes have counted."""
        files = [str(file) for file in self._folder.glob("*.db") if _has_counts(file)]
        found: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
        return found


def _has_counts(file: Path) -> bool:
    """Return whether a file can be read.

    One that a process is just making is still empty; that of a gauge goes with its process.
    """
    try:
        return file.stat().st_size > 0
    except FileNotFoundError:
        return False


class _StatisticsCollector(Collector):
    """Figures that are the same whichever process or replica is asked."""

    def __init__(self, statistics: Callable[[], JobStatistics], usage: Callable[[], Usage]) -> None:
        self._statistics = statistics
        self._usage = usage

    def collect(self) -> Iterator[Metric]:
        """Query the database once; if it does not answer, return only that."""
        up = GaugeMetricFamily("luthier_database_up", "Whether the database answers: 1 or 0.")
        try:
            statistics, usage = self._statistics(), self._usage()
        except SQLAlchemyError as error:
            log.warning("no figures from the database: %s", error)
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        yield _labelled("luthier_jobs", "Jobs by state.", "state", statistics.jobs)
        yield _labelled("luthier_trials", "Trials by state.", "state", statistics.trials)
        yield _labelled(
            "luthier_trial_failures",
            "Failed trials by what went wrong.",
            "kind",
            statistics.failures,
        )
        yield _labelled(
            "luthier_trainer_seconds",
            "Seconds of training, of all trials that have ended, by trainer.",
            "trainer",
            statistics.trainer_seconds,
        )
        yield _labelled("luthier_bytes", "Bytes stored, by kind.", "kind", usage.bytes)
        for name, text, value in (
            (
                "queue_age_seconds",
                "Age of the oldest queued job; 0 for none.",
                statistics.queue_age,
            ),
            ("jobs_without_worker", "Begun jobs that no worker holds.", statistics.without_worker),
            ("versions", "Published versions of all models.", statistics.versions),
            ("removals", "Folders listed for the removal of files.", usage.removals),
        ):
            yield GaugeMetricFamily(f"luthier_{name}", text, value)


def _labelled(name: str, text: str, label: str, values: Mapping[Any, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([str(key)], value)
    return family
