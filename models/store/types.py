"""Types of columns that are the same in either database."""

import math
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, Float, String, TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """Aware datetimes, in UTC on either database."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Raise ValueError for a naive time, which would be stored as if it were UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone cannot be stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Return the time in UTC; SQLite does not keep the zone."""
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


class FiniteFloat(TypeDecorator[float]):
    """Floats of which NaN and infinities are stored as null, on either database."""

    impl = Float
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> float | None:
        """Return None for a value that is not finite."""
        return value if value is not None and math.isfinite(value) else None


def sorted_text(length: int) -> String:
    """Return the type of text that is sorted by code point, whatever the server's locale."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")
