"""Noticing writes of others, so that nobody has to ask the database for news all the time."""

from sqlalchemy.pool import PoolProxiedConnection

from models.store.engine import Database


class Changes:
    """Tells whether a database may have been written to; for one thread.

    A look takes SQLite some microseconds. PostgreSQL has nothing as cheap: there it is never
    noticed, and whoever waits for something asks from time to time, as without this.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: PoolProxiedConnection | None = None
        self._version: object = None

    def noticed(self) -> bool:
        """Whether another connection has committed something since the last call."""
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
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
