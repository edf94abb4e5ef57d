"""The files of versions: where they lie, and reading them as they were registered."""

from collections.abc import Callable, Mapping
from typing import Any

from models.errors import NotFound
from models.registry.catalog import artifact_folder
from models.store.artifacts import Artifacts
from models.store.file_cache import FileCache

Entries = Mapping[str, Mapping[str, Any]]  # by file name: "sha256", "bytes" and "path"


def entry_path(name: str, sha256: str) -> str:
    """Return where a file of this content lies in the folder of its version.

    Other content lies elsewhere, so that a worker that was replaced while it was exporting cannot
    write over what its successor registered.
    """
    return f"{sha256[:16]}/{name}"


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
            raise NotFound(f"file of version {version} of model {model!r}", name)
        return entries[name]

    def read(self, model: str, version: int, name: str) -> bytes:
        """Return the content of a file, as it was registered.

        Raises NotFound if the version has no such file, ArtifactError if what is stored is missing
        or has changed, and Unavailable if the store does not answer.
        """
        entry = self.entry(model, version, name)
        sha256 = entry["sha256"]
        if self._cache is not None and (kept := self._cache.get(sha256)) is not None:
            return kept
        path = entry.get("path", name)  # the oldest versions lie under their plain names
        content = self._artifacts.read_checked(f"{artifact_folder(model, version)}/{path}", sha256)
        if self._cache is not None:
            self._cache.put(sha256, content)
        return content
