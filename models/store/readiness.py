"""Checks of the database's schema, and whether database and artifacts can be used now."""

import logging
import sqlite3
import threading
from collections.abc import Callable

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from models.errors import ArtifactError, SchemaError, Unavailable
from models.store.artifacts import Artifacts
from models.store.engine import Database, revision_of
from models.store.tables import SCHEMA_REVISION

log = logging.getLogger(__name__)

_LOOK_AGAIN = 1.0  # seconds


def check_schema(database: Database) -> None:
    """Raise SchemaError unless the schema is the one of this version."""
    with database.read() as connection:
        check_not_newer(connection)
        check_not_older(connection)


def check_not_older(connection: Connection) -> None:
    """Raise SchemaError for a schema that lacks migrations."""
    found = revision_of(connection)
    if found is None or found < SCHEMA_REVISION:
        raise SchemaError(
            f"The database lacks migrations: it stands at {found or 'none'}, this version of"
            f" Luthier needs {SCHEMA_REVISION}. Run: luthier migrate"
        )


def check_not_newer(connection: Connection) -> None:
    """Raise SchemaError for a schema that a newer version of Luthier has made."""
    found = revision_of(connection)
    if found is not None and found > SCHEMA_REVISION:
        raise SchemaError(
            f"The database stands at migration {found}, which is newer than this version of"
            f" Luthier knows ({SCHEMA_REVISION}). Run the newer version."
        )


def wait_for(trouble: Callable[[], str | None], stop: threading.Event) -> bool:
    """Wait until there is no `trouble`, which is logged when it changes; False if stopped before.

    What `trouble` raises ends the wait.
    """
    reported = None
    while not stop.is_set():
        found = trouble()
        if found is None:
            return True
        if found != reported:
            log.error("%s Waiting for it.", found)
            reported = found
        stop.wait(_LOOK_AGAIN)
    return False


def missing_part(database: Database, artifacts: Artifacts) -> str | None:
    """Return why requests and jobs cannot be served now, in a sentence; None if they can."""
    return database_trouble(database) or artifacts_trouble(artifacts)


def database_trouble(database: Database, writes: bool = True) -> str | None:
    """Return why the database cannot be used, in a sentence; None if it can.

    With `writes`, something is written to it.

    A newer schema can be used: migrations keep what the previous version reads, so that processes
    of that version serve until those of the new one have taken over.
    """
    try:
        with database.read() as connection:
            check_not_older(connection)
        if writes:
            database.check_writable()
    except SchemaError as error:
        return str(error)
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        return str(database.explain(error))
    return None


def artifacts_trouble(artifacts: Artifacts, writes: bool = True) -> str | None:
    """Return why the artifacts cannot be used, in a sentence; None if they can."""
    try:
        artifacts.check(writes)
    except (ArtifactError, Unavailable) as error:
        return str(error)
    return None
