"""The embedded service: API and worker as two processes of this machine."""

import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import closing

import httpx

from luthier.commands.own_service import end_with_parent
from luthier.server import check_bind, check_free
from models.errors import Unavailable
from models.settings import Settings
from models.store.engine import Database
from models.store.migrate import migrate
from models.store.readiness import wait_for

log = logging.getLogger(__name__)

_READY_WITHIN = 300.0  # seconds
_STOP_WITHIN = 12.0  # seconds
_POLL_SECONDS = 0.1
_RESTART_AFTER = 1.0  # seconds


def run_embedded(settings: Settings) -> int:
    """Serve until SIGTERM or Ctrl-C and return the exit status.

    A worker that dies is restarted and continues its jobs. If the API dies, everything stops.
    """
    check_bind(settings)
    check_free(settings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if not _migrate(settings, stop):
        return 0
    api, worker = _start("api"), _start("worker")
    try:
        if not _wait_until_ready(settings, api, stop):
            return 0 if stop.is_set() else 1
        print(f"Luthier is ready at http://{settings.bind}", flush=True)
        while not stop.wait(_POLL_SECONDS):
            if api.poll() is not None:
                log.error("the API ended with status %s", api.returncode)
                return 1
            if worker.poll() is not None:
                log.error("the worker ended with status %s; starting it again", worker.returncode)
                stop.wait(_RESTART_AFTER)
                worker = _start("worker")
        return 0
    finally:
        _end([api, worker], _STOP_WITHIN + settings.drain_seconds + settings.exit_seconds)


def _migrate(settings: Settings, stop: threading.Event) -> bool:
    """Migrate the database once it can be written; False if `stop` is set before.

    Raises SchemaError for a database of a newer version.
    """
    with closing(Database(settings.resolved_database_url)) as database:

        def trouble() -> str | None:
            try:
                migrate(database)
            except Unavailable as error:
                return f"{error}."
            return None

        return wait_for(trouble, stop)


def _start(command: str) -> "subprocess.Popen[bytes]":
    # In a session of its own, it does not receive the terminal's Ctrl-C: this process stops it.
    return subprocess.Popen(
        [sys.executable, "-m", "luthier", command],
        start_new_session=True,
        preexec_fn=end_with_parent if sys.platform == "linux" else None,
    )


def _wait_until_ready(
    settings: Settings, api: "subprocess.Popen[bytes]", stop: threading.Event
) -> bool:
    """Return whether the API became ready before it ended, `stop` was set or the time was over."""
    deadline = time.monotonic() + _READY_WITHIN
    while time.monotonic() < deadline and not stop.wait(_POLL_SECONDS):
        if api.poll() is not None:
            return False
        try:
            if httpx.get(f"http://{settings.bind}/readyz", timeout=2.0).status_code == 200:
                return True
        except httpx.TransportError:
            continue
    return False


def _end(processes: Sequence["subprocess.Popen[bytes]"], within: float) -> None:
    """Send SIGTERM, and SIGKILL to those that still run after `within` seconds."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + within
    for process in processes:
        try:
            process.wait(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
