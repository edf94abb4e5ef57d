"""Whether a database has the tables that this version of Luthier expects."""

from sqlalchemy import Connection

from models.errors import SchemaError
from models.store.engine import Database, revision_of
from models.store.tables import SCHEMA_REVISION


def check_schema(database: Database) -> None:
    """Raise SchemaError unless the schema is the one that this version knows."""
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
    """Raise SchemaError for a schema that only a newer version of Luthier can have made."""
    found = revision_of(connection)
    if found is not None and found > SCHEMA_REVISION:
        raise SchemaError(
            f"The database stands at migration {found}, which is newer than this version of"
            f" Luthier knows ({SCHEMA_REVISION}). Run the newer version."
        )
