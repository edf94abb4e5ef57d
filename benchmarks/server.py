"""A real `luthier serve` on a free port with an empty database."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

_READY_WITHIN = 120.0  # seconds
_IDLE = 0.1  # seconds of CPU in half a second, below which a service has nothing to do


@contextmanager
def serving(
    slots: int | None = None, python: str = sys.executable, folder: Path | None = None
) -> Iterator[tuple[str, int]]:
    """Run a service until the end of the block; yield its URL and the id of its process.

    `slots` are its trial processes, by default one a core; `python` is the interpreter that has
    Luthier's worker installed; `folder` keeps its data, by default for the time of the block.
    Raises RuntimeError if the service does not start.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = folder or Path(temporary)
        bind = f"127.0.0.1:{free_port()}"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("LUTHIER_")}
        environment |= {
            "LUTHIER_BIND": bind,
            "LUTHIER_DATA": str(folder),
            "LUTHIER_LOG_LEVEL": "WARNING",
            "LUTHIER_TRIAL_SLOTS": str(slots or 0),
        }
        with (Path(temporary) / "log").open("wb") as log:
            command = [python, "-m", "luthier", "serve"]
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            _wait_until_ready(bind, process)
            yield f"http://{bind}", process.pid
        finally:
            process.terminate()
            process.wait(timeout=30)


def wait_until_idle(pid: int) -> None:
    """Wait until a process and all that it started have nothing left to do."""
    process = psutil.Process(pid)
    while True:
        before = cpu_seconds(process)
        time.sleep(0.5)
        if cpu_seconds(process) - before < _IDLE:
            return


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(bind: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _READY_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"http://{bind}/readyz").is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise RuntimeError("The service did not start.")


def cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU time of a process and all that it started."""
    total = 0.0
    for member in [process, *process.children(recursive=True)]:
        times = member.cpu_times()
        total += times.user + times.system
    return total
