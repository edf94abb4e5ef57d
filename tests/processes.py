"""Real `luthier` processes."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from random import SystemRandom
from typing import Any

import httpx
import psutil

from tests.waiting import PATIENCE, wait_until

Process = subprocess.Popen[bytes]

STOP_WITHIN = PATIENCE  # seconds

# Below the ports that the system gives to outgoing connections and to servers that ask for any.
_PORTS = range(10_000, 32_000)
_claims: list[socket.socket] = []


def free_bind() -> str:
    """Return a loopback address with a port that nobody listens on.

    Until this process ends, no other call returns it, in any test process: a UDP socket, which is
    in nobody's way, holds the number.
    """
    while True:
        address = ("127.0.0.1", SystemRandom().choice(_PORTS))
        claim = socket.socket(type=socket.SOCK_DGRAM)
        try:
            claim.bind(address)
            with socket.socket() as probe:
                probe.bind(address)
        except OSError:
            claim.close()
            continue
        _claims.append(claim)
        return f"{address[0]}:{address[1]}"


def fetch(url: str, method: str = "GET", **arguments: Any) -> httpx.Response:
    """Call a server, however long a busy machine takes to answer."""
    return httpx.request(method, url, timeout=PATIENCE, **arguments)


def answers(url: str) -> bool:
    """Whether a server answers `url` with success."""
    try:
        return fetch(url).is_success
    except httpx.TransportError:
        return False


def environment(**settings: object) -> dict[str, str]:
    """Return this process's environment with these settings of Luthier, and no others."""
    kept = {key: text for key, text in os.environ.items() if not key.startswith("LUTHIER_")}
    return kept | {f"LUTHIER_{name.upper()}": str(value) for name, value in settings.items()}


def run(*arguments: str, **settings: object) -> "subprocess.CompletedProcess[str]":
    """Run a `luthier` command that ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "luthier", *arguments],
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def start(command: str, log: Path, **settings: object) -> Process:
    """Start `luthier <command>` with its output in `log`."""
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "luthier", command],
            env=environment(**settings),
            stdout=file,
            stderr=subprocess.STDOUT,
        )


@contextmanager
def running(command: str, log: Path, **settings: object) -> Iterator[Process]:
    """Run `luthier <command>` until it ends or the block is left; then end its descendants too."""
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
    """Send SIGTERM and return the exit status."""
    process.terminate()
    return process.wait(STOP_WITHIN)


def descendants(process: Process | psutil.Process) -> list[psutil.Process]:
    """Return every process below `process`; none when it has ended."""
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def trial_processes(worker: Process | psutil.Process) -> list[psutil.Process]:
    """Return the processes in which a worker runs trials.

    Its fork server has forked them, unless the machine has a GPU or a long `TMPDIR`.
    """
    found = []
    for child in descendants(worker):
        with suppress(psutil.NoSuchProcess):
            line = " ".join(child.cmdline())
            if "multiprocessing.forkserver" in line:
                found += child.children()
            elif "spawn_main" in line:
                found.append(child)
    return found


def subcommand(process: Process, name: str) -> psutil.Process | None:
    """Return the child that runs `luthier <name>`, once there is one."""
    for child in descendants(process):
        try:
            if child.cmdline()[1:4] == ["-m", "luthier", name]:
                return child
        except psutil.NoSuchProcess:
            continue
    return None


def has_ended(pid: int) -> bool:
    """Whether a process has ended; one that only waits to be reaped has."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def held_up(process: Process, database: Path) -> bool:
    """Stop a process by SIGSTOP, unless it is inside a transaction: it would block all others."""
    process.send_signal(signal.SIGSTOP)
    wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED, every=0.001)
    with closing(sqlite3.connect(database, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            process.send_signal(signal.SIGCONT)
            return False
    return True
