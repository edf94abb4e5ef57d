"""Where the processes of one `luthier api` keep the counts that all of them report."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = "luthier-metrics-"


@contextmanager
def metrics_folder() -> Iterator[None]:
    """A fresh private folder in PROMETHEUS_MULTIPROC_DIR, removed at the end of the block.

    prometheus_client reads the variable once, at its import, which must not come before. Folders
    that killed processes have left are removed: nobody holds their lock any more.
    """
    root = Path(tempfile.gettempdir())
    for folder in root.glob(f"{_PREFIX}*"):
        _remove_if_left(folder)
    new = Path(tempfile.mkdtemp(prefix=".luthier-"))
    lock = os.open(new, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    # Only now may another start find it.
    folder = new.rename(root / f"{_PREFIX}{new.name.removeprefix('.luthier-')}")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    owner = os.getpid()
    try:
        yield
    finally:
        if os.getpid() == owner:  # and not a process forked in the block, which leaves it too
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _remove_if_left(folder: Path) -> None:
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
    except OSError:
        return  # another user's, or just removed
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        pass  # its processes are alive
    finally:
        os.close(lock)
