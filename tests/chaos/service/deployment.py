"""A service under test: its processes, which are started again when they end, and its folders."""

import os
import secrets
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import text

from models.settings import Settings
from models.store.engine import Database
from tests.chaos.plan import LEASE_SECONDS
from tests.chaos.service.disk import Disk
from tests.chaos.service.nodes import Nodes
from tests.postgres import PostgresServer
from tests.processes import answers, descendants, environment, free_bind, subcommand
from tests.waiting import wait_until

MARKER = "CHAOS_DEPLOYMENT"  # in the environment of every process of a deployment
_OF_ONNX_RUNTIME = ".ses"  # 51 bytes that all its processes share, written anew by each
_CLOCK = Path(__file__).parent / "clock"
_WORKER_ENDED = "the worker ended with status "
_LOOK_EVERY = 0.05  # seconds
_GONE_WITHIN = 30.0  # seconds until nothing is left of a process that was killed
_STOP_WITHIN = 60.0  # seconds


@dataclass
class Part:
    """One process that an operator would have started, such as `luthier worker`."""

    name: str
    command: str
    settings: dict[str, object]
    temporary: Path
    clock: Path
    process: "subprocess.Popen[bytes] | None" = None
    is_expected_to_end: bool = False  # the harness killed it, or what it cannot be without
    seen: set[str] = field(default_factory=set)  # temporary files when a process of it was killed


