"""Which datasets are stored; their rows lie in the artifact root."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from models.errors import Conflict, NotFound
from models.store.engine import Database
from models.store.tables import datasets, jobs, now

_FINAL_JOB_STATES = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class DatasetRecord:
    """One row of `datasets`."""

    id: str
    name: str | None
    builtin: str | None  # name of the builtin dataset that it is, if it is one
    rows: int
    columns: list[dict[str, Any]]  # as `models.data.library.profile` describes them
    created: datetime


class DatasetCatalog:
    """Finds, lists, adds and removes datasets by id."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        dataset: str,
        rows: int,
        columns: list[dict[str, Any]],
        name: str | None,
        builtin: str | None,
    ) -> DatasetRecord:
        """Record a dataset whose rows are stored already; one that is known stays as it was."""
        row = {
            "id": dataset,
            "name": name,
            "builtin": builtin,
            "rows": rows,
            "columns": columns,
            "created": now(),
        }
        while True:
            try:
                with self._database.write() as connection:
                    connection.execute(insert(datasets).values(row))
            except IntegrityError:
                # Known already, unless it is deleted in this very moment.
                if builtin is not None:
                    self._mark_builtin(dataset, builtin)
            found = self._find(dataset)
            if found is None and builtin is not None:
                # Another library had other rows under this name, and was first.
                found = self.find_builtin(builtin)
            if found is not None:
                return found

    def get(self, dataset: str) -> DatasetRecord:
        """One dataset by id; NotFound if there is none."""
        found = self._find(dataset)
        if found is None:
            raise NotFound("dataset", dataset)
        return found

    def _find(self, dataset: str) -> DatasetRecord | None:
        with self._database.read() as connection:
            row = connection.execute(select(datasets).where(datasets.c.id == dataset)).one_or_none()
        return None if row is None else _record(row)

    def find_builtin(self, name: str) -> DatasetRecord | None:
        """The stored copy of a builtin dataset, once it was loaded."""
        with self._database.read() as connection:
            row = connection.execute(
                select(datasets).where(datasets.c.builtin == name)
            ).one_or_none()
        return None if row is None else _record(row)

    def page(self, limit: int, after: str | None = None) -> list[DatasetRecord]:
        """Up to `limit` datasets, newest first, that come after the dataset `after`."""
        query = select(datasets).order_by(datasets.c.created.desc(), datasets.c.id).limit(limit)
        if after is not None:
            last = self.get(after)
            earlier = datasets.c.created < last.created
            same_time = and_(datasets.c.created == last.created, datasets.c.id > last.id)
            query = query.where(or_(earlier, same_time))
        with self._database.read() as connection:
            return [_record(row) for row in connection.execute(query)]

    def remove(self, dataset: str, remove_rows: Callable[[], None] = lambda: None) -> None:
        """Forget a dataset; Conflict while a job that has not ended needs it.

        `remove_rows` is called while whoever stores the same dataset again has to wait.
        """
        with self._database.write() as connection:
            validated_on = jobs.c.spec["evaluation"]["validation_dataset"].as_string()
            user = connection.execute(
                select(jobs.c.id)
                .where(
                    or_(jobs.c.dataset == dataset, validated_on == dataset),
                    jobs.c.state.not_in(_FINAL_JOB_STATES),
                )
                .limit(1)
            ).scalar_one_or_none()
            if user is not None:
                raise Conflict(f"Dataset {dataset} is in use by job {user}.")
            gone = connection.execute(delete(datasets).where(datasets.c.id == dataset))
            if gone.rowcount == 0:
                raise NotFound("dataset", dataset)
            remove_rows()

    def _mark_builtin(self, dataset: str, builtin: str) -> None:
        with self._database.write() as connection:
            connection.execute(
                update(datasets)
                .where(datasets.c.id == dataset, datasets.c.builtin.is_(None))
                .values(builtin=builtin)
            )


def _record(row: Row[Any]) -> DatasetRecord:
    return DatasetRecord(**row._mapping)
