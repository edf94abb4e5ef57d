"""Models, their versions, and the aliases that point at them."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Text,
    bindparam,
    cast,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from models.errors import NotFound
from models.registry.catalog.aliases import (
    CHAMPION,
    AliasMove,
    Cause,
    aliases_by_version,
    by_command,
    list_moves,
    lock_aliases,
    point,
    roll_back,
    route_of,
    routes,
)
from models.registry.catalog.numbers import is_first, next_number
from models.registry.catalog.promotion import MOVE, ChampionMoved, Comparison, PromotionRule, judge
from models.registry.catalog.records import ModelRecord, VersionRecord
from models.registry.catalog.routes import Route, RouteChange
from models.registry.documents import Document
from models.store.audit import tell
from models.store.engine import Database
from models.store.removals import remove_later
from models.store.tables import (
    aliases,
    jobs,
    model_settings,
    now,
    versions,
)

_BY_HAND = "It was pointed there by hand."
_BACK = "It was rolled back."
_NO_SETTINGS = {"auto_promote": False, "prediction_log": None, "rollback_when": None}

# Built once: a prediction by a process that does not know the version yet runs one of them.
_BY_NUMBER = select(versions.c.version).where(
    versions.c.model == bindparam("model"),
    versions.c.version == bindparam("version"),
    versions.c.ready,
)
_BY_ALIAS = select(aliases.c.version).where(
    aliases.c.model == bindparam("model"), aliases.c.alias == bindparam("alias")
)


class ModelCatalog:
    """Numbers, publishes and finds versions. A version is immutable once it is published."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def reserve(self, model: str, task: str, job: str, trial: int) -> int:
        """Reserve the next version number of `model` for a job, or return the one it has."""
        row = {
            "model": model,
            "task": task,
            "job": job,
            "trial": trial,
            "created": now(),
            "created_by": select(jobs.c.created_by).where(jobs.c.id == job).scalar_subquery(),
            "files": {},
            "details": {},
            "ready": False,
        }
        while True:
            try:
                with self._database.write() as connection:
                    version, is_mine = next_number(connection, model, job)
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
        rule: PromotionRule = MOVE,
        compared: Comparison | None = None,
    ) -> Document:
        """Make a reserved version visible, within the caller's transaction; return the verdict.

        The verdict says whether it becomes the champion: by `rule`, and as it was `compared` with
        the present one. Raises ChampionMoved, before anything is written, if it was compared with
        another version than the alias points at now; None is compared with whichever that is.

        Its folder is listed for removal: an earlier export that failed may have left files there.
        """
        lock_aliases(connection, model)
        present = route_of(connection, model, CHAMPION)
        champion = None if present is None else present.version
        compared = compared or Comparison(champion, trouble="Nothing was compared.")
        if compared.champion != champion:
            raise ChampionMoved(f"The champion of model {model!r} was moved.")
        verdict = judge(
            rule,
            compared,
            is_first=is_first(connection, model),
            auto_promote=_is_auto_promoted(connection, model),
            is_shared=present is not None and len(present.weights) > 1,
        )
        size = sum(entry["bytes"] for entry in files.values())
        values = {"trial": trial, "files": files, "bytes": size}
        made = connection.execute(
            update(versions)
            .where(versions.c.model == model, versions.c.version == version)
            .values(ready=True, created=now(), details=details | {"promotion": verdict}, **values)
            .returning(versions.c.job, versions.c.created_by)
        ).one()
        remove_later(connection, [artifact_folder(model, version)])
        if verdict["promoted"]:
            cause = Cause(verdict["reason"], made.created_by, made.job, verdict)
            point(connection, model, CHAMPION, RouteChange.to(version), cause)
        return verdict

    def discard(self, connection: Connection, model: str, version: int) -> bool:
        """Release a reserved number within the caller's transaction; return whether there was one.

        Its folder is listed for removal, and no later version gets the number. A published
        version stays.
        """
        freed = connection.execute(
            delete(versions).where(
                versions.c.model == model, versions.c.version == version, ~versions.c.ready
            )
        )
        if freed.rowcount == 1:
            remove_later(connection, [artifact_folder(model, version)])
        return freed.rowcount == 1

    def resolve(self, model: str, version: int | None = None, alias: str | None = None) -> int:
        """Return a version's number, given that, an alias, or neither (the champion).

        Raises NotFound.
        """
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
            raise NotFound("version", version, f"model {model!r}")
        raise NotFound("alias", alias or CHAMPION, f"model {model!r}")

    def version_of(self, job: str, trial: int) -> int | None:
        """Return the published version that was made from a trial, or None."""
        query = select(versions.c.version).where(
            versions.c.job == job, versions.c.trial == trial, versions.c.ready
        )
        with self._database.read() as connection:
            return connection.execute(query).scalar_one_or_none()

    def models(self, limit: int, after: str | None = None) -> list[ModelRecord]:
        """List up to `limit` models by name, those after the name `after`."""
        query = _models().order_by(versions.c.model).limit(limit)
        if after is not None:
            query = query.where(versions.c.model > after)
        with self._database.read() as connection:
            return _read_models(connection, query)

    def model(self, name: str) -> ModelRecord:
        """Read one model; raises NotFound if it has no version."""
        with self._database.read() as connection:
            found = _read_models(connection, _models().where(versions.c.model == name))
        if not found:
            raise NotFound("model", name)
        return found[0]

    def versions(self, model: str) -> list[VersionRecord]:
        """List every version of a model, newest first."""
        query = _versions(model).order_by(versions.c.version.desc())
        with self._database.read() as connection:
            pointing = aliases_by_version(connection, model)
            return [_version(row, pointing) for row in connection.execute(query).all()]

    def numbers(self, model: str) -> list[int]:
        """List the numbers of a model's versions, newest first; NotFound if there is none."""
        query = select(versions.c.version).where(versions.c.model == model, versions.c.ready)
        with self._database.read() as connection:
            found = connection.execute(query.order_by(versions.c.version.desc())).scalars().all()
        if not found:
            raise NotFound("model", model)
        return list(found)

    def version(self, model: str, version: int) -> VersionRecord:
        """Read one version; raises NotFound."""
        query = _versions(model).where(versions.c.version == version)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
            if row is None:
                raise NotFound("version", version, f"model {model!r}")
            return _version(row, aliases_by_version(connection, model))

    def files(self, model: str, version: int) -> dict[str, Document]:
        """Return what is registered of a version's files; raises NotFound or Unreadable."""
        return self.version(model, version).files

    def champion(self, model: str) -> VersionRecord | None:
        """Read the version that answers most requests to `champion`; None if there is none."""
        with self._database.read() as connection:
            route = route_of(connection, model, CHAMPION)
        with suppress(NotFound):  # it was deleted just now
            return None if route is None else self.version(model, route.version)
        return None

    def route(self, model: str, alias: str) -> Route:
        """Read the route of an alias; raises NotFound."""
        with self._database.read() as connection:
            route = route_of(connection, model, alias)
        if route is not None:
            return route
        self.model(model)
        raise NotFound("alias", alias, f"model {model!r}")

    def moves(
        self, model: str, alias: str, limit: int, after: int | None = None
    ) -> list[AliasMove]:
        """List up to `limit` moves of an alias, newest first, that are older than the one `after`.

        Raises NotFound if there is no such model, or it never had that alias.
        """
        with self._database.read() as connection:
            found = list_moves(connection, model, alias, limit, after)
            is_known = bool(found or list_moves(connection, model, alias, 1))
        if not is_known:
            self.model(model)
            raise NotFound("alias", alias, f"model {model!r}")
        return found

    def change_settings(self, model: str, changes: Mapping[str, Any]) -> None:
        """Change columns of `model_settings`, such as who may move `champion`.

        Raises NotFound if the model has no version.
        """
        self.model(model)
        with self._database.write() as connection:
            lock_aliases(connection, model)
            if is_first(connection, model):
                raise NotFound("model", model)  # deleted just now
            mine = model_settings.c.model == model
            row = connection.execute(select(model_settings).where(mine)).one_or_none()
            before = {"model": model, **_NO_SETTINGS} if row is None else row._asdict()
            after = {**before, **changes}
            if after == before:
                return
            connection.execute(delete(model_settings).where(mine))
            connection.execute(insert(model_settings).values(after))
            tell(**changes)

    def set_alias(
        self,
        model: str,
        alias: str,
        change: RouteChange,
        expects: Callable[[str], bool] | None = None,
        reason: str | None = None,
    ) -> Route:
        """Change the route of `alias` and return it; NotFound for a version that is not there.

        Raises PreconditionFailed unless `expects`, if it is given, is true of the tag of the
        present route, and as `RouteChange.applied_to`.
        """
        self.model(model)
        with self._database.write() as connection:
            return point(connection, model, alias, change, by_command(reason, _BY_HAND), expects)

    def rollback(self, model: str, leaving: int | None = None, reason: str | None = None) -> Route:
        """Give `champion` the route that it had before, or had before `leaving` answered.

        Returns it. Raises Conflict if there is none, or if `leaving` does not answer now.
        """
        self.model(model)
        with self._database.write() as connection:
            return roll_back(connection, model, by_command(reason, _BACK), leaving)


