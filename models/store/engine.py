"""The database, SQLite or PostgreSQL: transactions that read, and transactions that write."""

import json
import math
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    create_engine,
    event,
    func,
    inspect,
    make_url,
    select,
    text,
)
from sqlalchemy.exc import ArgumentError, DBAPIError

from models.errors import LuthierError, SettingError
from models.store.audit import recorded
from models.store.faults import explain, is_lock, try_writing
from models.store.tables import SCHEMA_REVISION, now

_RECYCLE_SECONDS = 1800  # proxies forget connections that are older
_INCREMENTAL = 2  # https://www.sqlite.org/pragma.html#pragma_auto_vacuum
_PAGES_AT_ONCE = 2000  # of 4 KiB, given back in one short transaction
_SQLITE_SECONDS = 30
_STOP_SECONDS = 5.0  # that a thread beside the worker may take to end with it
_OVERFLOW = 10  # connections to SQLite beside those of the threads
_POSTGRESQL_READS = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}


class Database:
    """Short transactions over one engine; may be shared between threads, not between processes.

    `connections` is the number of threads that use it at once. `wait` is how many seconds a
    transaction waits for a lock or a connection. Nothing is opened before the first transaction.
    Raises SettingError for a URL that names neither SQLite nor PostgreSQL.
    """

    def __init__(self, url: str, connections: int = 5, wait: float | None = None) -> None:
        self.engine = _create_engine(_normalised(url), connections, wait)
        self._reading = self.engine
        if self.is_postgresql:
            self._reading = self.engine.execution_options(**_POSTGRESQL_READS)

    @property
    def is_postgresql(self) -> bool:
        """Whether it is PostgreSQL, which processes on several machines can share."""
        return self.engine.dialect.name == "postgresql"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that only reads; all its queries see the state of one moment."""
        with self._reading.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that writes; an exception rolls all of it back.

        SQLite takes its write lock at the start, so that two writers queue up instead of failing
        half-way. On PostgreSQL writers conflict only at rows that both lock or change: rows that
        must not change after they were read have to be read `with_for_update`.

        What it changes for a command is recorded in the same transaction; see `models.store.audit`.
        """
        options = self.engine.execution_options(luthier_writes=True)
        with recorded(options.begin()) as connection:
            yield connection

    @contextmanager
    def migrate(self) -> Iterator[Connection]:
        """Open a transaction that may replace tables.

        SQLite replaces a table by a copy and drops the old one, which would delete the rows that
        refer to it: foreign keys are not enforced meanwhile.
        """
        options = self.engine.execution_options(luthier_writes=True, luthier_migrates=True)
        try:
            with options.begin() as connection:
                yield connection
        finally:
            if not self.is_postgresql:
                self.engine.dispose()  # connections that do not enforce foreign keys

    def revision(self) -> str | None:
        """Return the revision of the schema; None before the first migration."""
        with self.read() as connection:
            return revision_of(connection)

    @property
    def is_current(self) -> bool:
        """Whether every migration of this version has been run."""
        return self.revision() == SCHEMA_REVISION

    def bytes(self) -> int:
        """Return the size of the database, on disk."""
        if self.is_postgresql:
            query = "SELECT pg_database_size(current_database())"
        else:
            query = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
        with self.read() as connection:
            return int(connection.execute(text(query)).scalar_one())

    def give_space_back(self, *, whole: bool = False) -> None:
        """Return free pages of SQLite to the file system: some of them, or all if `whole`.

        A database made before 0.3.0 is rewritten once for that, if `whole`; it cannot be written
        meanwhile. PostgreSQL uses freed space again by itself.
        """
        if self.is_postgresql:
            return
        # Outside of a transaction, where these statements have an effect.
        connection = self.engine.raw_connection()
        try:
            cursor = connection.cursor()
            (mode,) = cursor.execute("PRAGMA auto_vacuum").fetchone()
            if mode == _INCREMENTAL:
                limit = "" if whole else f"({_PAGES_AT_ONCE})"
                # As a script, which steps to the end: each step frees one page.
                cursor.executescript(f"PRAGMA incremental_vacuum{limit}")
            elif whole:
                cursor.execute(f"PRAGMA auto_vacuum={_INCREMENTAL}")
                cursor.execute("VACUUM")
            if whole:
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            cursor.close()
        finally:
            connection.close()

    def check_writable(self) -> None:
        """Commit a small change; raise the driver's error if that fails.

        Returns, too, where another connection holds the lock for some time: that one can write.
        """
        try:
            if self.is_postgresql:
                with self.write() as connection:
                    connection.execute(text("SET LOCAL lock_timeout = '500ms'"))
                    connection.execute(text("UPDATE alembic_version SET version_num = version_num"))
            else:
                self._write_to_file()
        except (DBAPIError, sqlite3.Error) as error:
            if not is_lock(error):
                raise

    def _write_to_file(self) -> None:
        """Change the number that SQLite keeps for applications, and write more to its disk."""
        connection = self.engine.raw_connection()
        try:
            cursor = connection.cursor()
            before = cursor.execute("PRAGMA busy_timeout").fetchone()[0]
            cursor.execute("PRAGMA busy_timeout=500")
            try:
                cursor.execute("BEGIN IMMEDIATE")
                number = cursor.execute("PRAGMA user_version").fetchone()[0]
                cursor.execute(f"PRAGMA user_version={number % 1000 + 1}")
                cursor.execute("COMMIT")
            finally:
                cursor.execute(f"PRAGMA busy_timeout={before}")
        finally:
            connection.close()
        if self.path:
            # A log that has room for one more page says nothing of the next.
            try_writing(Path(self.path).parent)

    def explain(self, error: Exception) -> LuthierError:
        """Return what an error of the driver, or of the disk, means."""
        return explain(error, self.path)

    @property
    def path(self) -> str | None:
        """The file of an SQLite database; None for any other."""
        return None if self.is_postgresql else self.engine.url.database

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


