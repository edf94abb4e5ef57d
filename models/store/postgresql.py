"""Connections to PostgreSQL that wait for nothing for ever."""

from typing import Any

import psycopg
from sqlalchemy import Engine, event

LOCK_SECONDS = 10
_STATEMENT_SECONDS = 30
_API_STATEMENT_SECONDS = 10.0  # at least, where there is a limit on waiting
_SILENCE_SECONDS = 2.0  # after the end of a statement's time: the server itself does not answer
_CONNECT_SECONDS = 5
_PSYCOPG = {
    "connect_timeout": _CONNECT_SECONDS,
    "tcp_user_timeout": 10_000,  # milliseconds
    "keepalives_idle": 30,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "application_name": "luthier",
}


def connect_arguments(wait: float | None) -> dict[str, Any]:
    """Return arguments of psycopg; `wait` is how many seconds to wait for a lock."""
    lock = round(1000 * (LOCK_SECONDS if wait is None else wait))  # milliseconds
    statement = round(1000 * (_STATEMENT_SECONDS if wait is None else _statement_seconds(wait)))
    options = (
        f"-c statement_timeout={statement}ms -c lock_timeout={lock}ms"
        " -c idle_in_transaction_session_timeout=5min"
    )
    return {**_PSYCOPG, "options": options}


def give_up_on_silence(engine: Engine, wait: float) -> None:
    """Let connections of `engine` fail where the server does not answer at all.

    The server's own timeouts do not help against one that is frozen, and its kernel still
    acknowledges what is sent. For processes without long statements.
    """
    seconds = _statement_seconds(wait) + _SILENCE_SECONDS

    def connect(_dialect: Any, _record: Any, arguments: Any, named: Any) -> _Connection:
        connection = _Connection.connect(*arguments, **named)
        connection.silence = seconds
        return connection

    event.listen(engine, "do_connect", connect)


def _statement_seconds(wait: float) -> float:
    return max(_API_STATEMENT_SECONDS, 2 * wait)


class _Connection(psycopg.Connection[Any]):
    silence: float | None = None  # seconds

    def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
        """Wait for the server; close the connection after its silence."""
        options.setdefault("timeout", self.silence)
        try:
            return super().wait(gen, *arguments, **options)
        except psycopg.errors._WaitTimeout:
            self.pgconn.finish()
            raise psycopg.OperationalError("the server does not answer") from None