class Deployment:
    """`luthier serve` over SQLite, or two APIs and two workers over PostgreSQL.

    `start` makes it ready and `close` ends all that is left of it. Between them a thread starts
    again whatever ends, as an operator's supervisor would.
    """

    def __init__(
        self,
        folder: Path,
        database: str,
        postgres: PostgresServer | None,
        executor: str = "local",
        **settings: object,
    ) -> None:
        self.folder = folder
        self.executor = executor
        self.nodes: Nodes | None = None  # of a Ray cluster, where that is the executor
        self._more_settings = settings  # of every process
        self.database = database
        self.postgres = postgres
        self.marker = secrets.token_hex(8)
        self.disk = Disk(folder)
        self.parts: list[Part] = []
        self.urls: list[str] = []
        self.exits: list[str] = []  # processes that ended though nobody killed them
        self.orphans: list[str] = []  # processes that stayed when the one above them had ended
        self._name = f"chaos_{self.marker}"
        self._temporary = Path(tempfile.mkdtemp(prefix="chaos-"))  # short, for names of sockets
        self._stop = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)

    @property
    def settings(self) -> Settings:
        """Where the shared parts are, as one of its processes would read it."""
        given = {name: str(value) for name, value in self._shared().items()}
        return Settings.from_environment(
            {f"LUTHIER_{name.upper()}": text for name, text in given.items()}
        )

    def start(self) -> None:
        """Start everything and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.disk.mount()
        if self.executor == "ray":
            self.nodes = Nodes()
        if self.database == "postgresql":
            self._create_database()
            for number in range(2):
                self._add(f"api-{number}", "api", bind=free_bind())
                self._add(f"worker-{number}", "worker", trial_slots=1)
        else:
            self._add("serve", "serve", bind=free_bind(), trial_slots=2)
        for part in self.parts:
            self._launch(part)
        self._supervisor.start()
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait until every part runs and every API finds the database and the artifacts."""
        wait_until(lambda: all(part.process is not None for part in self.parts))
        for url in self.urls:
            wait_until(partial(answers, f"{url}/readyz"))
        wait_until(lambda: len(self.processes("worker")) == len(self._workers))

    def close(self) -> list[str]:
        """Stop everything by SIGTERM; return the temporary files that are still there.

        The disk stays until `release`.
        """
        self._stop.set()
        self._supervisor.join()
        running = [part.process for part in self.parts if part.process is not None]
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(_STOP_WITHIN)
            except subprocess.TimeoutExpired:
                self.exits.append(f"process {process.pid} did not stop on SIGTERM")
                process.kill()
                process.wait()
        self.end_orphans()
        if self.nodes is not None:
            self.orphans += self.nodes.left()
            self.nodes.close()
            self.nodes = None
        return self.temporary_files()

    def release(self, keep: bool) -> None:
        """Unmount the disk; what lay on it is copied beside the logs if it is to be kept."""
        if keep and self.disk.is_mounted:
            shutil.copytree(self.disk.data, self.folder / "disk-copy", dirs_exist_ok=True)
        self.disk.unmount()
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)
            shutil.rmtree(self._temporary, ignore_errors=True)

    def temporary_files(self, only_of_dead: bool = False) -> list[str]:
        """Return what lies in the temporary folders, or what killed processes left there."""
        return sorted(
            f"{part.name}/{path.name}"
            for part in self.parts
            for path in part.temporary.iterdir()
            if path.name != _OF_ONNX_RUNTIME and (not only_of_dead or path.name in part.seen)
        )

    def kill(self, process: psutil.Process, part: Part, ends_part: bool, alive: str) -> None:
        """Kill one process of a part with SIGKILL and note the temporary files that are to go.

        Those whose names begin with `alive` may belong to the part's other processes.
        """
        part.is_expected_to_end = part.is_expected_to_end or ends_part
        process.kill()
        names = {path.name for path in part.temporary.iterdir()}
        part.seen |= {name for name in names if not alive or not name.startswith(alive)}

    def processes(self, command: str) -> list[tuple[Part, psutil.Process]]:
        """Return the running `luthier <command>` processes with the parts that they belong to."""
        found = []
        for part in self.parts:
            process = part.process
            if process is None:
                continue
            if part.command == command:
                with suppress(psutil.NoSuchProcess):  # it ended just now
                    found.append((part, psutil.Process(process.pid)))
            elif part.command == "serve":
                child = subcommand(process, command)
                found += [(part, child)] if child is not None else []
        return found

    def ended_workers(self) -> list[str]:
        """Return what `luthier serve` says about workers that ended, but not by SIGKILL."""
        logs = [self.folder / f"{part.name}.log" for part in self.parts if part.command == "serve"]
        lines = [line for log in logs for line in log.read_text().splitlines()]
        return [
            line for line in lines if _WORKER_ENDED in line and f"{_WORKER_ENDED}-9" not in line
        ]

    def marked(self) -> list[psutil.Process]:
        """Return every process that this deployment started, directly or not."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARKER) != self.marker:
                    continue
                if process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def strays(self) -> list[psutil.Process]:
        """Return its processes that are below none of its parts."""
        marked = {process.pid: process for process in self.marked()}
        for part in self.parts:
            if part.process is not None:
                marked.pop(part.process.pid, None)
                for process in descendants(part.process):
                    marked.pop(process.pid, None)
        return list(marked.values())

    def end_orphans(self, within: float = _GONE_WITHIN) -> None:
        """Give strays time to end; note and kill those that do not."""
        deadline = time.monotonic() + within
        while (left := self.strays()) and time.monotonic() < deadline:
            time.sleep(_LOOK_EVERY)
        for process in left:
            try:
                self.orphans.append(f"{process.pid}: {' '.join(process.cmdline()[-4:])[:200]}")
                process.kill()
            except psutil.NoSuchProcess:
                continue

    def move_clock(self, part: Part, seconds: float) -> None:
        """Set how far ahead the wall clock of a part's processes is."""
        with part.clock.open("r+b") as file:
            file.write(struct.pack("d", seconds))

    @property
    def _workers(self) -> list[Part]:
        return [part for part in self.parts if part.command in ("worker", "serve")]

    def _shared(self) -> Mapping[str, object]:
        shared: dict[str, object] = {
            "lease_seconds": LEASE_SECONDS,
            "sweep_seconds": 1,
            "data": self.disk.data,
            "artifacts": self.disk.artifacts,
            **self._more_settings,
        }
        if self.nodes is not None:
            shared |= {"executor": "ray", "ray_address": self.nodes.address}
        if self.postgres is not None:
            shared["database_url"] = self.postgres.url(self._name)
        return shared

    def _create_database(self) -> None:
        assert self.postgres is not None
        server = Database(self.postgres.url("postgres"))
        options = {"isolation_level": "AUTOCOMMIT"}
        with server.engine.connect().execution_options(**options) as connection:
            connection.execute(text(f"CREATE DATABASE {self._name}"))
        server.close()
        variables = environment(**self._shared())
        command = [sys.executable, "-m", "luthier", "migrate"]
        subprocess.run(command, env=variables, check=True, capture_output=True)

    def _add(self, name: str, command: str, **settings: object) -> None:
        temporary, clock = self._temporary / name, self.folder / "clocks" / name
        temporary.mkdir(parents=True)
        clock.parent.mkdir(exist_ok=True)
        clock.write_bytes(struct.pack("d", 0.0))
        own: dict[str, object] = {"poll_seconds": 0.1, "forecast_seconds": 0}
        own |= {**self._shared(), **settings}
        self.parts.append(Part(name, command, own, temporary, clock))
        if "bind" in settings:
            self.urls.append(f"http://{settings['bind']}")

    def _launch(self, part: Part) -> None:
        paths = [str(_CLOCK), str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")]
        own: dict[str, str] = {
            MARKER: self.marker,
            "TMPDIR": str(part.temporary),
            "CHAOS_CLOCK": str(part.clock),
            "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        }
        with (self.folder / f"{part.name}.log").open("ab") as log:
            part.process = subprocess.Popen(
                [sys.executable, "-m", "luthier", part.command],
                env=environment(**part.settings) | own,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
            )

    def _supervise(self) -> None:
        while not self._stop.wait(_LOOK_EVERY):
            for part in self.parts:
                if part.process is not None and part.process.poll() is not None:
                    self._restart(part, part.process.returncode)

    def _restart(self, part: Part, status: int) -> None:
        if not part.is_expected_to_end:
            self.exits.append(f"{part.name} ended with status {status}")
        part.process = None
        # A port that is still held, or a folder that is still cleared, is none of its successor's.
        self._settle(lambda: not self._strays_of(part))
        part.is_expected_to_end = False
        self._launch(part)

    def _strays_of(self, part: Part) -> list[psutil.Process]:
        found = []
        for process in self.strays():
            try:
                if process.environ().get("TMPDIR") == str(part.temporary):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def _settle(self, condition: Callable[[], Any]) -> None:
        deadline = time.monotonic() + _GONE_WITHIN
        while not condition() and time.monotonic() < deadline and not self._stop.is_set():
            time.sleep(_LOOK_EVERY)