def revision_of(connection: Connection) -> str | None:
    """Return the revision of the schema; None before the first migration."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version"))
    return found.scalar_one_or_none()


@contextmanager
def working_beside(
    url: str, name: str, work: Callable[[Database, threading.Event], None]
) -> Iterator[None]:
    """Let `work` run in a thread with a database of its own for the time of the block.

    It ends once its event is set, or is left behind after some seconds.
    """
    stop = threading.Event()
    with closing(Database(url, connections=2)) as database:
        thread = threading.Thread(target=work, args=(database, stop), daemon=True, name=name)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(_STOP_SECONDS)


def moment(connection: Connection) -> datetime:
    """Return the present time in UTC by a clock that all processes of a database share.

    This is the clock of the PostgreSQL server, or for SQLite the one of this machine.
    """
    if connection.dialect.name != "postgresql":
        return now()
    found: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return found


def _normalised(url: str) -> URL:
    """Return the URL with the driver psycopg; the usual other names of it are accepted."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise SettingError(
            "LUTHIER_DATABASE_URL is not a URL such as postgresql://user:password@host/database."
        ) from None
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() != "sqlite":
        raise SettingError(
            f"LUTHIER_DATABASE_URL={parsed.render_as_string()!r}: expected sqlite:// or"
            " postgresql://, whose driver is psycopg."
        )
    return parsed


def _create_engine(url: URL, connections: int, wait: float | None) -> Engine:
    if url.get_backend_name() == "postgresql":
        # With its driver, which takes a tenth of the time to start an API process.
        from models.store.postgresql import LOCK_SECONDS, connect_arguments, give_up_on_silence

        engine = create_engine(
            url,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=LOCK_SECONDS if wait is None else wait,
            pool_pre_ping=True,
            pool_recycle=_RECYCLE_SECONDS,
            connect_args={**connect_arguments(wait), **url.query},
            json_serializer=strict_json,
            json_deserializer=_parsed_json,
        )
        if wait is not None:
            give_up_on_silence(engine, wait)
        return engine
    seconds = _SQLITE_SECONDS if wait is None else wait
    pool: dict[str, Any] = {}
    if url.database:
        pool = {"pool_size": connections, "max_overflow": _OVERFLOW, "pool_timeout": seconds}
    engine = create_engine(url, json_serializer=strict_json, json_deserializer=_parsed_json, **pool)
    if url.database:
        folder = Path(url.database).parent
        event.listen(engine, "do_connect", lambda *_: folder.mkdir(parents=True, exist_ok=True))
    event.listen(engine, "connect", partial(_prepare_sqlite, seconds))
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def strict_json(value: Any) -> str:
    """Serialize to the JSON of RFC 8259: NaN and infinities become null."""
    return json.dumps(_finite(value), allow_nan=False)


def _parsed_json(text: str | bytes) -> Any:
    """Return stored JSON; None for text that is none, which readers refuse as they do null.

    PostgreSQL keeps none. SQLite keeps any text, and one damaged row must not fail whole lists.
    """
    try:
        return json.loads(text)
    except ValueError:
        return None


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _prepare_sqlite(seconds: float, connection: Any, _record: Any) -> None:
    # The driver's own transaction handling starts write transactions too late.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout={round(seconds * 1000)}")
    if connection.execute("PRAGMA page_count").fetchone() == (0,):
        # Counts in a new file only, and would wait for a writer in any other.
        connection.execute(f"PRAGMA auto_vacuum={_INCREMENTAL}")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    writes = options.get("luthier_writes", False)
    if options.get("luthier_migrates", False):
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")  # has no effect after BEGIN
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
