"""The stored API keys; of each key only the digest is stored."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Row, insert, select, update

from models.access.keys import Scope, check_name, check_scopes, digest_of, new_key
from models.errors import Invalid, NotFound
from models.store.engine import Database
from models.store.tables import api_keys, now


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
