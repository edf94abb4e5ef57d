"""Leases on the rows of a table: who holds a row, and whose lease has lapsed.

Workers never compare clocks. One takes a row over once it has itself seen, for as long as a lease
lasts, that nobody renewed the lease. A clock that jumps, a suspended machine, or a database that
does not answer for a while therefore costs no worker its rows.
"""

import time
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, Table, and_, select, update

from models.store.engine import moment

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


class LeasedTable:
    """One worker's view of a table with `id`, `state`, `owner`, `claims` and `lease_until`.

    `owner` names the worker; its leases last `seconds` seconds.
    """

    def __init__(self, table: Table, owner: str, seconds: float) -> None:
        self._table = table
        self.owner = owner
        self.seconds = seconds

    def of_others(self, connection: Connection, states: Collection[str]) -> dict[str, Lease]:
        """Return the leases of other workers on rows in these states, by id."""
        known = self._table.c
        query = select(known.id, known.owner, known.claims, known.lease_until).where(
            known.state.in_(states), known.owner != self.owner
        )
        return {
            row.id: Lease(row.owner, row.claims, row.lease_until)
            for row in connection.execute(query).all()
        }

    def held_by(self, name: str, lease: Lease) -> ColumnElement[bool]:
        """Return the condition that a row is still held under the lease that was seen."""
        known = self._table.c
        return and_(
            known.id == name,
            known.owner == lease.owner,
            known.claims == lease.claim,
            known.lease_until.is_not_distinct_from(lease.until),
        )

    def renew(self, connection: Connection) -> None:
        """Extend the lease of every row that this worker holds."""
        mine = update(self._table).where(self._table.c.owner == self.owner)
        connection.execute(mine.values(lease_until=self.until(moment(connection))))

    def until(self, present: datetime) -> datetime:
        """Return when a lease ends that is taken or renewed now."""
        return present + timedelta(seconds=self.seconds)
