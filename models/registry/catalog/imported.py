"""The registration of an imported version: its number, its row, and whether it is promoted."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from models.registry.catalog.aliases import CHAMPION, Cause, lock_aliases, point, route_of
from models.registry.catalog.catalog import artifact_folder
from models.registry.catalog.numbers import is_first, new_number
from models.registry.catalog.promotion import judge_import
from models.registry.catalog.routes import RouteChange
from models.registry.documents import Document
from models.store.audit import actor_name, carrying_out, tell
from models.store.engine import Database
from models.store.removals import remove_later
from models.store.tables import now, versions

_TRIES = 5  # of a transaction that another one of the same model made fail


def take_number(database: Database, model: str) -> int:
    """Return the next version number of a model, which nobody else gets.

    No change of the present command: its files are written under this number first.
    """
    for attempt in range(1, _TRIES + 1):
        try:
            with carrying_out(None), database.write() as connection:
                return new_number(connection, model)
        except IntegrityError:  # the first number of a model was taken just now
            if attempt == _TRIES:
                raise
    raise AssertionError


def abandon(database: Database, model: str, version: int) -> None:
    """List the folder of a version that was not registered, so that a sweep clears it.

    If the row was written after all, the sweep finds it and the files stay.
    """
    with carrying_out(None), database.write() as connection:
        remove_later(connection, [artifact_folder(model, version)])


def publish_import(
    database: Database,
    model: str,
    version: int,
    task: str,
    files: Mapping[str, Mapping[str, Any]],
    details: Document,
) -> Document:
    """Write the row of an imported version, whose files are there; return the verdict on it.

    One transaction, so that a process that dies before leaves files without a row, which `luthier
    gc` collects, and never a row without files.
    """
    row = {
        "model": model,
        "version": version,
        "task": task,
        "created": now(),
        "created_by": actor_name(),
        "files": files,
        "bytes": sum(entry["bytes"] for entry in files.values()),
        "ready": True,
    }
    for attempt in range(1, _TRIES + 1):
        try:
            with database.write() as connection:
                lock_aliases(connection, model)
                route = route_of(connection, model, CHAMPION)
                champion = None if route is None else route.version
                verdict = judge_import(champion, is_first=is_first(connection, model))
                found = {"details": details | {"promotion": verdict}}
                connection.execute(insert(versions).values(row | found))
                tell(version=version)
                if verdict["promoted"]:
                    cause = Cause(verdict["reason"], actor_name(), None, verdict)
                    point(connection, model, CHAMPION, RouteChange.to(version), cause)
            return verdict
        except IntegrityError:  # another first version pointed the alias just now
            if attempt == _TRIES:
                raise
    raise AssertionError
