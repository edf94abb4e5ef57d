"""An executor of warm child processes on this machine, and the reports of its tasks.

Reports, and the request that a task stop, travel through files of the task's own. A task never
waits for a reader, and a task that is killed leaves no lock behind; a queue between processes could
guarantee neither.
"""

import itertools
import json
import multiprocessing
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, InvalidStateError
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import psutil
from pebble import ProcessExpired, ProcessPool

from models.executors.executor import Payload, Result, TaskLost, TaskOutOfMemory, TaskTimedOut
from models.executors.forking import forking
from models.folders import owned_folder, remove_if_unlocked

OUT_OF_MEMORY_EXIT = 86
_WATCH_SECONDS = 0.2
REPORT_SECONDS = 0.2  # minimum time between two batches of one task
STOP_SECONDS = 0.05  # minimum time between two checks of a task whether it should stop


@dataclass(frozen=True, slots=True)
class Channel:
    """The files of one task."""

    path: str  # without an ending; the folder exists

    @property
    def reports(self) -> Path:
        """The reports, one JSON document a line; the task appends to it."""
        return Path(f"{self.path}.reports")

    @property
    def stop(self) -> Path:
        """An empty file that exists once the task was asked to stop."""
        return Path(f"{self.path}.stop")

    @property
    def cancelled(self) -> Path:
        """An empty file that exists once the task was cancelled before a process had begun it."""
        return Path(f"{self.path}.cancelled")

    def remove(self) -> None:
        """Delete the reports and the request to stop, if they exist."""
        for file in (self.reports, self.stop):
            file.unlink(missing_ok=True)


