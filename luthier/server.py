"""The API under gunicorn."""

import logging
import socket
from pathlib import Path
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from sqlalchemy import inspect, make_url
from sqlalchemy.exc import DBAPIError

from luthier.draining import DrainingArbiter, SharedFlag
from luthier.metrics_folder import metrics_folder
from models.access.catalog import KeyCatalog
from models.access.keys import parse_static_keys
from models.errors import SettingError, Unavailable
from models.settings import Settings, is_loopback
from models.store.engine import Database
from models.store.readiness import check_schema
from models.store.tables import api_keys

log = logging.getLogger(__name__)


def run_api(settings: Settings) -> None:
    """Serve until SIGTERM; requests under way, and those of the drain seconds, are finished.

    Raises SettingError for an address that is not allowed and SchemaError for a database of another
    version.
    """
    check_bind(settings)
    _check_database(settings)
    with metrics_folder():
        _Server(settings).run()


def _check_database(settings: Settings) -> None:
    """One that does not answer now may do so soon; until then `/readyz` says so."""
    database = Database(settings.resolved_database_url)
    try:
        check_schema(database)
    except DBAPIError as error:
        log.warning("The database does not answer: %s", error.orig)
    finally:
        database.close()


def check_bind(settings: Settings) -> None:
    """Raise SettingError for an address beyond this machine that anyone could use.

    Raises Unavailable where the database does not tell whether there are keys.
    """
    host, _ = settings.address
    has_keys = bool(parse_static_keys(settings.api_keys))
    if has_keys or settings.allow_anonymous or is_loopback(host) or _has_stored_keys(settings):
        return
    raise SettingError(
        f"LUTHIER_BIND={settings.bind!r}: there is no API key, and anyone who reaches this address"
        " could start jobs. Make a key with `luthier keys create`, give one in LUTHIER_API_KEYS,"
        " or set LUTHIER_ALLOW_ANONYMOUS=1 if that is meant."
    )


def _has_stored_keys(settings: Settings) -> bool:
    url = make_url(settings.resolved_database_url)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        return False  # looking would make the file
    database = Database(settings.resolved_database_url)
    try:
        with database.read() as connection:
            is_there = inspect(connection).has_table(api_keys.name)
        return is_there and not KeyCatalog(database).is_empty()
    except DBAPIError:
        raise Unavailable(
            f"LUTHIER_BIND={settings.bind!r} is served only with API keys, and the database does"
            " not answer whether there are any."
        ) from None
    finally:
        database.close()


def check_free(settings: Settings) -> None:
    """Raise SettingError where the address cannot be listened on, because it is taken or unknown.

    Otherwise another service there would answer for the one that is being started.
    """
    host, port = settings.address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise SettingError(f"LUTHIER_BIND={settings.bind!r}: {error.strerror}.") from None


def _forget_process(_arbiter: Any, worker: Any) -> None:
    """What a process that has ended was doing is no longer counted; what it has done is."""
    # Only now: the folder must be known when it is imported.
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


class _Server(BaseApplication):  # type: ignore[misc]
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._draining = SharedFlag()
        super().__init__()

    def load_config(self) -> None:
        options: dict[str, Any] = {
            "bind": self._settings.bind,
            "workers": self._settings.api_processes,
            "threads": self._settings.api_threads,
            "worker_class": "gthread",
            "loglevel": self._settings.log_level.lower(),
            "errorlog": None,
            "logger_class": _Logger,
            "graceful_timeout": 10,
            "timeout": 120,
            # Longer than clients and load balancers keep a connection that is idle: who closes it
            # last may lose a request that the other has just sent.
            "keepalive": 75,
            "control_socket_disable": True,
            "post_worker_init": self._prepare_to_end,
            "pre_request": self._close_when_draining,
            "child_exit": _forget_process,
        }
        for key, value in options.items():
            self.cfg.set(key, value)

    def load(self) -> Flask:
        # ONNX Runtime starts threads when it is imported; a process that was forked from one that
        # had imported it aborts when it ends. So only gunicorn's worker processes import it.
        from api.app import create_app

        return create_app(self._settings)

    def run(self) -> None:
        """Serve until a signal ends it."""
        DrainingArbiter(self, self._draining, self._settings.drain_seconds).run()

    def _prepare_to_end(self, worker: Any) -> None:
        services = worker.wsgi.extensions["luthier"]
        services.readiness.is_draining = lambda: self._draining.is_raised
        # No client that follows events may hold up the end of the process.
        services.streams.is_closing = lambda: not worker.alive

    def _close_when_draining(self, _worker: Any, request: Any) -> None:
        """Send a client that keeps its connection to another process for its next request."""
        if self._draining.is_raised:
            request.force_close()


class _Logger(Logger):  # type: ignore[misc]
    """gunicorn's own lines, among all others."""

    def setup(self, cfg: Any) -> None:
        """Leave the format to the root logger."""
        super().setup(cfg)
        self.error_log.propagate = True
