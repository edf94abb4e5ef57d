"""The worker's own `/healthz` and `/metrics`."""

import json
import logging
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import psutil
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import ThreadingWSGIServer
from prometheus_client.registry import Collector

from models.errors import SettingError
from models.jobs.worker.context import WorkerHealth
from models.settings import Settings

log = logging.getLogger(__name__)


@contextmanager
def serve_health(settings: Settings, health: WorkerHealth) -> Iterator[None]:
    """Serve in background threads while the block runs, if there is an address for it.

    Raises SettingError if the address cannot be listened on.
    """
    if not settings.worker_bind:
        yield
        return
    host, port = settings.worker_address
    server_class = _Server6 if ":" in host else ThreadingWSGIServer
    try:
        server = make_server(host, port, _application(health), server_class, _QuietHandler)
    except OSError as error:
        raise SettingError(
            f"LUTHIER_WORKER_BIND={settings.worker_bind!r}: {error.strerror}."
        ) from None
    with server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        log.info("the worker's metrics are at http://%s/metrics", settings.worker_bind)
        yield
        server.shutdown()


class _Server6(ThreadingWSGIServer):
    address_family = socket.AF_INET6


class _QuietHandler(WSGIRequestHandler):
    timeout = 10.0  # seconds that a client may be silent

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: probes come every few seconds."""


def _application(health: WorkerHealth) -> Any:
    registry = CollectorRegistry()
    registry.register(_HealthCollector(health))
    metrics = make_wsgi_app(registry)

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            return metrics(environ, start_response)
        fault = health.fault()
        if path != "/healthz":
            status, body = "404 Not Found", {"detail": "Ask for /healthz or /metrics."}
        elif fault:
            status, body = "503 Service Unavailable", {"status": "stuck", "detail": fault}
        else:
            status, body = "200 OK", {"status": "ok"}
        start_response(status, [("Content-Type", "application/json")])
        return [json.dumps(body).encode()]

    return application


class _HealthCollector(Collector):
    def __init__(self, health: WorkerHealth) -> None:
        self._health = health
        self._process = psutil.Process()

    def collect(self) -> Iterator[Metric]:
        """Read every figure at the moment of the scrape."""
        health = self._health
        for name, text, value in (
            ("slots", "Trials that the worker runs at once.", health.slots),
            ("busy_slots", "Slots that run a task.", health.busy),
            ("jobs", "Jobs that the worker holds.", health.jobs),
            ("loop_age_seconds", "Since the worker last looked after its jobs.", health.loop_age),
            ("lease_age_seconds", "Since the leases were last renewed.", health.renewal_age),
        ):
            yield GaugeMetricFamily(f"luthier_worker_{name}", text, value)
        trials = sum(map(_resident, self._process.children(recursive=True)))
        yield _labelled(
            "memory_bytes",
            "Resident memory of the worker itself and of its trials' processes together; shared"
            " pages count for each.",
            "process",
            {"worker": _resident(self._process), "trials": trials},
        )
        if health.gpus is not None:
            yield _labelled(
                "gpus",
                "GPUs that TensorFlow sees in the trials' processes, by device name.",
                "device",
                health.gpus or {"none": 0},
            )


def _labelled(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(f"luthier_worker_{name}", text, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family


def _resident(process: psutil.Process) -> int:
    """Return a process's resident memory in bytes; 0 if it has ended."""
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
