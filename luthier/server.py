"""The API under gunicorn."""

import socket
from pathlib import Path
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from sqlalchemy import inspect, make_url
from sqlalchemy.exc import DBAPIError

from models.access.catalog import KeyCatalog
from models.access.keys import parse_static_keys
from models.errors import SettingError, Unavailable
from models.settings import Settings, is_loopback
from models.store.engine import Database
from models.store.tables import api_keys


def run_api(settings: Settings) -> None:
    """Serve until SIGTERM; requests under way are finished first."""
    check_bind(settings)
    _Server(settings).run()


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
