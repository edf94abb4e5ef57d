"""A small disk that can be filled up and made read-only: a tmpfs, where mounting is allowed."""

import errno
import subprocess
from pathlib import Path

_MEGABYTES = 256
_BLOCK = 1 << 20  # bytes


class Disk:
    """Two folders of one small file system once `mount` succeeded; plain folders otherwise.

    `data` can be filled up together with `artifacts`. Only `artifacts`, a mount of its own, can be
    made read-only: a database keeps its file open for writing, which forbids it for `data`.
    """

    def __init__(self, root: Path) -> None:
        self.data = root / "disk"
        self.artifacts = root / "artifacts"
        self.is_mounted = False

    def mount(self) -> None:
        """Make the folders and mount a tmpfs there, if this account may."""
        self.data.mkdir(parents=True)
        self.artifacts.mkdir()
        size = f"size={_MEGABYTES}m"
        if not _run("mount", "-t", "tmpfs", "-o", size, "luthier-chaos", str(self.data)):
            return
        inner = self.data / "artifacts"
        inner.mkdir()
        self.is_mounted = _run("mount", "--bind", str(inner), str(self.artifacts))
        if not self.is_mounted:
            _run("umount", "--lazy", str(self.data))

    def unmount(self) -> None:
        """Take the file system away, with all that lies on it."""
        if self.is_mounted:
            _run("umount", "--lazy", str(self.artifacts))
            _run("umount", "--lazy", str(self.data))
            self.is_mounted = False

    def fill(self) -> None:
        """Write a file, outside of what the service uses, until nothing more fits."""
        with self._ballast.open("wb", buffering=0) as file:
            size = _BLOCK
            while size:
                try:
                    file.write(b"\0" * size)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    size //= 2

    def empty(self) -> None:
        """Remove what `fill` wrote."""
        self._ballast.unlink(missing_ok=True)

    def set_writable(self, writable: bool) -> bool:
        """Mount the artifacts anew; False while a file there is open for writing."""
        mode = "rw" if writable else "ro"
        return _run("mount", "-o", f"remount,bind,{mode}", str(self.artifacts))

    @property
    def _ballast(self) -> Path:
        return self.data / "ballast"


def _run(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False
