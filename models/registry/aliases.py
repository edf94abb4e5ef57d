"""Where aliases point, and their history, within the transactions of the catalog."""

from collections.abc import Callable

from sqlalchemy import Connection, delete, insert, select, update

from models.errors import Conflict, PreconditionFailed
from models.store.audit import tell
from models.store.tables import alias_history, aliases, now, versions

CHAMPION = "champion"


def point(
    connection: Connection,
    model: str,
    alias: str,
    version: int,
    expects: Callable[[int], bool] | None = None,
) -> None:
    """Point an alias at a version; one that points there already stays as it is.

    Raises PreconditionFailed unless `expects`, if it is given, is true of the version that the
    alias points at.
    """
    lock_aliases(connection, model)
    query = select(aliases.c.version).where(aliases.c.model == model, aliases.c.alias == alias)
    present = connection.execute(query).scalar_one_or_none()
    if expects is not None and (present is None or not expects(present)):
        place = "no version" if present is None else f"version {present}"
        raise PreconditionFailed(f"Alias {alias!r} of model {model!r} points at {place}.")
    if present == version:
        return  # a second entry would make the next rollback lead nowhere
    tell(alias=alias, **{"from": present, "to": version})
    values = {"version": version, "updated": now()}
    moved = connection.execute(
        update(aliases).where(aliases.c.model == model, aliases.c.alias == alias).values(values)
    )
    if moved.rowcount == 0:
        connection.execute(insert(aliases).values(model=model, alias=alias, **values))
    connection.execute(
        insert(alias_history).values(model=model, alias=alias, version=version, created=now())
    )


def roll_back(connection: Connection, model: str, expected: int | None = None) -> int:
    """Point `champion` at the version it pointed at before, and return that version.

    Raises Conflict if there is none, or if `champion` does not point at `expected`.
    """
    lock_aliases(connection, model)
    history = connection.execute(
        select(alias_history.c.id, alias_history.c.version)
        .where(alias_history.c.model == model, alias_history.c.alias == CHAMPION)
        .order_by(alias_history.c.id.desc())
        .limit(2)
    ).all()
    if history and expected not in (None, history[0].version):
        raise Conflict(f"The champion of model {model!r} is version {history[0].version}.")
    if len(history) < 2:
        raise Conflict(f"Model {model!r} has no earlier champion to go back to.")
    present, earlier = history
    # Both entries go: pointing at the earlier one writes it anew, as the newest.
    connection.execute(
        delete(alias_history).where(alias_history.c.id.in_([present.id, earlier.id]))
    )
    point(connection, model, CHAMPION, earlier.version)
    return int(earlier.version)


def lock_aliases(connection: Connection, model: str) -> None:
    """Keep other transactions from moving an alias of a model until this one ends."""
    first = select(versions.c.version).where(versions.c.model == model)
    first = first.order_by(versions.c.version).limit(1)
    # PostgreSQL answers nothing if the row was deleted while this transaction waited for it.
    while connection.execute(first.with_for_update()).one_or_none() is None:
        if connection.execute(first).one_or_none() is None:
            return
