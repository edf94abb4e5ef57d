"""Idempotency keys: a request that is sent again changes nothing again.

The thing that a request changed is stored under its key in the transaction of the change, so the
database decides between equal requests at the same time, and a process may be killed at any moment.
See draft-ietf-httpapi-idempotency-key-header.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from models.errors import InProgress, Invalid
from models.store.audit import Command
from models.store.engine import Database, moment
from models.store.tables import idempotency_keys as keys
from models.store.tables import jobs

HEADER = "Idempotency-Key"
MAX_LENGTH = 255  # characters of a key
BUSY_SECONDS = 30.0  # in which an equal request is sent away while the first has changed nothing
RETRY_AFTER = 1  # seconds until the first may have its answer

_BUSY_FOR = timedelta(seconds=BUSY_SECONDS)
_BUSY = "A request with this key is under way; send it again."


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a request."""

    status: int
    body: str
    location: str | None


@dataclass(frozen=True, slots=True)
class Finished:
    """A request that was carried out before."""

    id: str  # of the thing that it changed
    details: dict[str, Any]  # as in the audit table
    answer: Answer | None  # None if its process ended before the answer


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to carry out the request of a key. An equal one may have it too after a while.

    Of several that change something, only the first one is committed.
    """

    database: Database
    row: ColumnElement[bool]  # the condition for the row of the key
    token: str  # of this request alone

    def complete(self, connection: Connection, command: Command) -> None:
        """Store what `command` has changed, in the transaction of the change.

        Raises InProgress if an equal request has changed something first.
        """
        mine_or_free = or_(keys.c.id.is_(None), keys.c.token == self.token)
        stored = connection.execute(
            update(keys)
            .where(self.row, keys.c.status.is_(None), mine_or_free)
            .values(id=command.id, details=command.details, token=self.token)
        )
        if stored.rowcount == 0:
            raise InProgress(_BUSY, RETRY_AFTER)

    def answer(self, answer: Answer) -> None:
        """Store the answer of a request that was carried out."""
        with self.database.write() as connection:
            connection.execute(
                update(keys)
                .where(self.row, keys.c.token == self.token)
                .values(status=answer.status, body=answer.body, location=answer.location)
            )

    def release(self) -> None:
        """Let the key be used again, after a request that changed nothing."""
        with self.database.write() as connection:
            unused = and_(keys.c.token == self.token, keys.c.id.is_(None))
            connection.execute(delete(keys).where(self.row, unused))


class IdempotencyKeys:
    """The keys of the last `hours` hours."""

    def __init__(self, database: Database, hours: float) -> None:
        self._database = database
        self._kept = timedelta(hours=hours)

    def claim(self, caller: str, key: str, digest: str, body_digest: str) -> Claim | Finished:
        """Return the right to carry out a request, or what it did before.

        `digest` is that of the whole request; `body_digest` finds jobs that versions before 0.3
        made. Raises Invalid if the key came with another request, InProgress while an equal one is
        under way.
        """
        row = and_(keys.c.caller == caller, keys.c.key == key)
        claim = Claim(self._database, row, secrets.token_hex(16))
        try:
            with self._database.write() as connection:
                present = moment(connection)
                connection.execute(delete(keys).where(keys.c.created < present - self._kept))
                found = connection.execute(select(keys).where(row).with_for_update()).one_or_none()
                if found is not None:
                    return self._known(connection, claim, found, digest, present)
                earlier = self._earlier_job(connection, key, body_digest, present)
                if earlier is not None:
                    return Finished(earlier, {}, None)
                taken = {"caller": caller, "key": key, "digest": digest, "created": present}
                connection.execute(insert(keys).values(taken | _busy(claim, present)))
        except IntegrityError:
            raise InProgress(_BUSY, RETRY_AFTER) from None
        return claim

    def _known(
        self,
        connection: Connection,
        claim: Claim,
        found: Row[Any],
        digest: str,
        present: datetime,
    ) -> Claim | Finished:
        if found.digest != digest:
            raise Invalid.at(HEADER, "This key was used with another request.")
        if found.status is not None or found.id is not None:
            known = found.status is not None
            answer = Answer(found.status, found.body, found.location) if known else None
            return Finished(found.id or "", found.details or {}, answer)
        # Later than it could be said now, it was said by a clock that has been set back since.
        if present < found.busy_until <= present + _BUSY_FOR:
            raise InProgress(_BUSY, RETRY_AFTER)
        connection.execute(update(keys).where(claim.row).values(_busy(claim, present)))
        return claim

    def _earlier_job(
        self, connection: Connection, key: str, body_digest: str, present: datetime
    ) -> str | None:
        query = select(jobs.c.id).where(
            jobs.c.idempotency_key == key,
            jobs.c.request_digest == body_digest,
            jobs.c.created >= present - self._kept,
        )
        return connection.execute(query).scalar_one_or_none()


def _busy(claim: Claim, present: datetime) -> dict[str, Any]:
    return {"token": claim.token, "busy_until": present + _BUSY_FOR}
