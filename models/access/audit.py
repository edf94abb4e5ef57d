"""The audit table as its readers see it: who changed what, newest first."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import or_, select

from models.store.engine import Database
from models.store.tables import audit


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One row of `audit`: a command that changed something."""

    entry: int  # from 1; later entries have higher numbers
    time: datetime
    key_id: str | None
    key_name: str
    operation: str
    kind: str
    id: str | None  # of the thing that was changed
    details: dict[str, Any]
    request_id: str | None


class AuditLog:
    """Reads the entries, which `models.store.audit` writes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(
        self,
        limit: int,
        after: int | None = None,
        *,
        key: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        **equal: str | None,
    ) -> list[AuditEntry]:
        """Return up to `limit` entries, newest first, that are older than the entry `after`.

        `key` is a key's id or name; `since` is included, `until` is not. `equal` are values of
        `operation`, `kind` and `id`; None allows any.
        """
        query = select(audit).order_by(audit.c.entry.desc()).limit(limit)
        if after is not None:
            query = query.where(audit.c.entry < after)
        if key is not None:
            query = query.where(or_(audit.c.key_id == key, audit.c.key_name == key))
        if since is not None:
            query = query.where(audit.c.time >= since)
        if until is not None:
            query = query.where(audit.c.time < until)
        for name, value in equal.items():
            if value is not None:
                query = query.where(audit.c[name] == value)
        with self._database.read() as connection:
            return [AuditEntry(**row._mapping) for row in connection.execute(query).all()]
