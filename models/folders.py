"""Temporary folders that belong to one process, and are removed with it or by its successor."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def owned_folder(kind: str) -> Iterator[Path]:
    """Give this process a private folder among the temporary files, and remove it at the end.

    Also removes the folders of this `kind` whose processes were killed: nobody holds their lock.
    Processes that are forked in the block hold it, too, and leave the removal to this one.
    """
    root, prefix = Path(tempfile.gettempdir()), f"luthier-{kind}-"
    for folder in root.glob(f"{prefix}*"):
        remove_if_unlocked(folder)
    new = Path(tempfile.mkdtemp(prefix=".luthier-"))
    lock = os.open(new, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    # Other processes that start find the folder only now that it is locked.
    folder = new.rename(root / f"{prefix}{new.name.removeprefix('.luthier-')}")
    owner = os.getpid()
    try:
        yield folder
    finally:
        if os.getpid() == owner:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def remove_if_unlocked(folder: Path) -> None:
    """Remove an owned folder whose process has ended."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
    except OSError:
        return  # it belongs to another user, or was just removed
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        pass  # its processes are alive
    finally:
        os.close(lock)
