"""The queue that workers take batches from: an atomic claim, a lease, and progress under a claim.

Claims and leases are those of jobs (`models.store.leases`).
"""

from typing import Any

from sqlalchemy import Connection, Row, and_, or_, select, update

from models.batches.catalog import batch_of
from models.batches.model import OPEN_STATES, Batch, BatchState
from models.errors import LeaseLost, Unreadable
from models.store.changes import Channel, notify
from models.store.engine import Database, moment
from models.store.leases import LeasedQueue
from models.store.removals import remove_later
from models.store.tables import batches

MAX_ATTEMPTS = 3  # times that a batch may end its process without any progress

_FREE = and_(batches.c.owner.is_(None), batches.c.state.in_(OPEN_STATES))


class BatchQueue(LeasedQueue):
    """One worker's view of the queue of batches."""

    table = batches

    def claim(self) -> "HeldBatch | None":
        """Take the oldest batch that is queued, or whose worker's lease has lapsed.

        One that cannot be read, or has ended its process MAX_ATTEMPTS times in a row, is failed.
        """
        with self._database.read() as connection:
            lapsed = self._lapsed(connection, OPEN_STATES)
            free = connection.execute(select(batches.c.id).where(_FREE).limit(1)).first()
        if free is None and not lapsed:
            return None
        query = (
            select(batches)
            .where(or_(_FREE, *lapsed))
            .order_by(*self._oldest_first())
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        with self._database.write() as connection:
            while (row := connection.execute(query).one_or_none()) is not None:
                held = self._take(connection, row)
                if held is not None:
                    return held
        return None

    def _take(self, connection: Connection, row: Row[Any]) -> "HeldBatch | None":
        present = moment(connection)
        # A worker that ends in order lets its batch go.
        attempts = row.attempts + (row.owner is not None)
        values = {
            "owner": self.owner,
            "lease_until": self._until(present),
            "claims": row.claims + 1,
            "attempts": attempts,
            "started": row.started or present,
            "state": BatchState.RUNNING,
        }
        mine = batches.c.id == row.id
        connection.execute(update(batches).where(mine).values(values))
        held = HeldBatch(self._database, row.id, self.owner, row.claims + 1)
        taken = connection.execute(select(batches).where(mine)).one()
        trouble = None
        try:
            held.batch = batch_of(taken)
        except Unreadable as error:
            trouble = str(error)
        if attempts >= MAX_ATTEMPTS:
            trouble = f"It ended its process {MAX_ATTEMPTS} times."
        if trouble is None:
            return held
        held.end(connection, BatchState.FAILED, error=trouble)
        return None


class HeldBatch:
    """A claimed batch; every write checks that the claim still holds, or raises LeaseLost."""

    batch: Batch  # as it was when it was claimed or last read

    def __init__(self, database: Database, batch: str, owner: str, claim: int) -> None:
        self._database = database
        self.id = batch
        self.owner = owner
        self.claim = claim

    def read(self) -> Batch:
        """Return the batch as it is now; raise LeaseLost if it is another's, or has ended."""
        with self._database.read() as connection:
            row = connection.execute(select(batches).where(self._mine())).one_or_none()
        if row is None:
            raise self._lost()
        self.batch = batch_of(row)
        return self.batch

    def is_mine(self) -> bool:
        """Return whether the claim still holds."""
        with self._database.read() as connection:
            query = select(batches.c.id).where(self._mine())
            return connection.execute(query).one_or_none() is not None

    def store_part(self, number: int, rows: int, failed: int) -> None:
        """Count a stored part, the `number`-th from 0, of so many rows, some without an answer."""
        with self._database.write() as connection:
            self._change(
                connection,
                parts=number + 1,
                rows_done=batches.c.rows_done + rows,
                rows_failed=batches.c.rows_failed + failed,
                attempts=0,
            )

    def succeed(self, sha256: str, size: int) -> None:
        """End the batch with its result; other files of it are removed."""
        with self._database.write() as connection:
            self.end(connection, BatchState.SUCCEEDED, sha256=sha256, bytes=size)

    def fail(self, error: str) -> None:
        """End the batch with an error; its files are removed."""
        with self._database.write() as connection:
            self.end(connection, BatchState.FAILED, error=error)

    def release(self, *, failed: bool = False) -> None:
        """Let the batch go, so that any worker continues it; `failed`: its process died."""
        with self._database.write() as connection:
            attempts = batches.c.attempts + (1 if failed else 0)
            self._change(connection, owner=None, state=BatchState.QUEUED, attempts=attempts)
            notify(connection, Channel.BATCHES)

    def end(self, connection: Connection, state: BatchState, **values: Any) -> None:
        """End the batch within a transaction."""
        self._change(connection, state=state, finished=moment(connection), owner=None, **values)
        remove_later(connection, [f"batches/{self.id}"])

    def _change(self, connection: Connection, **values: Any) -> None:
        if not connection.execute(update(batches).where(self._mine()).values(values)).rowcount:
            raise self._lost()

    def _mine(self) -> Any:
        return and_(
            batches.c.id == self.id,
            batches.c.owner == self.owner,
            batches.c.claims == self.claim,
            batches.c.state == BatchState.RUNNING,
        )

    def _lost(self) -> LeaseLost:
        return LeaseLost(f"Batch {self.id} is not held by {self.owner} any more.")
