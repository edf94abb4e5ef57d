"""Stored files by name, under a folder or in object storage that fsspec supports."""

import errno
import hashlib
import logging
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, ClassVar, Concatenate, ParamSpec, TypeVar

import fsspec

from models.errors import ArtifactError, Unavailable
from models.store.faults import explain_os, try_writing

log = logging.getLogger(__name__)

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_MARKER = ".luthier"  # without it, a root is new or away
_MARK = b"The root of Luthier's artifacts.\n"
_BLOCK = 4 * 1024**2  # bytes that are read ahead of a file in object storage
_TRIES = 10  # of a change that other processes may disturb
_FIRST_PAUSE = 0.5  # seconds between two tries of a patient process; each is twice as long
_LONGEST_PAUSE = 15.0  # seconds
_S3_OPTIONS = {
    # Other processes change the listings.
    "use_listings_cache": False,
    "config_kwargs": {
        "connect_timeout": 5,  # seconds
        "read_timeout": 60,
        "retries": {"mode": "standard", "max_attempts": 2},
    },
}


def _patient(
    method: Callable[Concatenate["Artifacts", Arguments], Result],
) -> Callable[Concatenate["Artifacts", Arguments], Result]:
    """Try a method again until the root answers, or the patience of this process has ended."""

    @wraps(method)
    def wait(self: "Artifacts", /, *args: Arguments.args, **options: Arguments.kwargs) -> Result:
        deadline = time.monotonic() + Artifacts.patience
        pause = _FIRST_PAUSE
        while True:
            try:
                return method(self, *args, **options)
            except Unavailable as error:
                if time.monotonic() + pause > deadline:
                    raise
                log.warning("%s Trying again in %g s.", error, pause)
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    return wait


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file as the store lists it."""

    name: str
    bytes: int
    modified: datetime  # in UTC, by the clock of the store


class Artifacts:
    """Files under one root, each written as a whole: readers never see a part of one.

    In a folder a file is written under a temporary name and renamed; object storage is atomic.
    Names are relative POSIX paths such as `models/penguins/1/model.onnx`. Can be pickled. Every
    method raises Unavailable where the root does not answer. A folder that was moved away or is not
    mounted does not: a file marks the root, and is written with the first other one.
    """

    # Seconds that this process waits for a root that does not answer, before it gives up. A trial
    # waits, since it would lose its training; a server answers its client, and a worker has others.
    patience: ClassVar[float] = 0.0
    # Whether this process may make a new root. One that another process has started must not: it
    # cannot know that the root has gone away.
    makes_roots: ClassVar[bool] = True
    # A folder of this machine with copies of some of the root's files, which never change.
    copies: ClassVar[Path | None] = None
    _marked: ClassVar[set[str]] = set()  # folders whose mark this process has seen

    def __init__(self, root: str) -> None:
        self.root = root
        options = _S3_OPTIONS if root.startswith("s3://") else {}
        try:
            if "://" in root:
                self._filesystem, self._base = fsspec.core.url_to_fs(root, **options)
            else:
                # A path may hold characters that mean something else in a URL.
                self._filesystem = fsspec.filesystem("file")
                self._base = str(Path(root).expanduser().absolute())
        except (ImportError, ValueError) as error:
            raise ArtifactError(f"LUTHIER_ARTIFACTS={root!r}: {error}") from None

    def __reduce__(self) -> tuple[Any, ...]:
        return (Artifacts, (self.root,))

    @property
    def is_folder(self) -> bool:
        """Whether the root is a folder, local or mounted."""
        return "file" in self._filesystem.protocol

    @_patient
    def write(self, name: str, content: bytes) -> str:
        """Store `content` under `name`, replacing any other; return its SHA-256 in hex."""
        target = self._path(name)
        with self._answering():
            if self.is_folder:
                self._mark()
                self._write_to_folder(target, content)
                if self._is_away():  # perhaps since before the file was written
                    raise self._absent()
            else:
                self._filesystem.pipe_file(target, content)
        return hashlib.sha256(content).hexdigest()

    @_patient
    def write_file(self, name: str, source: Path) -> None:
        """Store the content of a local file under `name`, in pieces, replacing any other."""
        target = self._path(name)
        with self._answering():
            if self.is_folder:
                self._mark()
                self._write_to_folder(target, source)
                if self._is_away():
                    raise self._absent()
            else:
                self._filesystem.put_file(str(source), target)

    @_patient
    def read(self, name: str) -> bytes:
        """Return the content of `name`; raise ArtifactError if there is none."""
        path = self._path(name)
        if self.copies is not None and (self.copies / name).is_file():
            return (self.copies / name).read_bytes()
        with self._answering():
            try:
                content: bytes = self._filesystem.cat_file(path)
            except FileNotFoundError:
                if self._is_away():
                    raise self._absent() from None
                raise ArtifactError(f"The stored file {name!r} is missing.") from None
        return content

    def open(self, name: str) -> BinaryIO:
        """Open a file to read it in pieces, from any place; ArtifactError if there is none.

        It is closed by the caller.
        """
        path = self._path(name)
        options = {} if self.is_folder else {"block_size": _BLOCK, "cache_type": "readahead"}
        with self._answering():
            try:
                file: BinaryIO = self._filesystem.open(path, "rb", **options)
            except FileNotFoundError:
                if self._is_away():
                    raise self._absent() from None
                raise ArtifactError(f"The stored file {name!r} is missing.") from None
        return file

    def read_checked(self, name: str, sha256: str) -> bytes:
        """Return the content of `name`; raise ArtifactError unless its SHA-256 is `sha256`."""
        content = self.read(name)
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ArtifactError(
                f"The stored file {name!r} is not the one that was written: its SHA-256 differs."
            )
        return content

    @_patient
    def exists(self, name: str) -> bool:
        """Whether a file or folder is stored under `name`."""
        path = self._path(name)
        with self._answering():
            is_there = bool(self._filesystem.exists(path))
            if not is_there and self._is_away():
                raise self._absent()
        return is_there

    def names(self, folder: str = "") -> list[str]:
        """Return the names of all files below `folder`, or below the root, sorted."""
        return [file.name for file in self.files(folder)]

    def files(self, folder: str = "") -> list[StoredFile]:
        """Return all files below `folder`, or below the root but for its mark, sorted by name."""
        path = self._path(folder) if folder else self._base
        with self._answering():
            found = self._filesystem.find(path, detail=True)
        return [
            StoredFile(name.removeprefix(f"{self._base}/"), int(entry["size"]), _modified(entry))
            for name, entry in sorted(found.items())
            if name != f"{self._base}/{_MARKER}"
        ]

    def size(self, name: str) -> int:
        """Return the bytes of a file, or of all files in a folder; 0 if there is none."""
        path = self._path(name)
        with self._answering():
            return int(self._filesystem.du(path)) if self._filesystem.exists(path) else 0

    def delete(self, name: str) -> None:
        """Remove a file or a whole folder; do nothing if there is none."""
        path = self._path(name)
        with self._answering():
            for _ in range(_TRIES):
                try:
                    self._filesystem.rm(path, recursive=True)
                    return
                except FileNotFoundError:
                    if not self._filesystem.exists(path):
                        return
                except OSError as error:
                    if error.errno != errno.ENOTEMPTY:
                        raise
            # Files that are there now were written after this call began.

    def try_delete(self, name: str) -> None:
        """Remove a file or folder if the store answers; for names that `removals` lists, too."""
        with suppress(Unavailable):
            self.delete(name)

    def check(self, writes: bool = True) -> None:
        """Raise ArtifactError or Unavailable unless files can be read and, if asked, written."""
        if self.is_folder:
            with self._answering():
                self._mark()
                if writes:
                    try_writing(Path(self._base))
            return
        try:
            self.read(_MARKER)
            is_marked = True
        except ArtifactError:
            is_marked = False
        if writes or not is_marked:
            self.write(_MARKER, _MARK)

    def mark(self) -> tuple[str, int] | None:
        """Return the path of the file that marks the root, and its time in nanoseconds.

        None for object storage, which is the same for every machine. Raises Unavailable.
        """
        if not self.is_folder:
            return None
        with self._answering():
            self._mark()
            path = Path(self._base) / _MARKER
            return str(path), path.stat().st_mtime_ns

    def _is_marked(self) -> bool:
        """Return whether the folder of the root is there, with its mark."""
        if (Path(self._base) / _MARKER).exists():
            self._marked.add(self._base)
            return True
        return False

    def _mark(self) -> None:
        """Make and mark the folder of a new root; raise Unavailable for one that has gone away."""
        if self._is_away():
            raise self._absent()
        if self._base not in self._marked and not self._is_marked():
            Path(self._base).mkdir(parents=True, exist_ok=True)
            self._write_to_folder(f"{self._base}/{_MARKER}", _MARK)
            self._marked.add(self._base)

    def _is_away(self) -> bool:
        """Return whether the root is a folder that was marked, and that lacks its mark now."""
        is_known = not self.makes_roots or self._base in self._marked
        return self.is_folder and is_known and not self._is_marked()

    def _absent(self) -> Unavailable:
        return Unavailable(
            f"The artifact root {self.root} is not there: its file {_MARKER} is missing."
        )

    def _write_to_folder(self, target: str, content: bytes | Path) -> None:
        temporary = Path(f"{target}.{secrets.token_hex(4)}.tmp")
        for attempt in range(1, _TRIES + 1):
            try:
                # Not the root: it may have gone away just now.
                for folder in reversed(temporary.relative_to(self._base).parents[:-1]):
                    (Path(self._base) / folder).mkdir(exist_ok=True)
                if isinstance(content, Path):
                    shutil.copyfile(content, temporary)
                else:
                    temporary.write_bytes(content)
                temporary.replace(target)
                return
            except (FileNotFoundError, FileExistsError):
                # Another process deleted the folder: after it was made, or while `mkdir`, having
                # found that it exists, checked that it is a folder.
                if attempt == _TRIES:
                    raise
            finally:
                temporary.unlink(missing_ok=True)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Turn the errors of any kind of store into Unavailable, naming the root."""
        try:
            yield
        except (ArtifactError, MemoryError, Unavailable):
            raise
        except FileNotFoundError as error:
            raise Unavailable(f"The artifact root {self.root} does not exist: {error}") from error
        except OSError as error:
            if found := explain_os(error, f"the artifact root {self.root}"):
                raise found from error
            if not isinstance(error, PermissionError):
                raise self._unusable(error) from error
            raise Unavailable(
                f"The artifact root {self.root} refuses these credentials: {error}"
            ) from error
        except Exception as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> Unavailable:
        return Unavailable(
            f"The artifact root {self.root} cannot be used: {type(error).__name__}: {error}"
        )

    def _path(self, name: str) -> str:
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts:
            raise ArtifactError(f"{name!r} is not a name inside the artifact root.")
        return f"{self._base}/{'/'.join(parts)}"


def _modified(entry: dict[str, Any]) -> datetime:
    """Return when a listed file was written: folders say seconds, object storage a datetime."""
    found = entry.get("LastModified", entry.get("mtime"))
    if isinstance(found, datetime):
        return found.astimezone(UTC)
    return datetime.fromtimestamp(float(found or 0), UTC)
