"""Files by name under one root: a folder, or anything that fsspec reaches."""

import hashlib
import os
import secrets
from pathlib import PurePosixPath
from typing import Any

import fsspec

from models.errors import ArtifactError


class Artifacts:
    """Whole files, written to a temporary name and moved, so that none is ever seen half-written.

    Names are relative POSIX paths such as `models/penguins/1/model.onnx`. It can be pickled.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self._filesystem, self._base = fsspec.core.url_to_fs(root)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Artifacts, (self.root,))

    def write(self, name: str, content: bytes) -> str:
        """Store `content` under `name`, replacing what was there; answer its SHA-256 in hex."""
        target = self._path(name)
        self._filesystem.makedirs(os.path.dirname(target), exist_ok=True)
        temporary = f"{target}.{secrets.token_hex(4)}.tmp"
        try:
            self._filesystem.pipe_file(temporary, content)
            self._filesystem.mv(temporary, target)
        except BaseException:
            if self._filesystem.exists(temporary):
                self._filesystem.rm_file(temporary)
            raise
        return hashlib.sha256(content).hexdigest()

    def read(self, name: str) -> bytes:
        """The content stored under `name`; ArtifactError if there is none."""
        try:
            content: bytes = self._filesystem.cat_file(self._path(name))
        except FileNotFoundError:
            raise ArtifactError(f"The stored file {name!r} is missing.") from None
        return content

    def exists(self, name: str) -> bool:
        """Whether something is stored under `name`."""
        return bool(self._filesystem.exists(self._path(name)))

    def size(self, name: str) -> int:
        """Bytes of the file, or of all files in the folder, `name`; 0 if there is none."""
        path = self._path(name)
        return int(self._filesystem.du(path)) if self._filesystem.exists(path) else 0

    def delete(self, name: str) -> None:
        """Remove the file or the whole folder `name`; nothing happens if there is none."""
        path = self._path(name)
        if self._filesystem.exists(path):
            self._filesystem.rm(path, recursive=True)

    def _path(self, name: str) -> str:
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts:
            raise ArtifactError(f"{name!r} is not a name inside the artifact root.")
        return f"{self._base}/{'/'.join(parts)}"
