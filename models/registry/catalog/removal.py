"""Removal of versions, aliases and whole models.

Each method is one transaction, which lists the folders of what it removes; `models.retention`
deletes the files. It is noted as a change of routes, so that processes that hold a version loaded
stop serving it.
"""

from sqlalchemy import Connection, delete, select, update

from models.errors import Conflict, NotFound
from models.registry.catalog.aliases import (
    aliases_by_version,
    by_command,
    lock_aliases,
    note_change,
    record_move,
    route_of,
)
from models.registry.catalog.catalog import artifact_folder, log_folder
from models.registry.catalog.routes import Route
from models.store.engine import Database
from models.store.removals import remove_later
from models.store.tables import (
    OPEN_BATCHES,
    alias_history,
    alias_moves,
    aliases,
    batches,
    feedback,
    jobs,
    model_settings,
    prediction_figures,
    versions,
)

_OF_MODEL = (
    aliases,
    alias_history,
    alias_moves,
    model_settings,
    prediction_figures,
    feedback,
)


class ModelRemoval:
    """Removes parts of the catalog of models."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def remove_version(self, model: str, version: int) -> None:
        """Remove a version and list its files for removal.

        Raises NotFound, and Conflict, which names them, if aliases point at it or batches need it.
        """
        with self._database.write() as connection:
            _forget_in_jobs(connection, model, version)
            lock_aliases(connection, model)
            mine = (versions.c.model == model, versions.c.version == version, versions.c.ready)
            row = select(versions.c.version).where(*mine).with_for_update()
            if connection.execute(row).one_or_none() is None:
                raise NotFound("version", version, f"model {model!r}")
            _refuse_while_predicting(connection, model, version)
            if pointing := aliases_by_version(connection, model).get(version):
                names = ", ".join(pointing)
                raise Conflict(
                    f"Aliases point at version {version} of model {model!r}: {names}."
                    " Point them elsewhere or delete them first."
                )
            _forget_in_history(connection, model, version)
            connection.execute(delete(versions).where(*mine))
            for table in (prediction_figures, feedback):
                of_version = (table.c.model == model, table.c.version == version)
                connection.execute(delete(table).where(*of_version))
            remove_later(connection, [artifact_folder(model, version)])
            note_change(connection)

    def remove_model(self, model: str) -> tuple[list[int], list[str]]:
        """Remove a model with its aliases, versions and batches.

        Returns the numbers of the versions, and the folders of the batches. A version that a job is
        just making appears later all the same. Raises NotFound.
        """
        with self._database.write() as connection:
            _forget_in_jobs(connection, model)
            lock_aliases(connection, model)
            for table in _OF_MODEL:
                connection.execute(delete(table).where(table.c.model == model))
            mine = (versions.c.model == model, versions.c.ready)
            gone = delete(versions).where(*mine).returning(versions.c.version)
            numbers = sorted(connection.execute(gone).scalars())
            if not numbers:
                raise NotFound("model", model)
            gone = delete(batches).where(batches.c.model == model).returning(batches.c.id)
            folders = [f"batches/{batch}" for batch in connection.execute(gone).scalars()]
            names = [artifact_folder(model, number) for number in numbers]
            remove_later(connection, [*names, *folders, log_folder(model)])
            note_change(connection)
        return numbers, folders

    def remove_alias(self, model: str, alias: str) -> None:
        """Remove an alias; the version that it points at stays, and the list of its moves.

        No rollback goes back to what it pointed at. Raises NotFound.
        """
        with self._database.write() as connection:
            lock_aliases(connection, model)
            present = route_of(connection, model, alias)
            if present is None:
                raise NotFound("alias", alias, f"model {model!r}")
            mine = (aliases.c.model == model, aliases.c.alias == alias)
            connection.execute(delete(aliases).where(*mine))
            of_alias = (alias_history.c.model == model, alias_history.c.alias == alias)
            connection.execute(delete(alias_history).where(*of_alias))
            cause = by_command(None, "The alias was deleted.")
            record_move(connection, model, alias, present, None, cause)


def _forget_in_jobs(connection: Connection, model: str, version: int | None = None) -> None:
    """Let jobs name a version, or any of a model, no more.

    Jobs are locked before versions, in the order in which a job that ends locks them.
    """
    named = jobs.c.version.is_not(None) if version is None else jobs.c.version == version
    query = select(jobs.c.id).where(jobs.c.model == model, named).order_by(jobs.c.id)
    found = connection.execute(query.with_for_update()).scalars().all()
    connection.execute(update(jobs).where(jobs.c.id.in_(found)).values(version=None))


def _refuse_while_predicting(connection: Connection, model: str, version: int) -> None:
    """Raise Conflict if a batch that has not ended needs a version."""
    mine = (batches.c.model == model, batches.c.version == version)
    query = select(batches.c.id).where(*mine, batches.c.state.in_(OPEN_BATCHES)).limit(1)
    batch = connection.execute(query).scalar_one_or_none()
    if batch is not None:
        raise Conflict(f"Version {version} of model {model!r} is in use by batch {batch}.")


def _forget_in_history(connection: Connection, model: str, version: int) -> None:
    """Drop a version from the history of aliases, and what then repeats the entry before."""
    query = (
        select(
            alias_history.c.id,
            alias_history.c.alias,
            alias_history.c.version,
            alias_history.c.weights,
        )
        .where(alias_history.c.model == model)
        .order_by(alias_history.c.id)
    )
    before: dict[str, Route] = {}
    dropped = []
    for entry in connection.execute(query).all():
        route = Route.stored(entry.version, entry.weights, None)
        if version in route.weights or route == before.get(entry.alias):
            dropped.append(entry.id)
        else:
            before[entry.alias] = route
    connection.execute(delete(alias_history).where(alias_history.c.id.in_(dropped)))
