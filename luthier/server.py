"""The API under gunicorn."""

import logging
import mmap
import os
import resource
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from sqlalchemy import inspect, make_url
from sqlalchemy.exc import DBAPIError

from luthier.batched_log import write_in_batches
from luthier.http_worker import BufferingWorker
from models.access.catalog import KeyCatalog
from models.access.keys import parse_static_keys
from models.errors import SettingError, Unavailable
from models.folders import owned_folder
from models.settings import Settings, is_loopback
from models.store.engine import Database
from models.store.readiness import check_schema
from models.store.tables import api_keys

log = logging.getLogger(__name__)

_MAX_CONNECTIONS, _MIN_CONNECTIONS = 1000, 64  # of one process
_OTHER_FILES = 200  # that a process may have open beside connections


def run_api(settings: Settings) -> None:
    """Serve until SIGTERM, then finish requests that are running or arrive while draining.

    Raises SettingError for an address that is not allowed and SchemaError for a database of another
    version.
    """
    check_bind(settings)
    check_database(settings)
    with _metrics_folder():
        _Server(settings).run()


def check_database(settings: Settings) -> None:
    """Check the schema. A database that does not answer may do so later; `/readyz` reports it."""
    with closing(Database(settings.resolved_database_url)) as database:
        try:
            check_schema(database)
        except DBAPIError as error:
            log.warning("The database does not answer: %s", error.orig)


def check_bind(settings: Settings, variable: str = "LUTHIER_BIND") -> None:
    """Raise SettingError, which names `variable`, for an address beyond this machine without keys.

    Raises Unavailable if the database, which may hold keys, does not answer.
    """
    host, _ = settings.address
    has_keys = bool(parse_static_keys(settings.api_keys))
    if has_keys or settings.allow_anonymous or is_loopback(host) or _has_stored_keys(settings):
        return
    raise SettingError(
        f"{variable}={settings.bind!r}: there is no API key, and anyone who reaches this address"
        " could start jobs. Make a key with `luthier keys create`, give one in LUTHIER_API_KEYS,"
        " or set LUTHIER_ALLOW_ANONYMOUS=1 if that is meant."
    )


def _has_stored_keys(settings: Settings) -> bool:
    url = make_url(settings.resolved_database_url)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        return False  # connecting would create the file
    with closing(Database(settings.resolved_database_url)) as database:
        try:
            with database.read() as connection:
                has_table = inspect(connection).has_table(api_keys.name)
            return has_table and not KeyCatalog(database).is_empty()
        except DBAPIError:
            raise Unavailable(
                f"LUTHIER_BIND={settings.bind!r} is served only with API keys, and the database"
                " does not answer whether there are any."
            ) from None


def check_free(settings: Settings) -> None:
    """Raise SettingError if the address is in use or unknown.

    Otherwise another service there would answer the readiness check of this one.
    """
    host, port = settings.address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise SettingError(f"LUTHIER_BIND={settings.bind!r}: {error.strerror}.") from None


@contextmanager
def _metrics_folder() -> Iterator[None]:
    """Give the API's processes a private folder for their metrics.

    Sets PROMETHEUS_MULTIPROC_DIR, which prometheus_client reads when it is imported, so that must
    happen inside the block.
    """
    with owned_folder("metrics") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
        yield


class _SharedFlag:
    """A flag that one process sets and all processes forked from it see."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, 1)

    def set(self) -> None:
        self._page[0] = 1

    def is_set(self) -> bool:
        return self._page[0] == 1


class _Arbiter(Arbiter):  # type: ignore[misc]
    """gunicorn's main process, which goes on serving for some seconds after SIGTERM.

    It sets `draining` at once. A second SIGTERM, or SIGINT or SIGQUIT, ends the wait.
    """

    def __init__(self, app: Any, draining: _SharedFlag, seconds: float) -> None:
        super().__init__(app)
        self._draining = draining
        self._seconds = seconds
        self._stop_at: float | None = None  # on the monotonic clock

    def handle_term(self) -> None:
        """Begin to drain, or stop if that is over."""
        self._draining.set()
        if self._stop_at is None and self._seconds > 0:
            self._stop_at = time.monotonic() + self._seconds
            self.log.info("Draining for %g s", self._seconds)
            return
        super().handle_term()

    def wait_for_signals(self, timeout: float = 1.0) -> list[int]:
        """Return the signals to handle next; when draining is over, one more SIGTERM."""
        if self._stop_at is None:
            return list(super().wait_for_signals(timeout))
        left = max(0.0, self._stop_at - time.monotonic())
        signals = list(super().wait_for_signals(min(timeout, left)))
        if time.monotonic() >= self._stop_at:
            signals.append(signal.SIGTERM)
        return signals


class _Logger(Logger):  # type: ignore[misc]
    """Sends gunicorn's lines to the root logger, which formats them like all others."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.propagate = True


class _Server(BaseApplication):  # type: ignore[misc]
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._draining = _SharedFlag()
        super().__init__()

    def load_config(self) -> None:
        options: dict[str, Any] = {
            "bind": self.settings.bind,
            "workers": self.settings.api_processes,
            "threads": self.settings.api_threads,
            "worker_class": BufferingWorker,
            "worker_connections": _connections(),
            "loglevel": self.settings.log_level.lower(),
            "errorlog": None,
            "logger_class": _Logger,
            "graceful_timeout": 10,
            "timeout": 120,
            # Longer than clients and load balancers keep an idle connection: if the server closes
            # first, it may lose a request that has just been sent.
            "keepalive": 75,
            "control_socket_disable": True,
            "post_worker_init": self._prepare,
            "pre_request": self._close_when_draining,
            "worker_exit": _finish_recording,
            "child_exit": _forget_process,
        }
        for key, value in options.items():
            self.cfg.set(key, value)

    def load(self) -> Flask:
        # ONNX Runtime starts threads when it is imported; a process that was forked from one that
        # had imported it aborts when it ends. So only gunicorn's worker processes import it.
        from api.app import create_app

        return create_app(self.settings)

    def run(self) -> None:
        _Arbiter(self, self._draining, self.settings.drain_seconds).run()

    def _prepare(self, worker: Any) -> None:
        write_in_batches()
        services = worker.wsgi.extensions["luthier"]
        services.routes.refresh_soon()  # loads the versions that aliases name
        services.readiness.is_draining = self._draining.is_set
        # No client that follows events may delay the end of the process.
        services.streams.is_closing = lambda: not worker.alive
        services.recorder.start()

    def _close_when_draining(self, _worker: Any, request: Any) -> None:
        """Close kept connections, so that clients send their next request to another process."""
        if self._draining.is_set():
            request.force_close()


def _connections() -> int:
    """Return how many connections a process may keep: each may need a file for its body too."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return _MAX_CONNECTIONS
    return max(_MIN_CONNECTIONS, min(_MAX_CONNECTIONS, (files - _OTHER_FILES) // 2))


def _finish_recording(_arbiter: Any, worker: Any) -> None:
    """Write what a process that ends has recorded of predictions."""
    if getattr(worker, "wsgi", None) is not None:  # it may have ended before that was made
        worker.wsgi.extensions["luthier"].recorder.close()


def _forget_process(_arbiter: Any, worker: Any) -> None:
    """Remove the gauges of a process that has ended; its counters stay."""
    # PROMETHEUS_MULTIPROC_DIR must be set before this import.
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
