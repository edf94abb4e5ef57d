"""The caller of a key, remembered so that not every request queries the database."""

import time
from collections.abc import Callable, Sequence

from models.access.catalog import KeyCatalog
from models.access.keys import Caller, StaticKey, digest_of, id_of, is_same
from models.store.tables import now

REMEMBERED_SECONDS = 5.0  # until a revoked key is refused by a process that has just seen it


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

        A service that once had keys stays closed after the last of them is revoked or expires.
        """
        if not self._has_keys and self._clock() - self._looked >= REMEMBERED_SECONDS:
            self._has_keys = not self._catalog.is_empty()
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
        caller = Caller(record.name, record.scopes)
        seconds = REMEMBERED_SECONDS
        if record.expires is not None:
            seconds = min(seconds, (record.expires - now()).total_seconds())
        self._remembered[digest] = (caller, self._clock() + seconds)
        return caller
