"""The list of folders that may hold files which no row needs any more.

Files cannot be deleted in a transaction. Whoever deletes a row, or ends what may have written
files, therefore lists the folder in the same transaction. `models.retention` compares a listed
folder with the rows, removes what none of them needs, and then takes it off the list.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, insert, or_, select

from models.store.tables import now, removals


def remove_later(connection: Connection, names: Iterable[str]) -> None:
    """List folders, such as `jobs/job_1`, in the transaction that leaves files in them."""
    rows = [{"name": name, "created": now()} for name in names]
    if rows:
        connection.execute(insert(removals), rows)


def lock_removals(connection: Connection, name: str) -> None:
    """Wait until nobody removes files of a folder, and keep it so until the transaction ends."""
    query = select(removals.c.id).where(removals.c.name == name).order_by(removals.c.id)
    connection.execute(query.with_for_update()).all()


def last_entry(connection: Connection, name: str) -> int:
    """Return the number of the newest entry of a folder; 0 if it is not listed."""
    newest = select(func.coalesce(func.max(removals.c.id), 0)).where(removals.c.name == name)
    return int(connection.execute(newest).scalar_one())


def take_off(connection: Connection, name: str, last: int) -> None:
    """Take a folder off the list, unless it was listed again after the entry `last`."""
    connection.execute(delete(removals).where(removals.c.name == name, removals.c.id <= last))


def listed(connection: Connection, present: datetime, grace: timedelta, limit: int) -> list[str]:
    """Return up to `limit` folders that were listed longer than `grace` ago, the oldest first.

    So are those that were listed by a clock which has been set back since.
    """
    created = removals.c.created
    query = (
        select(removals.c.name)
        .where(or_(created < present - grace, created > present + grace))
        .group_by(removals.c.name)
        .order_by(func.min(removals.c.id))
        .limit(limit)
    )
    return list(connection.execute(query).scalars())


def count_listed(connection: Connection) -> int:
    """Return how many entries the list has."""
    return int(connection.execute(select(func.count()).select_from(removals)).scalar_one())
