"""Whether the parts that all processes share can be used."""

from sqlalchemy.exc import DBAPIError

from models.errors import ArtifactError, SchemaError, Unavailable
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.store.schema import check_not_older


def missing_part(database: Database, artifacts: Artifacts) -> str | None:
    """What keeps requests and jobs from being served now, in a sentence; None if all is there."""
    return database_trouble(database) or artifacts_trouble(artifacts)


def database_trouble(database: Database) -> str | None:
    """Why the database cannot be used, in a sentence; None if it can.

    A schema that became newer can: migrations keep what the version before them reads, so that
    processes of that version serve on until those of the new one have taken over.
    """
    try:
        with database.read() as connection:
            check_not_older(connection)
    except SchemaError as error:
        return str(error)
    except DBAPIError:
        return "The database does not answer."
    return None


def artifacts_trouble(artifacts: Artifacts) -> str | None:
    """Why the artifacts cannot be used, in a sentence; None if they can."""
    try:
        artifacts.check()
    except (ArtifactError, Unavailable) as error:
        return str(error)
    return None
