"""The routes of aliases, and every move of theirs, within the transactions of the catalog.

`alias_history` holds the versions that a rollback goes back to: it drops what is undone or deleted.
`alias_moves` drops nothing while there is the model.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from models.errors import Conflict, NotFound, PreconditionFailed
from models.registry.catalog.routes import Route, RouteChange
from models.registry.documents import Document
from models.store.audit import actor_name, tell
from models.store.tables import (
    alias_history,
    alias_moves,
    aliases,
    now,
    route_changes,
    versions,
)

CHAMPION = "champion"

_ALWAYS_TOLD = ("alias", "from", "to")  # in the entry of the audit log


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
    previous: int | None  # version that answered most requests before; None for none
    version: int | None  # that does since; None: it was deleted
    weights: Document | None  # share by version since; None: `version` answers all
    shadow: int | None  # since
    actor: str | None
    job: str | None
    reason: str
    verdict: Document | None


def by_command(reason: str | None, default: str) -> Cause:
    """Return the cause of a move that the present command makes."""
    return Cause(reason or default, actor_name())


def route_of(connection: Connection, model: str, alias: str) -> Route | None:
    """Return the route of an alias; None if there is no such alias."""
    query = select(aliases.c.version, aliases.c.weights, aliases.c.shadow).where(
        aliases.c.model == model, aliases.c.alias == alias
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else Route.stored(*row)


def routes(
    connection: Connection, *conditions: ColumnElement[bool]
) -> Iterator[tuple[str, str, Route]]:
    """Yield model, name and route of the aliases that fulfil the conditions, by name."""
    query = select(
        aliases.c.model, aliases.c.alias, aliases.c.version, aliases.c.weights, aliases.c.shadow
    )
    for row in connection.execute(query.where(*conditions).order_by(aliases.c.alias)):
        yield row.model, row.alias, Route.stored(*row[2:])


def aliases_by_version(connection: Connection, model: str) -> dict[int, list[str]]:
    """Return the aliases that name each version of a model, by name; a shadow is marked."""
    found = defaultdict(list)
    for _, alias, route in routes(connection, aliases.c.model == model):
        for version in route.versions:
            found[version].append(alias if version in route.weights else f"{alias} (shadow)")
    return found


def record_move(
    connection: Connection,
    model: str,
    alias: str,
    previous: Route | None,
    route: Route | None,
    cause: Cause,
) -> None:
    """Write a move of an alias, and that routes have changed; no route stands for its deletion."""
    row = {"model": model, "alias": alias, "created": now(), **asdict(cause)}
    row["previous"] = None if previous is None else previous.version
    row |= {} if route is None else route.columns
    connection.execute(insert(alias_moves).values(row))
    note_change(connection)


def note_change(connection: Connection) -> None:
    """Make every process read routes and versions anew once this transaction is committed.

    The row is locked until then: call it when the transaction needs no other lock.
    """
    number = route_changes.c.number
    noted = connection.execute(update(route_changes).values(number=number + 1))
    if noted.rowcount == 0:
        connection.execute(insert(route_changes).values(id=1, number=1))


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
    change: RouteChange,
    cause: Cause,
    expects: Callable[[str], bool] | None = None,
) -> Route:
    """Change the route of an alias and return it; one that is as it should be stays as it is.

    Raises PreconditionFailed unless `expects`, if it is given, is true of the tag of the present
    route, NotFound if the model lacks a version of the change, and as `RouteChange.applied_to`.
    """
    lock_aliases(connection, model)
    present = route_of(connection, model, alias)
    if expects is not None and (present is None or not expects(present.tag)):
        place = "no version" if present is None else str(present)
        raise PreconditionFailed(f"Alias {alias!r} of model {model!r} points at {place}.")
    _check_versions(connection, model, change.versions)
    route = change.applied_to(present)
    if present == route:
        return route  # a second entry would make the next rollback lead nowhere
    told: Document = {"alias": alias, "from": None if present is None else present.version}
    told |= {"to": route.version, "weights": route.shares, "shadow": route.shadow}
    tell(**{name: told[name] for name in told if name in _ALWAYS_TOLD or told[name] is not None})
    values = route.columns | {"updated": now()}
    moved = connection.execute(
        update(aliases).where(aliases.c.model == model, aliases.c.alias == alias).values(values)
    )
    if moved.rowcount == 0:
        connection.execute(insert(aliases).values(model=model, alias=alias, **values))
    if present is None or present.weights != route.weights:
        entry = {"model": model, "alias": alias, "created": now()}
        entry |= {"version": route.version, "weights": route.shares}
        connection.execute(insert(alias_history).values(entry))
    record_move(connection, model, alias, present, route, cause)
    return route


def _check_versions(connection: Connection, model: str, wanted: set[int]) -> None:
    """Raise NotFound for a version that the model does not have, or no more."""
    query = select(versions.c.version).where(
        versions.c.model == model, versions.c.version.in_(wanted), versions.c.ready
    )
    if missing := wanted.difference(connection.execute(query).scalars()):
        raise NotFound("version", min(missing), f"model {model!r}")


def roll_back(
    connection: Connection, model: str, cause: Cause, leaving: int | None = None
) -> Route:
    """Give `champion` the route that it had before, and return that; its shadow stays.

    With `leaving`, go back to where that version did not answer. Raises Conflict if there is no
    such route, or if `leaving` does not answer now.
    """
    lock_aliases(connection, model)
    history = connection.execute(
        select(alias_history.c.id, alias_history.c.version, alias_history.c.weights)
        .where(alias_history.c.model == model, alias_history.c.alias == CHAMPION)
        .order_by(alias_history.c.id.desc())
    ).all()
    routes = [Route.stored(entry.version, entry.weights, None) for entry in history]
    if routes and leaving is not None and leaving not in routes[0].weights:
        raise Conflict(f"The champion of model {model!r} is {routes[0]}.")
    for place, route in enumerate(routes):
        if place and leaving not in route.weights:
            break
    else:
        raise Conflict(f"Model {model!r} has no earlier champion to go back to.")
    # That entry goes, too: pointing there writes it anew, as the newest.
    undone = [entry.id for entry in history[: place + 1]]
    connection.execute(delete(alias_history).where(alias_history.c.id.in_(undone)))
    return point(connection, model, CHAMPION, RouteChange(route.weights), cause)


def lock_aliases(connection: Connection, model: str) -> None:
    """Keep other transactions from moving an alias of a model until this one ends."""
    first = select(versions.c.version).where(versions.c.model == model)
    first = first.order_by(versions.c.version).limit(1)
    # PostgreSQL answers nothing if the row was deleted while this transaction waited for it.
    while connection.execute(first.with_for_update()).one_or_none() is None:
        if connection.execute(first).one_or_none() is None:
            return
