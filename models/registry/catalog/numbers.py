"""The numbers of versions: each is given once, also after its version is deleted."""

from sqlalchemy import Connection, func, insert, select, update

from models.store.tables import version_numbers, versions


def is_first(connection: Connection, model: str) -> bool:
    """Return whether a model has no published version yet."""
    query = select(versions.c.version).where(versions.c.model == model, versions.c.ready)
    return connection.execute(query.limit(1)).first() is None


def next_number(connection: Connection, model: str, job: str) -> tuple[int, bool]:
    """Return the number for a job's version, and whether the job has reserved it already."""
    mine = connection.execute(
        select(func.min(versions.c.version)).where(
            versions.c.model == model, versions.c.job == job, ~versions.c.ready
        )
    ).scalar_one()
    if mine is not None:
        return int(mine), True
    return new_number(connection, model), False


def new_number(connection: Connection, model: str) -> int:
    """Return a number above those of all versions, deleted ones too, and keep it.

    A number must not come to mean another version: processes hold loaded versions by number.
    """
    last = connection.execute(
        select(func.coalesce(func.max(versions.c.version), 0)).where(versions.c.model == model)
    ).scalar_one()
    of_model = version_numbers.c.model == model
    query = select(version_numbers.c.last).where(of_model).with_for_update()
    kept = connection.execute(query).scalar_one_or_none()
    number = int(max(last, kept or 0)) + 1
    if kept is None:
        connection.execute(insert(version_numbers).values(model=model, last=number))
    else:
        connection.execute(update(version_numbers).where(of_model).values(last=number))
    return number
