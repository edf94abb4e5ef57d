"""What was committed by others: told by PostgreSQL, seen in the file of SQLite."""

import logging
import threading
from concurrent.futures import Future
from contextlib import suppress
from enum import StrEnum

from sqlalchemy import Connection, func, select
from sqlalchemy.pool import PoolProxiedConnection

from models.store.engine import Database

_GLANCE = 0.2  # seconds that the thread waits for the server until it looks whether it is to end
_CONNECT_AGAIN = 1.0  # seconds after the connection was lost
_STOP_SECONDS = 5.0

log = logging.getLogger(__name__)


class Channel(StrEnum):
    """What PostgreSQL tells workers of; a name for LISTEN and NOTIFY."""

    JOBS = "luthier_jobs"
    BATCHES = "luthier_batches"


def notify(connection: Connection, channel: Channel) -> None:
    """Wake those who listen once this transaction commits; on SQLite they see the commit itself.

    For rare changes: PostgreSQL lets transactions that notify commit one after another.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_notify(channel.value, "")))


class Changes:
    """Detects commits of other connections without a query; for use by one thread.

    On SQLite `noticed` looks at the file, which takes some microseconds. On PostgreSQL a thread
    listens on a connection of its own, if there is a `channel`.
    """

    def __init__(self, database: Database, channel: Channel | None = None) -> None:
        self._database = database
        self._connection: PoolProxiedConnection | None = None
        self._version: object = None
        self._listener = None
        if channel is not None and database.is_postgresql:
            self._listener = _Listener(database, channel)

    @property
    def are_told(self) -> bool:
        """Whether the server tells of changes now, so that looks for them can be rare."""
        return self._listener is not None and self._listener.is_heard

    @property
    def next(self) -> "Future[None]":
        """A future that is done when `noticed` would return True; never on SQLite."""
        return Future() if self._listener is None else self._listener.told

    def noticed(self) -> bool:
        """Whether another connection has committed something since the last call.

        On PostgreSQL that is something of the channel.
        """
        if self._listener is not None:
            return self._listener.take()
        if self._database.is_postgresql:
            return False
        if self._connection is None:
            self._connection = self._database.engine.raw_connection()
        cursor = self._connection.cursor()
        try:
            # https://www.sqlite.org/pragma.html#pragma_data_version
            cursor.execute("PRAGMA data_version")
            found = cursor.fetchone()
        finally:
            cursor.close()
        before, self._version = self._version, found
        return before != found

    def close(self) -> None:
        """Return the connection to the pool, or close it."""
        if self._listener is not None:
            self._listener.close()
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _Listener:
    """A thread that listens on a channel of PostgreSQL, and connects again after a loss.

    After each LISTEN it notifies the channel itself, by another connection. The first notification
    that arrives proves that the way is open, which a pooler in between may close, and has its
    reader look for what it missed.
    """

    def __init__(self, database: Database, channel: Channel) -> None:
        self._database = database
        self._channel = channel
        self._stop = threading.Event()
        self.told: Future[None] = Future()
        self.is_heard = False
        self._thread = threading.Thread(target=self._run, daemon=True, name=channel.value)
        self._thread.start()

    def take(self) -> bool:
        """Return whether something was told since the last call."""
        if not self.told.done():
            return False
        self.told = Future()
        return True

    def close(self) -> None:
        """End the thread, or leave it behind after some seconds."""
        self._stop.set()
        self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._listen()
            except Exception as error:  # the reader looks for changes itself until it works again
                log.warning("PostgreSQL tells of no changes, looking for them: %r", error)
            self.is_heard = False
            self._tell()  # it may have missed something
            self._stop.wait(_CONNECT_AGAIN)

    def _listen(self) -> None:
        """Wait for notifications until the thread is to end; raises the driver's errors."""
        # Not of the pool, whose connections are few and have transactions.
        opened = self._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        driver = opened.connection.driver_connection
        assert driver is not None
        opened.detach()
        with opened:
            opened.exec_driver_sql(f"LISTEN {self._channel.value}")
            with self._database.write() as connection:
                notify(connection, self._channel)
            while not self._stop.is_set():
                for _ in driver.notifies(timeout=_GLANCE, stop_after=1):
                    if not self.is_heard:
                        log.info("PostgreSQL tells of changes on %s", self._channel)
                    self.is_heard = True
                    self._tell()

    def _tell(self) -> None:
        with suppress(Exception):  # told already
            self.told.set_result(None)
