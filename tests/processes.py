"""Real `luthier` processes."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

Process = subprocess.Popen[bytes]

STOP_WITHIN = 15.0  # seconds that every command is allowed to stop in


def free_bind() -> str:
    """A loopback address with a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def environment(**settings: object) -> dict[str, str]:
    """This process's environment, with no settings of Luthier but those given by name."""
    kept = {key: text for key, text in os.environ.items() if not key.startswith("LUTHIER_")}
    return kept | {f"LUTHIER_{name.upper()}": str(value) for name, value in settings.items()}


def start(command: str, log: Path, **settings: object) -> Process:
    """`luthier <command>` with its output in `log`."""
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "luthier", command],
            env=environment(**settings),
            stdout=file,
            stderr=subprocess.STDOUT,
        )


@contextmanager
def running(command: str, log: Path, **settings: object) -> Iterator[Process]:
    """`luthier <command>`, ended at the latest when the block is left, with its descendants."""
    process = start(command, log, **settings)
    try:
        yield process
    finally:
        left = descendants(process)
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(STOP_WITHIN)
        finally:
            for orphan in left:
                if orphan.is_running():
                    orphan.kill()
            if process.poll() is None:
                process.kill()
                process.wait()


def stop(process: Process) -> int:
    """Send SIGTERM; answer the exit status."""
    process.terminate()
    return process.wait(STOP_WITHIN)


def descendants(process: Process) -> list[psutil.Process]:
    """Every process below `process`; none when it has ended."""
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def subcommand(process: Process, name: str) -> psutil.Process | None:
    """The child that runs `luthier <name>`, once there is one."""
    for child in descendants(process):
        try:
            if child.cmdline()[1:4] == ["-m", "luthier", name]:
                return child
        except psutil.NoSuchProcess:
            continue
    return None


def has_ended(pid: int) -> bool:
    """Whether no such process runs any more; one that only waits to be reaped has ended."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
