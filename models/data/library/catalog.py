"""The catalog of stored datasets; their rows lie in the artifact store."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from types import NoneType
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from models.data.columns import dump_columns, load_columns, of_type
from models.data.library.profile import ColumnProfile
from models.data.library.sources import SourceRecord, dump_source, load_source
from models.data.warnings import DataWarning, WarningCode
from models.errors import Conflict, NotFound, Unreadable
from models.store.audit import tell
from models.store.engine import Database
from models.store.removals import lock_removals, remove_later
from models.store.tables import OPEN_BATCHES, batches, datasets, jobs, now

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
    bytes: int | None = None  # of its files; None until they are counted


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
        size: int | None = None,
    ) -> DatasetRecord:
        """Record a dataset whose rows are stored; a dataset that is known stays as it was.

        Only a source is added to a known one that has none. `size` is the bytes of its files.
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
            "bytes": size,
        }
        tell("dataset", dataset)
        while True:
            try:
                with self._database.write() as connection:
                    # Files of a deleted dataset of the same rows may just be removed.
                    lock_removals(connection, artifact_folder(dataset))
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

    def remove(self, dataset: str, *, dry_run: bool = False) -> None:
        """Remove a dataset and list its folder for removal.

        Raises Conflict while a job or a batch that has not ended needs it. A dry run only raises
        what stands against it.
        """
        with self._database.write() as connection:
            # A job that is being queued has a shared lock, or finds the dataset gone.
            row = select(datasets.c.id).where(datasets.c.id == dataset).with_for_update()
            if connection.execute(row).one_or_none() is None:
                raise NotFound("dataset", dataset)
            unfinished = select(jobs.c.id, jobs.c.dataset, jobs.c.spec).where(
                jobs.c.state.not_in(_FINAL_JOB_STATES)
            )
            for job in connection.execute(unfinished).all():
                if dataset in needed_datasets(job.dataset, job.spec):
                    raise Conflict(f"Dataset {dataset} is in use by job {job.id}.")
            predicted = (batches.c.dataset == dataset, batches.c.state.in_(OPEN_BATCHES))
            batch = connection.execute(select(batches.c.id).where(*predicted).limit(1)).scalar()
            if batch is not None:
                raise Conflict(f"Dataset {dataset} is in use by batch {batch}.")
            if dry_run:
                return
            connection.execute(delete(datasets).where(datasets.c.id == dataset))
            remove_later(connection, [artifact_folder(dataset)])

    def unused(self) -> Iterable[str]:
        """Return the datasets that no job names, ended or not, the oldest first."""
        with self._database.read() as connection:
            needed = {
                name
                for job in connection.execute(select(jobs.c.dataset, jobs.c.spec))
                for name in needed_datasets(job.dataset, job.spec)
            }
            query = select(datasets.c.id).order_by(datasets.c.created, datasets.c.id)
            known = connection.execute(query).scalars().all()
        return [dataset for dataset in known if dataset not in needed]

    def _find(self, condition: ColumnElement[bool]) -> Row[Any] | None:
        with self._database.read() as connection:
            return connection.execute(select(datasets).where(condition)).one_or_none()

    def _add_where_null(self, dataset: str, **values: Any) -> None:
        """Set the columns that have a value here and none in the row."""
        with self._database.write() as connection:
            for name, value in values.items():
                if value is not None:
                    lacks_it = and_(datasets.c.id == dataset, datasets.c[name].is_(None))
                    # Its files are counted again, by the next sweep.
                    recount = {"bytes": None} if name == "source" else {}
                    changed = update(datasets).where(lacks_it).values({name: value, **recount})
                    connection.execute(changed)


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


def artifact_folder(dataset: str) -> str:
    """Return the folder of a dataset's files, below the artifact root."""
    return f"datasets/{dataset}"


def needed_datasets(dataset: str | None, spec: Any) -> list[str]:
    """Return the stored datasets that a job needs: its own, and those it validates or tests on.

    `dataset` is None until a built-in one is loaded; `spec` is the stored request, perhaps damaged.
    """
    evaluation = spec.get("evaluation") if isinstance(spec, Mapping) else None
    found = [dataset]
    if isinstance(evaluation, Mapping):
        found += [evaluation.get(name) for name in ("validation_dataset", "test_dataset")]
    return [name for name in found if isinstance(name, str)]


def hold_datasets(connection: Connection, needed: Iterable[str]) -> None:
    """Keep datasets from being deleted until the transaction ends; raise NotFound for a gone one.

    Called by the transaction that queues a job: from its end on, the job's row holds them.
    """
    wanted = sorted(set(needed))
    if not wanted:
        return
    query = select(datasets.c.id).where(datasets.c.id.in_(wanted)).order_by(datasets.c.id)
    found = set(connection.execute(query.with_for_update(read=True)).scalars())
    for name in wanted:
        if name not in found:
            raise NotFound("dataset", name)
