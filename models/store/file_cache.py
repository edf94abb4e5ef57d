"""A cache on this machine of files in object storage."""

import hashlib
import os
import secrets
from contextlib import suppress
from pathlib import Path


class FileCache:
    """Files by their SHA-256 in one folder, which processes may share.

    The folder holds `limit` bytes at most; the least recently used files are removed first. Where
    it cannot be written nothing is kept, and a damaged copy is removed.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit

    def get(self, sha256: str) -> bytes | None:
        """Return the content with this digest, or None without an intact copy."""
        path = self._folder / sha256
        try:
            content = path.read_bytes()
        except OSError:
            return None
        if hashlib.sha256(content).hexdigest() != sha256:
            path.unlink(missing_ok=True)
            return None
        with suppress(OSError):
            os.utime(path)
        return content

    def put(self, sha256: str, content: bytes) -> None:
        """Keep a copy, unless it is larger than the whole cache."""
        if len(content) > self._limit:
            return
        temporary = self._folder / f"{sha256}.{secrets.token_hex(4)}.tmp"
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                temporary.write_bytes(content)
                temporary.replace(self._folder / sha256)
            finally:
                temporary.unlink(missing_ok=True)
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        found = []
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):  # another process was quicker
                found.append((path.stat(), path))
        found.sort(key=lambda item: item[0].st_mtime, reverse=True)
        total = 0
        for status, path in found:
            total += status.st_size
            if total > self._limit:
                path.unlink(missing_ok=True)
