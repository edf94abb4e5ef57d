"""The files of versions: where they lie, reading them as registered, and a cache of them."""

import hashlib
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from models.errors import ArtifactError, NotFound
from models.registry.catalog.catalog import artifact_folder
from models.store.artifacts import Artifacts
from models.store.pieces import CheckedPieces


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


Entries = Mapping[str, Mapping[str, Any]]  # by file name: "sha256", "bytes" and "path"


def entry_path(name: str, sha256: str) -> str:
    """Return where a file of this content lies in the folder of its version.

    Other content lies elsewhere, so that a worker that was replaced while it was exporting cannot
    write over what its successor registered.
    """
    return f"{sha256[:16]}/{name}"


def entry_of(name: str, content: bytes) -> dict[str, Any]:
    """Return what is registered of a new file."""
    sha256 = hashlib.sha256(content).hexdigest()
    return {"sha256": sha256, "bytes": len(content), "path": entry_path(name, sha256)}


class VersionFiles:
    """Reads the files of versions and compares each with the SHA-256 that was registered.

    `entries_of` returns what is registered of a model's version, or raises NotFound or Unreadable.
    A `cache` keeps what was read from a distant store.
    """

    def __init__(
        self,
        artifacts: Artifacts,
        entries_of: Callable[[str, int], Entries],
        cache: FileCache | None = None,
    ) -> None:
        self._artifacts = artifacts
        self._entries_of = entries_of
        self._cache = cache

    def entry(self, model: str, version: int, name: str) -> Mapping[str, Any]:
        """Return what is registered of a file; raises NotFound if the version has no such file."""
        entries = self._entries_of(model, version)
        if name not in entries:
            raise NotFound("file", name, f"version {version} of model {model!r}")
        return entries[name]

    def read(self, model: str, version: int, name: str) -> bytes:
        """Return the content of a file, as it was registered.

        Raises NotFound if the version has no such file, ArtifactError, which names the file and the
        version, if what is stored is missing or has changed, and Unavailable if the store does not
        answer.
        """
        entry = self.entry(model, version, name)
        sha256 = entry["sha256"]
        if self._cache is not None and (kept := self._cache.get(sha256)) is not None:
            return kept
        with self._explained(model, version, name):
            content = self._artifacts.read_checked(_path(model, version, name, entry), sha256)
        if self._cache is not None:
            self._cache.put(sha256, content)
        return content

    def pieces(
        self, model: str, version: int, name: str, entry: Mapping[str, Any]
    ) -> CheckedPieces:
        """Return the content of a file in pieces; it is opened by `open`, which raises as `read`.

        `entry` is what is registered of it.
        """

        def open_file() -> BinaryIO:
            with self._explained(model, version, name):
                return self._artifacts.open(_path(model, version, name, entry))

        what = f"{name} of version {version} of model {model!r}"
        return CheckedPieces(open_file, entry["sha256"], entry["bytes"], what)

    @contextmanager
    def _explained(self, model: str, version: int, name: str) -> Iterator[None]:
        """Name the file and its version in an ArtifactError."""
        try:
            yield
        except ArtifactError as error:
            self.entry(model, version, name)  # raises NotFound if it was deleted meanwhile
            raise ArtifactError(
                f"{name} of version {version} of model {model!r} cannot be used: {error}"
            ) from None


def _path(model: str, version: int, name: str, entry: Mapping[str, Any]) -> str:
    path = entry.get("path", name)  # the oldest versions lie under their plain names
    return f"{artifact_folder(model, version)}/{path}"
