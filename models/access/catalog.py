"""The stored API keys, only the digest of each, and the callers that keys name."""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Row, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from models.access.keys import (
    Caller,
    Scope,
    StaticKey,
    check_name,
    check_scopes,
    digest_of,
    id_of,
    is_same,
    new_key,
)
from models.errors import Invalid, NotFound
from models.store.audit import tell
from models.store.engine import Database
from models.store.tables import api_keys, now

REMEMBERED_SECONDS = 5.0  # until a revoked key is refused by a process that has just seen it


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One row of `api_keys`."""

    id: str
    name: str
    digest: str
    scopes: frozenset[Scope]
    created: datetime
    expires: datetime | None
    revoked: datetime | None

    @property
    def state(self) -> str:
        """`active`, `expired` or `revoked`."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now() else "active"


class KeyCatalog:
    """Creates, lists, finds and revokes keys. A row is never removed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self, name: str, scopes: Iterable[str], expires: datetime | None = None
    ) -> tuple[KeyRecord, str]:
        """Create a key; return its record and the key, which is not stored.

        Raises Invalid at `name`, `scopes` or `expires`.
        """
        if expires is not None and expires <= now():
            raise Invalid.at("expires", "Must lie in the future.")
        key_id, key = new_key()
        row = {
            "id": key_id,
            "name": check_name(name),
            "digest": digest_of(key),
            "scopes": sorted(check_scopes(scopes)),
            "created": now(),
            "expires": expires,
        }
        tell("key", key_id, name=name, scopes=row["scopes"])
        with self._database.write() as connection:
            connection.execute(insert(api_keys).values(row))
        return self.get(key_id), key

    def get(self, key_id: str) -> KeyRecord:
        """Return one key by its id; raise NotFound if there is none."""
        found = self.find(key_id)
        if found is None:
            raise NotFound("key", key_id)
        return found

    def find(self, key_id: str) -> KeyRecord | None:
        """Return one key by its id, whatever its state; None if there is none."""
        with self._database.read() as connection:
            row = connection.execute(select(api_keys).where(api_keys.c.id == key_id)).one_or_none()
        return None if row is None else _record(row)

    def all(self) -> list[KeyRecord]:
        """Return every key that was ever created, oldest first."""
        query = select(api_keys).order_by(api_keys.c.created, api_keys.c.id)
        with self._database.read() as connection:
            return [_record(row) for row in connection.execute(query).all()]

    def is_empty(self) -> bool:
        """Whether no key was ever created."""
        with self._database.read() as connection:
            return connection.execute(select(api_keys.c.id).limit(1)).first() is None

    def revoke(self, key_id: str) -> KeyRecord:
        """Revoke a key; raise NotFound if there is none."""
        tell("key", key_id)
        with self._database.write() as connection:
            connection.execute(
                update(api_keys)
                .where(api_keys.c.id == key_id, api_keys.c.revoked.is_(None))
                .values(revoked=now())
            )
        return self.get(key_id)


def _record(row: Row[tuple[object, ...]]) -> KeyRecord:
    fields = dict(row._mapping)
    return KeyRecord(**fields | {"scopes": frozenset(map(Scope, fields["scopes"]))})


class KeyRing:
    """The keys of the settings and of the database; may be shared between threads."""

    def __init__(
        self,
        catalog: KeyCatalog,
        static: Sequence[StaticKey] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._catalog = catalog
        self._static = static
        self._clock = clock
        # Holds only valid keys, so its size is bounded by their number.
        self._remembered: dict[str, tuple[Caller, float]] = {}
        self._has_keys = bool(static)
        self._looked = float("-inf")

    def has_keys(self) -> bool:
        """Whether callers must send a key: one exists, or existed.

        A service that once had keys stays closed after the last of them is revoked or expires. One
        that had none stays open while the database does not answer; its error is raised only as
        long as it has never answered.
        """
        if not self._has_keys and self._clock() - self._looked >= REMEMBERED_SECONDS:
            is_known = math.isfinite(self._looked)
            if is_known:
                self._looked = self._clock()  # other threads do not wait for this look
            try:
                self._has_keys = not self._catalog.is_empty()
            except SQLAlchemyError:
                if not is_known:
                    raise
            self._looked = self._clock()
        return self._has_keys

    def caller(self, key: str) -> Caller | None:
        """Return the caller of a key; None if the key is unknown, expired or revoked."""
        digest = digest_of(key)
        remembered = self._remembered.get(digest)
        if remembered is not None and self._clock() < remembered[1]:
            return remembered[0]
        self._remembered.pop(digest, None)
        return self._among_static(digest) or self._among_stored(key, digest)

    def _among_static(self, digest: str) -> Caller | None:
        found = [each.caller for each in self._static if is_same(each.digest, digest)]
        return found[0] if found else None

    def _among_stored(self, key: str, digest: str) -> Caller | None:
        key_id = id_of(key)
        record = None if key_id is None else self._catalog.find(key_id)
        if record is None or not is_same(record.digest, digest) or record.state != "active":
            return None
        caller = Caller(record.name, record.scopes, record.id)
        seconds = REMEMBERED_SECONDS
        if record.expires is not None:
            seconds = min(seconds, (record.expires - now()).total_seconds())
        self._remembered[digest] = (caller, self._clock() + seconds)
        return caller
