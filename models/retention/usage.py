"""The bytes of everything stored, out of what rows say: nothing is listed in the store."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, select

from models.store.engine import Database
from models.store.removals import count_listed
from models.store.tables import batches, datasets, jobs, versions

_KINDS = {"batches": batches, "datasets": datasets, "versions": versions, "weights": jobs}


@dataclass(frozen=True, slots=True)
class Usage:
    """What is stored at one moment."""

    bytes: Mapping[str, int]  # by kind: batches, datasets, versions, weights, database
    removals: int  # folders that wait to be looked through for files that no row needs


def disk_usage(database: Database) -> Usage:
    """Add up what is stored; weights of unfinished jobs are not counted.

    Raises SQLAlchemyError where the database does not answer.
    """
    with database.read() as connection:
        found = {
            kind: int(connection.execute(select(func.sum(table.c.bytes))).scalar_one() or 0)
            for kind, table in _KINDS.items()
        }
        waiting = count_listed(connection)
    return Usage({**found, "database": database.bytes()}, waiting)
