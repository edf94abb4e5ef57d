"""The catalog of stored datasets; their rows lie in the artifact store."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from types import NoneType
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from models.data.columns import dump_columns, load_columns, of_type
from models.data.library.profile import ColumnProfile
from models.data.library.sources import SourceRecord, dump_source, load_source
from models.data.warnings import DataWarning, WarningCode
from models.errors import Conflict, NotFound, Unreadable
from models.store.audit import tell
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
    source: SourceRecord | None = None  # what it was read from; None if that was not kept
    reading: Mapping[str, Any] | None = None  # how that was read, as JSON
    warnings: tuple[DataWarning, ...] = ()


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
        *,
        source: SourceRecord | None = None,
        reading: Mapping[str, Any] | None = None,
        warnings: Sequence[DataWarning] = (),
    ) -> DatasetRecord:
        """Record a dataset whose rows are stored; a dataset that is known stays as it was.

        Only a source is added to a known one that has none.
        """
        row: dict[str, Any] = {
            "id": dataset,
            "name": name,
            "builtin": builtin,
            "rows": rows,
            "columns": dump_columns(columns),
            "created": now(),
            "source": None if source is None else dump_source(source),
            "reading": None if reading is None else dict(reading),
            "warnings": [asdict(warning) for warning in warnings],
        }
        tell("dataset", dataset)
        while True:
            try:
                with self._database.write() as connection:
                    connection.execute(insert(datasets).values(row))
            except IntegrityError:
                # It is known already, unless another process is deleting it.
                if builtin is not None or source is not None:
                    self._add_where_null(dataset, builtin=builtin, source=row["source"])
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

    def find(self, dataset: str) -> DatasetRecord:
        """Return one dataset as lists show it, readable or not; raise NotFound for none."""
        row = self._find(datasets.c.id == dataset)
        if row is None:
            raise NotFound("dataset", dataset)
        return _listed(row)

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

    def _add_where_null(self, dataset: str, **values: Any) -> None:
        """Set the columns that have a value here and none in the row."""
        with self._database.write() as connection:
            for name, value in values.items():
                if value is not None:
                    lacks_it = and_(datasets.c.id == dataset, datasets.c[name].is_(None))
                    connection.execute(update(datasets).where(lacks_it).values({name: value}))


def _record(row: Row[Any]) -> DatasetRecord:
    columns = load_columns(ColumnProfile, row.columns, f"dataset {row.id!r}")
    return _described(row, columns)


def _listed(row: Row[Any]) -> DatasetRecord:
    try:
        return _record(row)
    except Unreadable as error:
        return replace(_described(row, ()), error=str(error))


def _described(row: Row[Any], columns: tuple[ColumnProfile, ...]) -> DatasetRecord:
    """Return a record; what an older version did not store, or nobody can read, is left empty."""
    return DatasetRecord(
        **row._asdict()
        | {
            "columns": columns,
            "source": load_source(row.source),
            "reading": row.reading if isinstance(row.reading, dict) else None,
            "warnings": tuple(_load_warnings(row.warnings)),
        }
    )


def _load_warnings(stored: Any) -> Iterator[DataWarning]:
    """Read stored warnings; those of which this version does not know the kind are left out."""
    for item in stored if isinstance(stored, list) else ():
        with suppress(TypeError, ValueError, KeyError):
            yield DataWarning(
                WarningCode(item["code"]),
                of_type(str)(item["message"]),
                of_type(str, NoneType)(item["column"]),
                of_type(int, NoneType)(item["rows"]),
            )


def _evaluation_datasets(spec: Any) -> list[Any]:
    """Return the datasets that a stored request validates and tests on; none if it is damaged."""
    evaluation = spec.get("evaluation") if isinstance(spec, Mapping) else None
    if not isinstance(evaluation, Mapping):
        return []
    return [evaluation.get(name) for name in ("validation_dataset", "test_dataset")]