def artifact_folder(model: str, version: int) -> str:
    """Return the folder of a version's files, below the artifact root."""
    return f"models/{model}/{version}"


def log_folder(model: str) -> str:
    """Return the folder of a model's prediction log, below the artifact root."""
    return f"logs/{model}"


def _is_auto_promoted(connection: Connection, model: str) -> bool:
    query = select(model_settings.c.auto_promote).where(model_settings.c.model == model)
    return bool(connection.execute(query).scalar_one_or_none())


def _models() -> Any:
    return (
        select(
            versions.c.model,
            func.max(versions.c.version).label("latest"),
            func.max(versions.c.created).label("created"),
            func.sum(versions.c.bytes).label("bytes"),
        )
        .where(versions.c.ready)
        .group_by(versions.c.model)
    )


def _read_models(connection: Connection, query: Any) -> list[ModelRecord]:
    rows = connection.execute(query).all()
    pointing: dict[str, dict[str, Route]] = {row.model: {} for row in rows}
    for model, alias, route in routes(connection, aliases.c.model.in_(pointing)):
        pointing[model][alias] = route
    query = select(model_settings).where(model_settings.c.model.in_(pointing))
    settings = {row.model: row._asdict() for row in connection.execute(query).all()}
    return [
        ModelRecord(
            row.model,
            row.latest,
            pointing[row.model],
            row.created,
            int(row.bytes),
            **{name: settings.get(row.model, _NO_SETTINGS)[name] for name in _NO_SETTINGS},
        )
        for row in rows
    ]


def _versions(model: str) -> Any:
    # As text, since a value that is not JSON must not fail the query.
    return select(
        versions.c.model,
        versions.c.version,
        versions.c.task,
        versions.c.job,
        versions.c.trial,
        versions.c.created,
        versions.c.created_by,
        versions.c.bytes,
        cast(versions.c.files, Text).label("files_json"),
        cast(versions.c.details, Text).label("details_json"),
    ).where(versions.c.model == model, versions.c.ready)


def _version(row: Row[Any], pointing: dict[int, list[str]]) -> VersionRecord:
    return VersionRecord(**row._mapping, aliases=tuple(pointing.get(row.version, ())))
