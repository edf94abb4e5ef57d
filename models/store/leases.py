"""Leases on the rows of a table: who holds a row, and whose lease has lapsed.

Workers never compare clocks. One takes a row over once it has itself seen, for as long as a lease
lasts, that nobody renewed the lease. A clock that jumps, a suspended machine, or a database that
does not answer for a while therefore costs no worker its rows.
"""

import time
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar, NamedTuple

from sqlalchemy import ColumnElement, Connection, Table, and_, func, select, update

from models.store.engine import Database, moment

RENEWALS = 3  # in the time that a lease lasts


class Lease(NamedTuple):
    """The hold of a worker on a row."""

    owner: str
    claim: int
    until: datetime | None


class LeaseWatch:
    """Finds the leases that have not been renewed for `seconds` of this process's own time.

    Time in which this process did not look is no evidence, as it may not have run, or the database
    may have been away from all workers: of such a gap only a fraction counts.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._looked: float | None = None
        self._unchanged: dict[str, tuple[Lease, float]] = {}  # by row, with seconds

    def lapsed(self, leases: Mapping[str, Lease]) -> dict[str, Lease]:
        """Look at the present leases of other workers, by row; return those that have lapsed."""
        now = self._clock()
        passed = 0.0 if self._looked is None else now - self._looked
        passed, self._looked = min(passed, self._seconds / RENEWALS), now
        before = self._unchanged
        self._unchanged = {
            name: (
                lease,
                before[name][1] + passed if name in before and before[name][0] == lease else 0,
            )
            for name, lease in leases.items()
        }
        return {
            name: lease
            for name, (lease, seconds) in self._unchanged.items()
            if lease.until is None or seconds >= self._seconds
        }


class LeasedQueue:
    """One worker's view of a table with `id`, `state`, `owner`, `claims` and `lease_until`.

    `owner` names the worker; its leases last `lease_seconds` seconds. `clock` counts seconds and
    never goes back.
    """

    table: ClassVar[Table]

    def __init__(
        self,
        database: Database,
        owner: str,
        lease_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._seconds = lease_seconds
        self._watch = LeaseWatch(lease_seconds, clock)
        self.owner = owner

    def renew(self) -> None:
        """Extend the lease of every row that this worker holds."""
        mine = update(self.table).where(self.table.c.owner == self.owner)
        with self._database.write() as connection:
            connection.execute(mine.values(lease_until=self._until(moment(connection))))

    def _lapsed(self, connection: Connection, states: Collection[str]) -> list[ColumnElement[bool]]:
        """Return a condition for each row in these states whose worker's lease has lapsed.

        It is true as long as the row is still held under the lease that was seen.
        """
        known = self.table.c
        query = select(known.id, known.owner, known.claims, known.lease_until).where(
            known.state.in_(states), known.owner != self.owner
        )
        leases = {
            row.id: Lease(row.owner, row.claims, row.lease_until)
            for row in connection.execute(query).all()
        }
        return [
            and_(
                known.id == name,
                known.owner == lease.owner,
                known.claims == lease.claim,
                known.lease_until.is_not_distinct_from(lease.until),
            )
            for name, lease in self._watch.lapsed(leases).items()
        ]

    def _oldest_first(self) -> list[ColumnElement[Any]]:
        """Return what claims are ordered by.

        It is an expression, so that no database reads the index of `created` from its beginning,
        through all rows that have ended.
        """
        known = self.table.c
        return [func.coalesce(known.created, known.created), known.id]

    def _until(self, present: datetime) -> datetime:
        """Return when a lease ends that is taken or renewed now."""
        return present + timedelta(seconds=self._seconds)
