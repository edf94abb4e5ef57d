"""The catalog of batches: what is shown of them, and what a user may do to one."""

import secrets
from typing import Any

from sqlalchemy import Row, and_, delete, insert, or_, select, update

from models.batches.model import (
    OPEN_STATES,
    Batch,
    BatchSpec,
    BatchState,
    artifact_folder,
    dump_spec,
    load_spec,
)
from models.data.library.catalog import hold_datasets
from models.errors import Conflict, NotFound, TooMany, Unreadable
from models.store.audit import actor_name, tell
from models.store.changes import Channel, notify
from models.store.engine import Database
from models.store.removals import remove_later
from models.store.tables import batches, now, versions

_RETRY_SECONDS = 60
_HOLD = ("owner", "lease_until")  # columns that are no fields of `Batch`
_UNKNOWN = BatchSpec("csv", (), 1)  # of a batch whose spec this version cannot read


def new_batch_id() -> str:
    """Return a new id: random, as whoever knows it may read the result."""
    return f"batch_{secrets.token_hex(8)}"


class BatchCatalog:
    """Queues, finds, lists, cancels and removes batches by id.

    `max_queued` is how many may wait for a worker.
    """

    def __init__(self, database: Database, max_queued: int | None = None) -> None:
        self._database = database
        self._max_queued = max_queued

    def add(
        self, batch: str, model: str, version: int, dataset: str | None, spec: BatchSpec, rows: int
    ) -> Batch:
        """Queue a batch whose rows are stored.

        Raises NotFound if the dataset or the version was deleted meanwhile, and TooMany.
        """
        row = {
            "id": batch,
            "model": model,
            "version": version,
            "dataset": dataset,
            "state": BatchState.QUEUED,
            "spec": dump_spec(spec),
            "rows": rows,
            "created": now(),
            "created_by": actor_name(),
        }
        tell("batch", batch)
        with self._database.write() as connection:
            hold_datasets(connection, [] if dataset is None else [dataset])
            mine = (versions.c.model == model, versions.c.version == version, versions.c.ready)
            query = select(versions.c.version).where(*mine).with_for_update(read=True)
            if connection.execute(query).one_or_none() is None:
                raise NotFound("version", version, f"model {model!r}")
            waiting = select(batches.c.id).where(batches.c.state == BatchState.QUEUED)
            limit = self._max_queued
            if limit is not None and len(connection.execute(waiting.limit(limit)).all()) == limit:
                raise TooMany(
                    f"{limit:,} batches wait for a worker, as many as LUTHIER_MAX_QUEUED_JOBS"
                    " allows.",
                    _RETRY_SECONDS,
                )
            connection.execute(insert(batches).values(row))
            notify(connection, Channel.BATCHES)
        return self.get(batch)

    def get(self, batch: str) -> Batch:
        """Return one batch; raise NotFound if there is none, Unreadable for a damaged one."""
        with self._database.read() as connection:
            row = connection.execute(select(batches).where(batches.c.id == batch)).one_or_none()
        if row is None:
            raise NotFound("batch", batch)
        return batch_of(row)

    def page(self, limit: int, after: str | None = None, state: str | None = None) -> list[Batch]:
        """Return up to `limit` batches, newest first, that follow the batch `after`."""
        query = select(batches).order_by(batches.c.created.desc(), batches.c.id).limit(limit)
        if state is not None:
            query = query.where(batches.c.state == state)
        if after is not None:
            last = self.get(after)
            same_time = and_(batches.c.created == last.created, batches.c.id > last.id)
            query = query.where(or_(batches.c.created < last.created, same_time))
        with self._database.read() as connection:
            return [_listed(row) for row in connection.execute(query).all()]

    def cancel(self, batch: str) -> Batch:
        """Cancel a batch at once; its worker stops when it next looks. Conflict if it has ended."""
        with self._database.write() as connection:
            change = update(batches).where(batches.c.id == batch, batches.c.state.in_(OPEN_STATES))
            ended = {"state": BatchState.CANCELLED, "finished": now(), "owner": None}
            if not connection.execute(change.values(ended)).rowcount:
                raise Conflict(f"Batch {batch} has ended.")
            remove_later(connection, [artifact_folder(batch)])
        return self.get(batch)

    def remove(self, batch: str) -> None:
        """Remove a batch that has ended with its result; NotFound, or Conflict before its end."""
        with self._database.write() as connection:
            query = select(batches.c.state).where(batches.c.id == batch).with_for_update()
            state = connection.execute(query).scalar_one_or_none()
            if state is None:
                raise NotFound("batch", batch)
            if state in OPEN_STATES:
                raise Conflict(f"Batch {batch} has not ended.")
            connection.execute(delete(batches).where(batches.c.id == batch))
            remove_later(connection, [artifact_folder(batch)])


def batch_of(row: Row[Any]) -> Batch:
    """Return the batch that a row of `batches` describes; raise Unreadable for a damaged one."""
    return _batch(row._asdict(), load_spec(row.spec, f"batch {row.id!r}"))


def _batch(fields: dict[str, Any], spec: BatchSpec) -> Batch:
    known = {name: value for name, value in fields.items() if name not in _HOLD}
    return Batch(**known | {"spec": spec, "state": BatchState(fields["state"])})


def _listed(row: Row[Any]) -> Batch:
    """Return a batch for a list, which one damaged row must not fail: its error is told."""
    try:
        return batch_of(row)
    except Unreadable as error:
        return _batch(row._asdict() | {"error": str(error)}, _UNKNOWN)
