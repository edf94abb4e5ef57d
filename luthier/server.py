"""The API under gunicorn."""

import ipaddress
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from api.app import create_app
from models.errors import SettingError
from models.settings import Settings


def run_api(settings: Settings) -> None:
    """Serve until SIGTERM; requests under way are finished first."""
    check_bind(settings)
    _Server(settings).run()


def check_bind(settings: Settings) -> None:
    """Raise SettingError for an address beyond this machine that was not asked for by name."""
    host = settings.bind.rpartition(":")[0].strip("[]")
    if not settings.allow_anonymous and not _is_loopback(host):
        raise SettingError(
            f"LUTHIER_BIND={settings.bind!r}: anyone who reaches this address could start jobs;"
            " set LUTHIER_ALLOW_ANONYMOUS=1 if that is meant."
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
        }
        for key, value in options.items():
            self.cfg.set(key, value)

    def load(self) -> Flask:
        return create_app(self._settings)
