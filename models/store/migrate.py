"""Migrations of a database to the newest schema."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from models.errors import Unavailable
from models.store.engine import Database
from models.store.readiness import check_not_newer

_SCRIPTS = Path(__file__).parent / "migrations"
_LOCK = 0x4C757468  # any number that no other program takes for its own lock in this database


def migrate(database: Database) -> None:
    """Run every migration that `database` lacks, in one transaction; safe to call again.

    When several processes call it at once, one migrates and the others wait. Raises SchemaError
    for a schema of a newer version of Luthier, Unavailable for a database that does not answer or
    has no room.
    """
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    try:
        _upgrade(database, config)
    except (OperationalError, OSError) as error:
        reason = getattr(error, "orig", error)
        raise Unavailable(f"The database cannot be migrated: {reason}") from None


def _upgrade(database: Database, config: Config) -> None:
    with database.migrate() as connection:
        if database.is_postgresql:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        check_not_newer(connection)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
