"""A service that runs as long as one command, on a free port of this machine."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import click
import httpx

_ANSWERS_WITHIN = 600.0  # seconds; a guard against hanging
_READY_WITHIN = 60.0  # seconds, once it answers
_POLL_SECONDS = 0.05
_STOP_WITHIN = 60.0  # seconds


def end_with_parent() -> None:
    """Have the system send SIGTERM to this process, a child, when its parent has ended."""
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)


@contextmanager
def own_service(command: str) -> Iterator[str]:
    """Run `luthier serve` or `luthier api` and give its address; end it after the block.

    It uses the settings of this process, but a port of its own. Raises ClickException with the last
    line of its log if it does not start.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        bind = f"127.0.0.1:{probe.getsockname()[1]}"
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        process = _start(command, bind, log)
        try:
            _wait_until_ready(process, f"http://{bind}", log)
            yield f"http://{bind}"
        finally:
            _end(process)


def _start(command: str, bind: str, log: IO[str]) -> "subprocess.Popen[bytes]":
    settings = {"LUTHIER_BIND": bind, "LUTHIER_WORKER_BIND": "", "LUTHIER_DRAIN_SECONDS": "0"}
    # In a session of its own, it does not receive the terminal's Ctrl-C: this process stops it.
    return subprocess.Popen(
        [sys.executable, "-m", "luthier", command],
        env=os.environ | settings,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        preexec_fn=end_with_parent if sys.platform == "linux" else None,
    )


def _wait_until_ready(process: "subprocess.Popen[bytes]", url: str, log: IO[str]) -> None:
    deadline, reason = time.monotonic() + _ANSWERS_WITHIN, None
    while process.poll() is None and time.monotonic() < deadline:
        try:
            answer = httpx.get(f"{url}/readyz", timeout=5.0)
        except httpx.TransportError:
            time.sleep(_POLL_SECONDS)
            continue
        if answer.is_success:
            return
        if reason is None:
            deadline = time.monotonic() + _READY_WITHIN
        reason = answer.json()["detail"]
        time.sleep(_POLL_SECONDS)
    if reason is not None:
        raise click.ClickException(f"The service does not get ready: {reason}")
    log.seek(0)
    lines = [line for line in log.read().splitlines() if line.strip()]
    reason = lines[-1].removeprefix("Error: ") if lines else "it wrote nothing"
    raise click.ClickException(f"The service did not start: {reason}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(_STOP_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def has_data(folder: str) -> bool:
    """Return whether a data folder has a database."""
    return Path(folder, "luthier.db").is_file()
