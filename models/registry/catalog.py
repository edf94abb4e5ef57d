"""Which versions a model has, and which aliases point at them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from models.errors import Conflict, NotFound
from models.store.engine import Database
from models.store.tables import alias_history, aliases, now, versions

CHAMPION = "champion"

# Built once: every prediction runs one of them.
_BY_NUMBER = select(versions.c.version).where(
    versions.c.model == bindparam("model"),
    versions.c.version == bindparam("version"),
    versions.c.ready,
)
_BY_ALIAS = select(aliases.c.version).where(
    aliases.c.model == bindparam("model"), aliases.c.alias == bindparam("alias")
)


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """One row of `versions`."""

    model: str
    version: int
    task: str
    job: str | None
    trial: int | None
    created: datetime
    files: dict[str, Any]  # name -> {"sha256", "bytes", "path"}
    details: dict[str, Any]  # evidence, signature, layers, summary


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A model's name with what it has."""

    name: str
    latest_version: int
    versions: int
    aliases: dict[str, int]
    created: datetime  # of its newest version


class ModelCatalog:
    """Numbers, publishes and finds versions. A version is immutable once it is published."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def reserve(self, model: str, task: str, job: str, trial: int) -> int:
        """Take the next version number of `model` for a job; its earlier one if it has one."""
        row = {
            "model": model,
            "task": task,
            "job": job,
            "trial": trial,
            "created": now(),
            "files": {},
            "details": {},
            "ready": False,
        }
        while True:
            try:
                with self._database.write() as connection:
                    version, is_mine = _next_version(connection, model, job)
                    if not is_mine:
                        connection.execute(insert(versions).values(row | {"version": version}))
                    return version
            except IntegrityError:
                continue  # another job took this number between the question and the answer

    def publish(
        self,
        connection: Connection,
        model: str,
        version: int,
        trial: int,
        files: dict[str, Any],
        details: dict[str, Any],
    ) -> None:
        """Make a reserved version visible and the champion, within the caller's transaction."""
        connection.execute(
            update(versions)
            .where(versions.c.model == model, versions.c.version == version)
            .values(trial=trial, files=files, details=details, ready=True, created=now())
        )
        _point(connection, model, CHAMPION, version)

    def discard(self, connection: Connection, model: str, version: int) -> bool:
        """Give a reserved number back within the caller's transaction; whether it was reserved.

        A published version stays.
        """
        gone = connection.execute(
            delete(versions).where(
                versions.c.model == model, versions.c.version == version, ~versions.c.ready
            )
        )
        return gone.rowcount == 1

    def resolve(self, model: str, version: int | None = None, alias: str | None = None) -> int:
        """The version asked for: by number, by alias, or the champion. NotFound if none."""
        if version is not None:
            query, values = _BY_NUMBER, {"model": model, "version": version}
        else:
            query, values = _BY_ALIAS, {"model": model, "alias": alias or CHAMPION}
        with self._database.read() as connection:
            found = connection.execute(query, values).scalar_one_or_none()
        if found is not None:
            return int(found)
        self.model(model)
        if version is not None:
            raise NotFound(f"version of model {model!r}", version)
        raise NotFound(f"alias of model {model!r}", alias or CHAMPION)

    def version_of(self, job: str, trial: int) -> int | None:
        """The published version that was made of a trial; None if there is none."""
        query = select(versions.c.version).where(
            versions.c.job == job, versions.c.trial == trial, versions.c.ready
        )
        with self._database.read() as connection:
            return connection.execute(query).scalar_one_or_none()

    def models(self, limit: int, after: str | None = None) -> list[ModelRecord]:
        """Up to `limit` models by name, from the one after `after`."""
        query = _models().order_by(versions.c.model).limit(limit)
        if after is not None:
            query = query.where(versions.c.model > after)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
            return [_model(connection, row) for row in rows]

    def model(self, name: str) -> ModelRecord:
        """One model; NotFound if it has no version."""
        with self._database.read() as connection:
            row = connection.execute(_models().where(versions.c.model == name)).one_or_none()
            if row is None:
                raise NotFound("model", name)
            return _model(connection, row)

    def versions(self, model: str) -> list[VersionRecord]:
        """Every version of a model, newest first."""
        query = (
            select(versions)
            .where(versions.c.model == model, versions.c.ready)
            .order_by(versions.c.version.desc())
        )
        with self._database.read() as connection:
            return [_version(row) for row in connection.execute(query)]

    def version(self, model: str, version: int) -> VersionRecord:
        """One version; NotFound if there is none."""
        query = select(versions).where(
            versions.c.model == model, versions.c.version == version, versions.c.ready
        )
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFound(f"version of model {model!r}", version)
        return _version(row)

    def files(self, model: str, version: int) -> dict[str, Any]:
        """What is registered of the files of a version; NotFound if there is none."""
        return self.version(model, version).files

    def set_alias(self, model: str, alias: str, version: int) -> None:
        """Point `alias` at a version; NotFound if the model has no such version."""
        self.version(model, version)
        with self._database.write() as connection:
            _point(connection, model, alias, version)

    def rollback(self, model: str) -> int:
        """Point `champion` at the version it pointed at before; answer that version.

        Raises Conflict when there is nothing to go back to.
        """
        self.model(model)
        with self._database.write() as connection:
            _lock_aliases(connection, model)
            history = connection.execute(
                select(alias_history.c.id, alias_history.c.version)
                .where(alias_history.c.model == model, alias_history.c.alias == CHAMPION)
                .order_by(alias_history.c.id.desc())
                .limit(2)
            ).all()
            if len(history) < 2:
                raise Conflict(f"Model {model!r} has no earlier champion to go back to.")
            present, earlier = history
            # Both entries go: pointing at the earlier one writes it anew, as the newest.
            connection.execute(
                delete(alias_history).where(alias_history.c.id.in_([present.id, earlier.id]))
            )
            _point(connection, model, CHAMPION, earlier.version)
            return int(earlier.version)