class Teller:
    """The task's end of a channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._pending: list[Any] = []
        self._file: BinaryIO | None = None
        self._next_batch = self._next_check = 0.0  # by the monotonic clock
        self._is_stopped = False
        self._is_broken = False

    def tell(self, report: Any) -> bool:
        """Keep a report for the next batch; return whether the task was asked to stop."""
        self._pending.append(report)
        now = time.monotonic()
        if now >= self._next_batch:
            self.flush()
            self._next_batch = now + REPORT_SECONDS
        if now >= self._next_check:
            self._is_stopped = self._channel.stop.exists()
            self._next_check = now + STOP_SECONDS
        return self._is_stopped

    def flush(self) -> None:
        """Write the pending reports. A write error ends the reports, not the task."""
        pending, self._pending = self._pending, []
        if not pending or self._is_broken:
            return
        batch = "".join(f"{json.dumps(report)}\n" for report in pending).encode()
        try:
            if self._file is None:
                self._file = self._channel.reports.open("ab")
            self._file.write(batch)
            self._file.flush()
        except OSError:
            self._is_broken = True

    def close(self) -> None:
        """Write the remaining reports and close the file."""
        self.flush()
        if self._file is not None:
            with suppress(OSError):
                self._file.close()


class Listener:
    """The submitter's end of a channel."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._offset = 0  # bytes read so far

    def read(self) -> list[Any]:
        """Return the reports written since the last call; an unfinished line is left for later."""
        try:
            with self.channel.reports.open("rb") as file:
                file.seek(self._offset)
                content = file.read()
        except FileNotFoundError:
            return []
        whole = content[: content.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [json.loads(line) for line in whole.splitlines()]


_teller: Teller | None = None  # of the task that this process runs


def tell(report: Any) -> bool:
    """Report to the submitter of the current task; return whether the task should end early.

    A report is any value that `json` can write, NaN and infinities included. Reports are written
    in batches, at most one every 0.2 s and the last when the task ends; the answer is at most
    0.05 s old. Outside a task nothing happens.
    """
    return _teller is not None and _teller.tell(report)


def run_task(channel: Channel, function: Callable[[Payload], Result], payload: Payload) -> Result:
    """Run a task in its process; all reports are written before its result is known.

    A task that was cancelled while it waited for the process is not run.
    """
    global _teller
    if channel.cancelled.exists():
        channel.cancelled.unlink()
        raise CancelledError
    _teller = Teller(channel)
    try:
        return function(payload)
    finally:
        _teller.close()
        _teller = None


class LocalExecutor:
    """A pool of processes that stay warm across jobs.

    `prepare` runs once in every new process before its first task. The processes are spawned, or,
    with `preload`, forked from one that has imported this module. `memory_limit` is in bytes
    of resident memory. A process that dies, times out or exceeds the limit is replaced, and
    between two tasks also one that has grown by `growth_limit` bytes since it was prepared.
    """

    def __init__(
        self,
        slots: int,
        memory_limit: int,
        prepare: Callable[[], None] | None = None,
        growth_limit: int = 1024**3,
        preload: str | None = None,
    ) -> None:
        self.slots = slots
        self._stack = ExitStack()  # of what is closed at the end
        self.folder = str(self._stack.enter_context(owned_folder("tasks")))  # of its processes
        self._tasks = itertools.count()
        self._context, folders = forking(preload)
        self._initargs = (memory_limit, [self.folder, *folders], prepare)
        self._lifetime = _Lifetime(growth_limit)
        self._lock = threading.RLock()  # of the pool and what is submitted to it
        self._pool = self._open_pool()
        self._unfinished: set[_LinkedFuture[Any]] = set()
        self._is_closed = threading.Event()
        threading.Thread(target=self._watch_tasks, daemon=True).start()

    def submit(
        self, function: Callable[[Payload], Result], payload: Payload, timeout: float | None
    ) -> "Future[Result]":
        """Start `function(payload)` in a free process, or queue it until one is free."""
        channel = Channel(f"{self.folder}/{next(self._tasks)}")
        with self._lock:
            try:
                inner = self._schedule([channel, function, payload])
            except BrokenProcessPool as error:  # such as of a fork server that has died
                inner = Future()
                inner.set_exception(TaskLost(f"No process for it could be started: {error!r}"))
            outer: _LinkedFuture[Result] = _LinkedFuture(inner, Listener(channel), timeout)
            self._unfinished.add(outer)
        inner.add_done_callback(lambda done: self._settle(done, outer))
        return outer

    def _schedule(self, task: list[Any]) -> "Future[Any]":
        while True:
            self._replace_broken_pool()
            try:
                return self._pool.schedule(run_task, args=task)
            except BrokenProcessPool:
                raise
            except RuntimeError:
                if self._is_active() or self._is_closed.is_set():  # else it broke just now
                    raise

    def _is_active(self) -> bool:
        """Return whether the pool takes tasks; a new one starts its processes first."""
        try:
            return self._pool.active
        except BrokenProcessPool:
            return False

    def _settle(self, done: "Future[Result]", outer: "_LinkedFuture[Result]") -> None:
        self._unfinished.discard(outer)
        _settle(done, outer)

    def cancel(self, future: "Future[Result]") -> None:
        """End the task; the process that runs it is killed and replaced.

        One that waits is not begun, also if the pool has handed it to a process that is starting.
        """
        assert isinstance(future, _LinkedFuture)
        if not future.inner.running():
            with suppress(OSError):  # then its process is killed soon after it has begun
                future.listener.channel.cancelled.touch()
        future.inner.cancel()
        future.listener.channel.remove()

    def reports(self, future: "Future[Any]") -> list[Any]:
        """Return what the task reported since the last call."""
        assert isinstance(future, _LinkedFuture)
        is_done = future.done()
        reports = future.listener.read()
        if is_done:
            future.listener.channel.remove()
        return reports

    def stop(self, future: "Future[Any]") -> None:
        """Ask the task to end early; it notices at its next report, or 0.05 s later."""
        assert isinstance(future, _LinkedFuture)
        if not future.done():
            # If the file cannot be written, the task runs to its end, which only costs time.
            with suppress(OSError):
                future.listener.channel.stop.touch()

    def close(self) -> None:
        """Kill every process and cancel every task."""
        with self._lock:
            self._is_closed.set()
            self._pool.stop()  # type: ignore[no-untyped-call]
            self._pool.join()
        for future in tuple(self._unfinished):
            future.inner.cancel()
        self._stack.close()

    def _watch_tasks(self) -> None:
        """Kill the processes of tasks that run for too long, and notice a broken pool.

        Pebble's own limit is by the clock, which may jump.
        """
        while not self._is_closed.wait(_WATCH_SECONDS):
            with self._lock:
                self._replace_broken_pool()
            for future in tuple(self._unfinished):
                if future.is_late():
                    future.inner.cancel()

    def _replace_broken_pool(self) -> None:
        """Open a new pool if Pebble has given the present one up, as an idle process of it died.

        Pebble forgets the tasks that it takes at the same moment: nobody would end them.
        """
        if self._is_closed.is_set() or self._is_active():
            return
        self._pool.join()
        self._pool = self._open_pool()
        for future in tuple(self._unfinished):
            with suppress(InvalidStateError):  # it has just ended
                future.inner.set_exception(BrokenProcessPool())

    def _open_pool(self) -> ProcessPool:
        return ProcessPool(
            max_workers=self.slots,
            max_tasks=self._lifetime,
            initializer=_start_process,
            initargs=self._initargs,
            context=self._context,
        )


class _LinkedFuture(Future[Result]):
    """A future that raises this package's errors instead of the pool's.

    `timeout` is in seconds of the monotonic clock, from when a process has the task.
    """

    def __init__(self, inner: "Future[Result]", listener: Listener, timeout: float | None) -> None:
        super().__init__()
        self.inner = inner
        self.listener = listener
        self.timeout = timeout
        self.timed_out = False
        self._started: float | None = None

    def is_late(self) -> bool:
        """Note whether the task has begun; return whether it runs for longer than its limit."""
        if self.timeout is None or not self.inner.running():
            return False
        if self._started is None:
            self._started = time.monotonic()
        self.timed_out = time.monotonic() - self._started > self.timeout
        return self.timed_out


class _Lifetime(int):
    """The bytes by which a process may grow, in the place of Pebble's `max_tasks`.

    In the process, Pebble compares it with the number of tasks before it takes another one.
    """

    def __gt__(self, tasks: int) -> bool:
        """Whether the process may take another task; its first call notes its size."""
        size = psutil.Process().memory_info().rss
        if tasks == 0:
            self._first_size = size
        return size - self._first_size <= self


def _settle(done: "Future[Result]", outer: "_LinkedFuture[Result]") -> None:
    try:
        outer.set_result(done.result())
    except CancelledError:
        if outer.timed_out:
            outer.set_exception(TaskTimedOut(f"Ended after its limit of {outer.timeout:g} s."))
            return
        outer.cancel()
        outer.set_running_or_notify_cancel()
    except ProcessExpired as expired:
        outer.set_exception(_explain(expired))
    except BrokenProcessPool:
        outer.set_exception(TaskLost("Its process died before it began."))
    except BaseException as error:
        outer.set_exception(error)


def _explain(expired: ProcessExpired) -> TaskOutOfMemory | TaskLost:
    if expired.exitcode == OUT_OF_MEMORY_EXIT:
        return TaskOutOfMemory("Its process exceeded the memory limit and was ended.")
    return TaskLost(f"Its process died with exit code {expired.exitcode}.")


def _start_process(
    memory_limit: int, folders: Sequence[str], prepare: Callable[[], None] | None
) -> None:
    threading.Thread(target=_watch, args=(memory_limit, folders), daemon=True).start()
    _keep_temporary_files(Path(folders[0]))
    if prepare is not None:
        prepare()


def _keep_temporary_files(folder: Path) -> None:
    """Keep this process's temporary files below `folder`; remove those of dead siblings."""
    for other in folder.glob("files-*"):
        if not psutil.pid_exists(int(other.name.removeprefix("files-"))):
            shutil.rmtree(other, ignore_errors=True)
    own = folder / f"files-{os.getpid()}"
    own.mkdir(exist_ok=True)
    os.environ["TMPDIR"] = tempfile.tempdir = str(own)


def _watch(memory_limit: int, folders: Sequence[str]) -> None:
    """End this process when it exceeds its memory limit, or when nobody waits for it any more.

    Its parent is the owner of the pool or a fork server. A killed owner could not remove its
    folders.
    """
    process, owner, parent = psutil.Process(), multiprocessing.parent_process(), os.getppid()
    assert owner is not None
    pause = threading.Event()
    while not pause.wait(_WATCH_SECONDS):
        if process.memory_info().rss > memory_limit:
            os._exit(OUT_OF_MEMORY_EXIT)
        if os.getppid() != parent or not owner.is_alive():
            for folder in folders:
                remove_if_unlocked(Path(folder))
            os._exit(0)
