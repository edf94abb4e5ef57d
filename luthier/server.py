"""The API under gunicorn."""

import ipaddress
import logging
import socket
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from sqlalchemy.exc import DBAPIError

from models.errors import SettingError
from models.settings import Settings
from models.store.engine import Database
from models.store.schema import check_schema

log = logging.getLogger(__name__)


def run_api(settings: Settings) -> None:
    """Serve until SIGTERM; requests under way are finished first.

    Raises SettingError for an address that is not allowed and SchemaError for a database of another
    version.
    """
    check_bind(settings)
    _check_database(settings)
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
    """Raise SettingError for an address beyond this machine that was not asked for by name."""
    host, _ = _address(settings)
    if not settings.allow_anonymous and not _is_loopback(host):
        raise SettingError(
            f"LUTHIER_BIND={settings.bind!r}: anyone who reaches this address could start jobs;"
            " set LUTHIER_ALLOW_ANONYMOUS=1 if that is meant."
        )


def check_free(settings: Settings) -> None:
    """Raise SettingError where the address cannot be listened on, because it is taken or unknown.

    Otherwise another service there would answer for the one that is being started.
    """
    host, port = _address(settings)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise SettingError(f"LUTHIER_BIND={settings.bind!r}: {error.strerror}.") from None


def _address(settings: Settings) -> tuple[str, int]:
    host, _, port = settings.bind.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise SettingError(
            f"LUTHIER_BIND={settings.bind!r}: expected address and port, as in 127.0.0.1:8000."
        )
    return host.strip("[]"), int(port)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _end_streams_with(worker: Any) -> None:
    """Let no client that follows events hold up the end of a gunicorn worker process."""
    worker.wsgi.extensions["luthier"].streams.is_closing = lambda: not worker.alive


class _Server(BaseApplication):  # type: ignore[misc]
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        options: dict[str, Any] = {
            "bind": self._settings.bind,
            "workers": self._settings.api_processes,
            "threads": self._settings.api_threads,
            "worker_class": "gthread",
            "loglevel": self._settings.log_level.lower(),
            "graceful_timeout": 10,
            "timeout": 120,
            "control_socket_disable": True,
            "post_worker_init": _end_streams_with,
        }
        for key, value in options.items():
            self.cfg.set(key, value)

    def load(self) -> Flask:
        # ONNX Runtime starts threads when it is imported; a process that was forked from one that
        # had imported it aborts when it ends. So only gunicorn's worker processes import it.
        from api.app import create_app

        return create_app(self._settings)
