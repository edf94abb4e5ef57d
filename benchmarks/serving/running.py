"""A contestant's server: from its start to its first answer, its CPU time and its memory."""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from benchmarks.server import cpu_seconds, free_port
from benchmarks.serving.contestants import Contestant
from benchmarks.serving.load import Request, ask

_STARTED_WITHIN = 120.0  # seconds
_HOST = "127.0.0.1"


class Server:
    """A running server with all its processes."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int) -> None:
        self.first_answer = 0.0  # seconds after the start
        self._process = psutil.Process(process.pid)
        self._port = port

    def request(self, contestant: Contestant, rows: int) -> Request:
        """Return a request of so many rows to it."""
        body, kind, accept = contestant.body(rows), contestant.media_type, contestant.accept
        return Request(_HOST, self._port, contestant.path, body, kind, accept)

    def cpu_seconds(self) -> float:
        """Return the CPU time of all its processes so far."""
        return cpu_seconds(self._process)

    def memory(self) -> int:
        """Return the resident bytes of its largest process."""
        members = [self._process, *self._process.children(recursive=True)]
        return max(member.memory_info().rss for member in members)


@contextmanager
def start(contestant: Contestant, folder: Path, peers: str) -> Iterator[Server]:
    """Start a server and wait for its first answer to one row; stop it after the block.

    Raises RuntimeError if it is not installed or does not answer.
    """
    if contestant.package is not None:
        _check_installed(peers, contestant.package)
    own = Path(tempfile.mkdtemp(dir=folder))
    port = free_port()
    command = contestant.command(port, own)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LUTHIER_")}
    # MLflow starts uvicorn by its name.
    environment["PATH"] = os.pathsep.join([str(Path(peers).parent.absolute()), os.environ["PATH"]])
    environment |= {"LUTHIER_BIND": f"{_HOST}:{port}"} | contestant.environment
    with (own / "log").open("wb") as log:
        began = time.monotonic()
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    server = Server(process, port)
    try:
        request = server.request(contestant, 1)
        while not _answers(request):
            if process.poll() is not None or time.monotonic() > began + _STARTED_WITHIN:
                lines = (own / "log").read_text(errors="replace").strip()
                raise RuntimeError(f"it did not start: {lines.rpartition(chr(10))[2]}")
            time.sleep(0.01)
        server.first_answer = time.monotonic() - began
        yield server
    finally:
        members: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):
            members = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=20)
        for member in members:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        process.kill()
        process.wait()


def _answers(request: Request) -> bool:
    try:
        ask(request)
    except (OSError, RuntimeError):  # such as 404 while a model is still loaded
        return False
    return True


def _check_installed(python: str, package: str) -> None:
    script = f"import importlib.util as u, sys; sys.exit(u.find_spec({package!r}) is None)"
    if subprocess.run([python, "-c", script], check=False).returncode:
        raise RuntimeError(f"{package} is not installed for {python}")
