"""Where aliases point, and every move of theirs, within the transactions of the catalog.

`alias_history` holds the versions that a rollback goes back to: it drops what is undone or deleted.
`alias_moves` drops nothing while there is the model.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update

from models.errors import Conflict, PreconditionFailed
from models.registry.documents import Document
from models.store.audit import actor_name, tell
from models.store.tables import alias_history, alias_moves, aliases, now, versions

CHAMPION = "champion"


@dataclass(frozen=True, slots=True)
class Cause:
    """Why an alias moves, and who moves it."""

    reason: str  # in a sentence
    actor: str | None  # name of a key; None if it is unknown
    job: str | None = None  # whose end moves it
    verdict: Document | None = None  # on the version of that job


@dataclass(frozen=True, slots=True)
class AliasMove:
    """One row of `alias_moves`."""

    id: int  # later moves have higher numbers
    alias: str
    created: datetime
    previous: int | None  # version that it pointed at before; None for none
    version: int | None  # that it points at since; None: it was deleted
    actor: str | None
    job: str | None
    reason: str
    verdict: Document | None


def by_command(reason: str | None, default: str) -> Cause:
    """Return the cause of a move that the present command makes."""
    return Cause(reason or default, actor_name())


def target_of(connection: Connection, model: str, alias: str) -> int | None:
    """Return the version that an alias points at; None if there is no such alias."""
    query = select(aliases.c.version).where(aliases.c.model == model, aliases.c.alias == alias)
    return connection.execute(query).scalar_one_or_none()


def record_move(
    connection: Connection,
    model: str,
    alias: str,
    previous: int | None,
    version: int | None,
    cause: Cause,
) -> None:
    """Write a move of an alias; no version stands for its deletion."""
    row = {"model": model, "alias": alias, "previous": previous, "version": version}
    connection.execute(insert(alias_moves).values(row | {"created": now()} | asdict(cause)))


def list_moves(
    connection: Connection, model: str, alias: str, limit: int, after: int | None = None
) -> list[AliasMove]:
    """List up to `limit` moves of an alias, newest first, that are older than the one `after`."""
    query = (
        select(*(alias_moves.c[field.name] for field in fields(AliasMove)))
        .where(alias_moves.c.model == model, alias_moves.c.alias == alias)
        .order_by(alias_moves.c.id.desc())
        .limit(limit)
    )
    if after is not None:
        query = query.where(alias_moves.c.id < after)
    return [AliasMove(**row._mapping) for row in connection.execute(query).all()]


def point(
    connection: Connection,
    model: str,
    alias: str,
    version: int,
    cause: Cause,
    expects: Callable[[int], bool] | None = None,
) -> None:
    """Point an alias at a version; one that points there already stays as it is.

    Raises PreconditionFailed unless `expects`, if it is given, is true of the version that the
    alias points at.
    """
    lock_aliases(connection, model)
    present = target_of(connection, model, alias)
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
    record_move(connection, model, alias, present, version, cause)


def roll_back(connection: Connection, model: str, cause: Cause, expected: int | None = None) -> int:
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
    point(connection, model, CHAMPION, earlier.version, cause)
    return int(earlier.version)


def lock_aliases(connection: Connection, model: str) -> None:
    """Keep other transactions from moving an alias of a model until this one ends."""
    first = select(versions.c.version).where(versions.c.model == model)
    first = first.order_by(versions.c.version).limit(1)
    # PostgreSQL answers nothing if the row was deleted while this transaction waited for it.
    while connection.execute(first.with_for_update()).one_or_none() is None:
        if connection.execute(first).one_or_none() is None:
            return
