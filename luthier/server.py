"""The API under gunicorn."""

import ipaddress
import socket
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from luthier.addresses import parse_address
from luthier.draining import DrainingArbiter, SharedFlag
from luthier.metrics_folder import metrics_folder
from models.errors import SettingError
from models.settings import Settings


def run_api(settings: Settings) -> None:
    """Serve until SIGTERM; requests under way, and those of the drain seconds, are finished."""
    check_bind(settings)
    with metrics_folder():
        _Server(settings).run()


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
    return parse_address("LUTHIER_BIND", settings.bind)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
