"""What an error of the database means, for the caller and for the operator."""

import errno
import os
import tempfile
from pathlib import Path
from typing import Any

from models.errors import ArtifactError, LuthierError, StorageFull, Unavailable

_FULL_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT})
_PROBE_BYTES = 64 * 1024
_MIN_FREE = 1024**2  # bytes below which a disk counts as full

# The names of SQLite's error codes begin with these, those of PostgreSQL are SQLSTATEs.
_FULL = ("SQLITE_FULL", "53100")
_READ_ONLY = ("SQLITE_READONLY", "25006")
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "XX001", "XX002")
_LOCKED = ("SQLITE_BUSY", "SQLITE_LOCKED", "55P03")
_FILE = ("SQLITE_IOERR", "SQLITE_CANTOPEN")  # for which the disk tells more

IS_FULL = "The disk of the database is full."
IS_READ_ONLY = "The database is read-only."
IS_LOCKED = "The database is locked: others write to it for long. Try again."
IS_DAMAGED = "The database file is damaged; restore it from a backup."
NO_ANSWER = "The database does not answer."


def explain(error: Exception, path: str | None = None) -> LuthierError:
    """Return the error of ours that a driver's error, wrapped or not, amounts to.

    `path` is the file of an SQLite database.
    """
    if isinstance(error, OSError):
        return explain_os(error, "the database") or Unavailable(NO_ANSWER)
    cause: Any = getattr(error, "orig", None) or error
    code = str(getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None) or "")
    if code.startswith(_FULL):
        return StorageFull(IS_FULL)
    if code.startswith(_READ_ONLY):
        return Unavailable(IS_READ_ONLY)
    if code.startswith(_LOCKED):
        return Unavailable(IS_LOCKED)
    if code.startswith(_DAMAGED):
        return ArtifactError(IS_DAMAGED)
    if code.startswith(_FILE) and path:
        return _explain_disk(Path(path)) or Unavailable(NO_ANSWER)
    return Unavailable(NO_ANSWER)


def is_lock(error: Exception) -> bool:
    """Whether others hold a lock, so that the database works."""
    cause: Any = getattr(error, "orig", None) or error
    code = getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None) or ""
    return str(code).startswith(_LOCKED)


def explain_os(error: OSError, what: str) -> Unavailable | None:
    """Return the error for a disk that is full or read-only, None for others.

    `what` names what lies on it.
    """
    if error.errno in _FULL_ERRORS:
        return StorageFull(f"The disk of {what} is full.")
    if error.errno == errno.EROFS:
        return Unavailable(f"{what[0].upper()}{what[1:]} is read-only.")
    return None


def try_writing(folder: Path) -> None:
    """Write some bytes to the disk of a folder, to a file without a name; raise OSError."""
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        file.write(bytes(_PROBE_BYTES))


def _explain_disk(path: Path) -> LuthierError | None:
    try:
        disk = os.statvfs(path.parent)
    except OSError:
        return None
    if disk.f_flag & os.ST_RDONLY:
        return Unavailable(IS_READ_ONLY)
    is_full = disk.f_bavail * disk.f_frsize < _MIN_FREE
    return StorageFull(IS_FULL) if is_full else None