def artifact_folder(model: str, version: int) -> str:
    """Where a version's files lie, below the artifact root."""
    return f"models/{model}/{version}"


def _next_version(connection: Connection, model: str, job: str) -> tuple[int, bool]:
    """The number that a job's version will have, and whether the job has reserved it already."""
    mine = connection.execute(
        select(func.min(versions.c.version)).where(
            versions.c.model == model, versions.c.job == job, ~versions.c.ready
        )
    ).scalar_one()
    if mine is not None:
        return int(mine), True
    last = connection.execute(
        select(func.coalesce(func.max(versions.c.version), 0)).where(versions.c.model == model)
    ).scalar_one()
    return int(last) + 1, False


def _lock_aliases(connection: Connection, model: str) -> None:
    """Let nobody else move an alias of a model until the transaction ends."""
    first = select(versions.c.version).where(versions.c.model == model)
    connection.execute(first.order_by(versions.c.version).limit(1).with_for_update())


def _point(connection: Connection, model: str, alias: str, version: int) -> None:
    _lock_aliases(connection, model)
    at = connection.execute(
        select(aliases.c.version).where(aliases.c.model == model, aliases.c.alias == alias)
    ).scalar_one_or_none()
    if at == version:
        return  # a second entry would make the next rollback lead nowhere
    values = {"version": version, "updated": now()}
    moved = connection.execute(
        update(aliases).where(aliases.c.model == model, aliases.c.alias == alias).values(values)
    )
    if moved.rowcount == 0:
        connection.execute(insert(aliases).values(model=model, alias=alias, **values))
    connection.execute(
        insert(alias_history).values(model=model, alias=alias, version=version, created=now())
    )


def _models() -> Any:
    return (
        select(
            versions.c.model,
            func.max(versions.c.version).label("latest"),
            func.count().label("total"),
            func.max(versions.c.created).label("created"),
        )
        .where(versions.c.ready)
        .group_by(versions.c.model)
    )


def _model(connection: Connection, row: Row[Any]) -> ModelRecord:
    pointing = connection.execute(
        select(aliases.c.alias, aliases.c.version)
        .where(aliases.c.model == row.model)
        .order_by(aliases.c.alias)
    )
    return ModelRecord(
        name=row.model,
        latest_version=row.latest,
        versions=row.total,
        aliases={alias: version for alias, version in pointing},
        created=row.created,
    )


def _version(row: Row[Any]) -> VersionRecord:
    fields = dict(row._mapping)
    del fields["ready"]
    return VersionRecord(**fields)
