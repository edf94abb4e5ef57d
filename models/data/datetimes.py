"""Datetimes as float seconds since 1970-01-01 UTC."""

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

FIRST = -62135596800.0  # 0001-01-01T00:00:00Z
END = 253402300800.0  # just after 9999-12-31T23:59:59Z
LAST = math.nextafter(END, 0.0)
PARTS = ("year", "month", "day", "weekday", "hour")
ISO = (
    r"\d{4}-\d{2}-\d{2}"
    r"([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}(:?\d{2})?)?)?"
)
"""The dates and datetimes that are read; without an offset they are UTC."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ISO = re.compile(ISO)


def parse_iso(text: str) -> float:
    """Return the seconds of an ISO 8601 date or datetime; raise ValueError for another text."""
    if not _ISO.fullmatch(text):
        raise ValueError(f"{text!r} is not an ISO 8601 date or datetime.")
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) / timedelta(seconds=1)


def format_rfc3339(seconds: float) -> str:
    """Return text such as `2024-05-01T12:00:00Z`, with a fraction only if there is one."""
    moment = _EPOCH + timedelta(seconds=seconds)
    return moment.isoformat().replace("+00:00", "Z")


def expand(seconds: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Split seconds, (rows,), into the `PARTS` of each datetime, (rows, 5) float64.

    NaN stays NaN. Weekday 0 is Monday; the hour has a fraction.
    """
    absent = np.isnan(seconds)
    whole = np.where(absent, 0.0, seconds)
    days = np.floor(whole / 86400).astype(np.int64)
    dates = days.astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    parts = np.empty((len(seconds), len(PARTS)))
    parts[:, 0] = dates.astype("datetime64[Y]").astype(np.int64) + 1970
    parts[:, 1] = months.astype(np.int64) % 12 + 1
    parts[:, 2] = (dates - months.astype("datetime64[D]")).astype(np.int64) + 1
    parts[:, 3] = (days + 3) % 7
    parts[:, 4] = (whole - days * 86400.0) / 3600
    parts[absent] = np.nan
    return parts
