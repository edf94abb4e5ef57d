"""The catalog of stored datasets; their rows lie in the artifact store."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from models.data.columns import dump_columns, load_columns
from models.data.library.profile import ColumnProfile
from models.errors import Conflict, NotFound, Unreadable
from models.store.engine import Database
from models.store.tables import datasets, jobs, now

_FINAL_JOB_STATES = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class DatasetRecord:
    """One row of `datasets`."""

    id: str
    name: str | None
    builtin: str | None  # name of the built-in dataset, if it is one
    rows: int
    columns: tuple[ColumnProfile, ...]  # empty if `error` says why they cannot be read
    created: datetime
    error: str | None = None


class DatasetCatalog:
    """Finds, lists, adds and removes datasets by id.

    A dataset whose columns this version cannot read has no columns but an `error`; it can be
    listed, used by its id and removed. Only `get` raises Unreadable for it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        dataset: str,
        rows: int,
        columns: Sequence[ColumnProfile],
        name: str | None,
        builtin: str | None,
    ) -> DatasetRecord:
        """Record a dataset whose rows are stored; a dataset that is known stays as it was."""
        row = {
            "id": dataset,
            "name": name,
            "builtin": builtin,
            "rows": rows,
            "columns": dump_columns(columns),
            "created": now(),
        }
        while True:
            try:
                with self._database.write() as connection:
                    connection.execute(insert(datasets).values(row))
            except IntegrityError:
                # It is known already, unless another process is deleting it.
                if builtin is not None:
                    self._mark_builtin(dataset, builtin)
            found = self._find(datasets.c.id == dataset)
            if found is None and builtin is not None:
                # Another version of the library had other rows of this name, and was first.
                found = self._find(datasets.c.builtin == builtin)
            if found is not None:
                return _listed(found)

    def get(self, dataset: str) -> DatasetRecord:
        """Return one dataset; raise NotFound if there is none, Unreadable for such columns."""
        row = self._find(datasets.c.id == dataset)
        if row is None:
            raise NotFound("dataset", dataset)
        return _record(row)

    def exists(self, dataset: str) -> bool:
        """Whether there is such a dataset, readable or not."""
        return self._find(datasets.c.id == dataset) is not None

    def find_builtin(self, name: str) -> DatasetRecord | None:
        """Return the stored copy of a built-in dataset; None before it is loaded."""
        row = self._find(datasets.c.builtin == name)
        return None if row is None else _listed(row)

    def page(self, limit: int, after: str | None = None) -> list[DatasetRecord]:
        """Return up to `limit` datasets, newest first, that follow the dataset `after`."""
        query = select(datasets).order_by(datasets.c.created.desc(), datasets.c.id).limit(limit)
        if after is not None:
            last = self._find(datasets.c.id == after)
            if last is None:
                raise NotFound("dataset", after)
            earlier = datasets.c.created < last.created
            same_time = and_(datasets.c.created == last.created, datasets.c.id > last.id)
            query = query.where(or_(earlier, same_time))
        with self._database.read() as connection:
            return [_listed(row) for row in connection.execute(query).all()]

    def remove(self, dataset: str, remove_rows: Callable[[], None] = lambda: None) -> None:
        """Remove a dataset; raise Conflict while an unfinished job needs it.

        `remove_rows` is called within the transaction, so that the same dataset is not stored
        again meanwhile.
        """
        with self._database.write() as connection:
            unfinished = select(jobs.c.id, jobs.c.dataset, jobs.c.spec).where(
                jobs.c.state.not_in(_FINAL_JOB_STATES)
            )
            for job in connection.execute(unfinished).all():
                if dataset in (job.dataset, *_evaluation_datasets(job.spec)):
                    raise Conflict(f"Dataset {dataset} is in use by job {job.id}.")
            gone = connection.execute(delete(datasets).where(datasets.c.id == dataset))
            if gone.rowcount == 0:
                raise NotFound("dataset", dataset)
            remove_rows()

    def _find(self, condition: ColumnElement[bool]) -> Row[Any] | None:
        with self._database.read() as connection:
            return connection.execute(select(datasets).where(condition)).one_or_none()

    def _mark_builtin(self, dataset: str, builtin: str) -> None:
        with self._database.write() as connection:
            connection.execute(
                update(datasets)
                .where(datasets.c.id == dataset, datasets.c.builtin.is_(None))
                .values(builtin=builtin)
            )


def _record(row: Row[Any]) -> DatasetRecord:
    columns = load_columns(ColumnProfile, row.columns, f"dataset {row.id!r}")
    return DatasetRecord(**row._asdict() | {"columns": columns})


def _listed(row: Row[Any]) -> DatasetRecord:
    try:
        return _record(row)
    except Unreadable as error:
        return DatasetRecord(**row._asdict() | {"columns": (), "error": str(error)})


def _evaluation_datasets(spec: Any) -> list[Any]:
    """Return the datasets that a stored request validates and tests on; none if it is damaged."""
    evaluation = spec.get("evaluation") if isinstance(spec, Mapping) else None
    if not isinstance(evaluation, Mapping):
        return []
    return [evaluation.get(name) for name in ("validation_dataset", "test_dataset")]
