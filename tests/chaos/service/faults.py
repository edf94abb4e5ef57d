"""The faults: how each is done to a deployment, and undone."""

import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from random import Random

import psutil
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from models.store.engine import Database
from tests.chaos.plan import Fault
from tests.chaos.service.deployment import Deployment, Part
from tests.chaos.service.disk import Disk
from tests.processes import trial_processes

_METRICS = "luthier-metrics-"
_SERVICE = "luthier-"
_TRIES = 20
_AGAIN_AFTER = 0.05  # seconds
_BACKENDS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE application_name = 'luthier' AND datname = current_database()"
    " AND pid <> pg_backend_pid()"
)


class Skipped(Exception):
    """A fault that cannot be done here; the text says why."""


class Faults:
    """Does faults to one deployment; each method of a fault returns when it is over."""

    def __init__(self, deployment: Deployment, seed: int) -> None:
        self.deployment = deployment
        self.deaths = 0  # workers and trial processes, any of which may have had a trial
        self.api_faults = 0  # which break connections
        self.done: list[str] = []
        self.skipped: list[str] = []
        self._random = Random(seed)
        self._damaged: list[tuple[Path, bytes]] = []
        self._lock = threading.Lock()
        self._one_at_a_time = {name: threading.Lock() for name in ("postgres", "disk", "node")}

    def do(self, fault: Fault, jobs: list[str], models: list[str]) -> None:
        """Do one fault. `jobs` and `models` are those of the round."""
        actions: dict[str, Callable[[], None]] = {
            "worker_kill": partial(self._kill, "worker", fault.which),
            "child_kill": partial(self._kill_child, fault.which),
            "slot_kill": self._kill_slot,
            "node_kill": self._kill_node,
            "api_kill": partial(self._kill, "api", fault.which),
            "api_process_kill": partial(self._kill_api_process, fault.which),
            "service_kill": self._kill_service,
            "worker_pause": partial(self._pause_worker, fault),
            "clock_jump": partial(self._move_clock, fault),
            "database_lock": partial(self._lock_database, fault.seconds),
            "backends_end": self._end_backends,
            "postgres_kill": partial(self._kill_postgres, fault.seconds),
            "postgres_restart": partial(self._restart_postgres, fault.seconds),
            "postgres_pause": partial(self._pause_postgres, fault.seconds),
            "disk_full": partial(self._fill_disk, fault.seconds),
            "disk_read_only": partial(self._forbid_writing, fault.seconds),
            "corrupt_dataset": partial(self._damage, "datasets", "*/columns.parquet"),
            "corrupt_weights": partial(self._damage_each, "jobs", jobs, "trials/*/*"),
            "corrupt_version": partial(self._damage_each, "models", models, "*/*/model.onnx"),
        }
        try:
            with self._one_at_a_time.get(fault.kind.partition("_")[0], nullcontext()):
                actions[fault.kind]()
            self.done.append(fault.kind)
        except Skipped as skipped:
            self.skipped.append(f"{fault.kind}: {skipped}")

    def repair(self) -> None:
        """Write the damaged files back that are still there."""
        for path, content in self._damaged:
            if path.exists():
                path.write_bytes(content)
        self._damaged = []
        for part in self.deployment.parts:
            self.deployment.move_clock(part, 0.0)

    def _kill(self, command: str, which: int) -> None:
        part, process = self._one_of(command, which)
        is_part = part.process is not None and part.process.pid == process.pid
        # `luthier serve` starts a worker again, and ends without its API.
        alive = "" if is_part or command == "api" else _METRICS
        self._note(command)
        self.deployment.kill(process, part, is_part or command == "api", alive)

    def _kill_service(self) -> None:
        (part,) = self.deployment.parts
        if part.process is None:
            raise Skipped("it was down already")
        self._note("worker")
        self._note("api")
        self.deployment.kill(psutil.Process(part.process.pid), part, True, "")

    def _kill_slot(self) -> None:
        assert self.deployment.nodes is not None
        if not self.deployment.nodes.kill_slot(self._random):
            raise Skipped("no slot was there at that moment")
        self._note("worker")

    def _kill_node(self) -> None:
        assert self.deployment.nodes is not None
        self._note("worker")
        if not self.deployment.nodes.kill_node():
            raise Skipped("another fault had just killed the node")

    def _kill_child(self, which: int) -> None:
        if (nodes := self.deployment.nodes) is not None:
            if not nodes.kill_trial(self._random):
                raise Skipped("no slot had a trial process at that moment")
            self._note("worker")
            return
        part, worker = self._one_of("worker", which)
        children = trial_processes(worker)
        if not children:
            raise Skipped("the worker had no trial process at that moment")
        self._note("worker")
        self.deployment.kill(self._random.choice(children), part, False, _SERVICE)

    def _kill_api_process(self, which: int) -> None:
        part, master = self._one_of("api", which)
        children = _children(master)
        if not children:
            raise Skipped("the API had no process at that moment")
        self._note("api")
        self.deployment.kill(children[0], part, False, _SERVICE)

    def _pause_worker(self, fault: Fault) -> None:
        """Stop a worker, and sometimes its trials with it, for some seconds."""
        _, worker = self._one_of("worker", fault.which)
        with_children = self._random.random() < 0.5
        with _stopped([worker, *(trial_processes(worker) if with_children else ())]):
            time.sleep(fault.seconds)

    def _move_clock(self, fault: Fault) -> None:
        """Move the clock of one machine; `repair` moves it back."""
        parts = self.deployment.parts
        self.deployment.move_clock(parts[fault.which % len(parts)], fault.seconds)

    def _lock_database(self, seconds: float) -> None:
        path = self.deployment.disk.data / "luthier.db"
        connection = sqlite3.connect(path, timeout=seconds, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            time.sleep(seconds)
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError as error:
            raise Skipped(f"the database cannot be locked: {error}") from None
        finally:
            connection.close()

    def _end_backends(self) -> None:
        database = Database(self.deployment.settings.resolved_database_url)
        try:
            with database.engine.connect() as connection:
                connection.execute(text(_BACKENDS))
        except DBAPIError as error:
            raise Skipped(f"the server did not answer: {error.orig}") from None
        finally:
            database.close()

    def _kill_postgres(self, seconds: float) -> None:
        assert self.deployment.postgres is not None
        self.deployment.postgres.kill()
        time.sleep(seconds)
        self.deployment.postgres.start()

    def _restart_postgres(self, seconds: float) -> None:
        assert self.deployment.postgres is not None
        self.deployment.postgres.stop()
        time.sleep(seconds)
        self.deployment.postgres.start()

    def _pause_postgres(self, seconds: float) -> None:
        assert self.deployment.postgres is not None
        server = psutil.Process(self.deployment.postgres.pid)
        with _stopped([server, *_children(server)]):
            time.sleep(seconds)

    def _fill_disk(self, seconds: float) -> None:
        disk = self._mounted()
        disk.fill()
        try:
            time.sleep(seconds)
        finally:
            disk.empty()

    def _forbid_writing(self, seconds: float) -> None:
        disk = self._mounted()
        for _ in range(_TRIES):
            if disk.set_writable(False):
                break
            time.sleep(_AGAIN_AFTER)  # a file was open for writing
        else:
            raise Skipped("files are open for writing all the time")
        try:
            time.sleep(seconds)
        finally:
            while not disk.set_writable(True):
                time.sleep(_AGAIN_AFTER)

    def _damage_each(self, folder: str, names: list[str], pattern: str) -> None:
        for name in names:
            with suppress(Skipped):
                self._damage(f"{folder}/{name}", pattern)
                return
        raise Skipped("there was no such file at that moment")

    def _damage(self, folder: str, pattern: str) -> None:
        """Turn over bytes in the middle of each file, as a bad disk would."""
        root = Path(self.deployment.settings.resolved_artifacts) / folder
        found = [path for path in sorted(root.glob(pattern)) if path.is_file()]
        if not found:
            raise Skipped("there was no such file at that moment")
        for path in found:
            try:
                content = path.read_bytes()
            except FileNotFoundError:
                continue
            self._damaged.append((path, content))
            middle = len(content) // 2
            changed = bytes(255 - byte for byte in content[middle : middle + 64])
            try:
                path.write_bytes(content[:middle] + changed + content[middle + len(changed) :])
            except OSError as error:
                raise Skipped(f"the file cannot be damaged now: {error.strerror}") from None

    def _mounted(self) -> Disk:
        if not self.deployment.disk.is_mounted:
            raise Skipped("this account may not mount a file system")
        return self.deployment.disk

    def _one_of(self, command: str, which: int) -> tuple[Part, psutil.Process]:
        found = self.deployment.processes(command)
        if not found:
            raise Skipped(f"no {command} was up at that moment")
        return found[which % len(found)]

    def _note(self, command: str) -> None:
        with self._lock:
            if command == "worker":
                self.deaths += 1
            else:
                self.api_faults += 1


@contextmanager
def _stopped(processes: list[psutil.Process]) -> Iterator[None]:
    """Stop processes by SIGSTOP meanwhile; those that were killed are left alone."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children()
    except psutil.NoSuchProcess:
        return []
