"""What runs on a node of a Ray cluster: an actor with one warm process of its own for each slot.

The task runs in a child process of the actor, by the executor for one machine. So a task ends in
the same ways on every machine: Ray does not tell why one of its own processes died, and an actor
that was killed to cancel its task would give its place in the cluster up.

The actor imports neither TensorFlow nor what its tasks need: calls and results travel as bytes.
"""

import asyncio
import os
import pickle
import sys
import tempfile
import traceback
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from models import __version__
from models.executors.executor import TaskLost, TaskOutOfMemory, TaskTimedOut
from models.executors.local import REPORT_SECONDS, LocalExecutor

_INPUTS = "inputs"  # the folder of stored files, below that of a slot's executor
_FAILURES = (TaskLost, TaskTimedOut, TaskOutOfMemory, CancelledError)


@dataclass(frozen=True, slots=True)
class SlotOptions:
    """What a slot needs to know."""

    memory_limit: int  # bytes
    growth_limit: int  # bytes
    prepare: bytes = b""  # a pickled function that readies a process and takes the inputs' folder
    sees_gpus: bool = False  # else its processes see none, also where Ray hides none
    version: str = __version__  # of the worker
    mark: tuple[str, int] | None = None  # a file that every node sees, and its time in nanoseconds


@dataclass(frozen=True, slots=True)
class News:
    """What a task has reported since the last news, and how it ended if it has."""

    reports: list[Any]
    outcome: bytes | None = None  # a pickled pair: whether it has a result; the result or an error


@dataclass(slots=True)
class _Running:
    future: "Future[bytes] | None" = None  # None until its inputs are there
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    is_stopped: bool = False
    is_cancelled: bool = False


class Slot:
    """Runs one task at a time in a process that stays warm; an asyncio actor of Ray."""

    def __init__(self, options: SlotOptions) -> None:
        if trouble := check_node(options):
            raise RuntimeError(trouble)
        if not options.sees_gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        # A child process would import the file of Ray's worker, and Ray with it.
        vars(sys.modules["__main__"]).pop("__file__", None)
        prepare = partial(_prepare, options.prepare) if options.prepare else None
        self._executor = LocalExecutor(1, options.memory_limit, prepare, options.growth_limit)
        self._inputs = Path(self._executor.folder) / _INPUTS
        self._tasks: dict[int, _Running] = {}

    async def node(self) -> str:
        """Return the id of the node, once the slot has its place in the cluster."""
        import ray

        return str(ray.get_runtime_context().get_node_id())

    async def live(self) -> None:
        """Never return: the call fails when the slot or its node dies."""
        await asyncio.Event().wait()

    async def run(
        self,
        number: int,
        call: bytes,
        timeout: float | None,
        stopped: bool,
        inputs: Mapping[str, Awaitable[Any]],
    ) -> News:
        """Start a task and return its first news; `inputs` are stored files by name."""
        task = self._tasks[number] = _Running(is_stopped=stopped)
        for name, content in inputs.items():
            # The task reads it from where it is stored if it cannot be had from here.
            with suppress(Exception):
                await self._keep(name, content)
        if task.is_cancelled:
            return self._end(number, [], _packed(False, CancelledError()))
        loop = asyncio.get_running_loop()
        task.future = self._executor.submit(run_call, call, timeout)
        task.future.add_done_callback(lambda _: loop.call_soon_threadsafe(task.ended.set))
        if task.is_stopped:
            self._executor.stop(task.future)
        return await self.follow(number)

    async def follow(self, number: int) -> News:
        """Wait until the task reports something or ends, and return that."""
        task = self._tasks[number]
        assert task.future is not None
        while True:
            has_ended = task.ended.is_set()
            reports = self._executor.reports(task.future)
            if has_ended:
                return self._end(number, reports, _outcome(task.future))
            if reports:
                return News(reports)
            with suppress(TimeoutError):
                await asyncio.wait_for(task.ended.wait(), REPORT_SECONDS / 2)

    async def stop(self, number: int) -> None:
        """Ask the task to end early with a result."""
        if (task := self._tasks.get(number)) is not None:
            task.is_stopped = True
            if task.future is not None:
                self._executor.stop(task.future)

    async def cancel(self, number: int) -> None:
        """End the task now; its process is killed and replaced."""
        if (task := self._tasks.get(number)) is not None:
            task.is_cancelled = True
            if task.future is not None:
                self._executor.cancel(task.future)

    async def close(self) -> None:
        """End the process and remove its files."""
        self._executor.close()

    async def _keep(self, name: str, content: Awaitable[Any]) -> None:
        """Have a stored file at hand: another slot's copy on this node, or one of its own."""
        path = self._inputs / name
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        for other in Path(tempfile.gettempdir()).glob(f"luthier-tasks-*/{_INPUTS}/{name}"):
            with suppress(OSError):  # it was removed just now, or is another user's
                os.link(other, path)
                return
        part = path.with_name(f"{path.name}.part")
        part.write_bytes(memoryview(await content))
        part.rename(path)

    def _end(self, number: int, reports: list[Any], outcome: bytes) -> News:
        del self._tasks[number]
        return News(reports, outcome)


def check_node(options: SlotOptions) -> str:
    """Return why this node cannot run the tasks of a worker; empty if it can."""
    if options.version != __version__:
        return f"It has Luthier {__version__}, the worker has {options.version}."
    if options.mark is not None:
        path, changed = options.mark
        try:
            is_same = os.stat(path).st_mtime_ns == changed
        except OSError:
            is_same = False
        if not is_same:
            return (
                f"It does not have the worker's artifact root {Path(path).parent}. Mount the same"
                " folder there, or set LUTHIER_ARTIFACTS to an s3:// URL."
            )
    return ""


def run_call(call: bytes) -> bytes:
    """Run a pickled pair of a function and its argument, and pickle how it ended."""
    try:
        function, payload = pickle.loads(call)
        return _packed(True, function(payload))
    except Exception as error:
        error.add_note(traceback.format_exc())
        return _packed_error(error)


def _packed(has_result: bool, value: Any) -> bytes:
    return pickle.dumps((has_result, value))


def _packed_error(error: Exception) -> bytes:
    try:
        packed = _packed(False, error)
        pickle.loads(packed)  # fails for an error whose arguments are not those of its class
    except Exception:
        return _packed(False, RuntimeError(f"{type(error).__name__}: {error}"))
    return packed


def _outcome(future: "Future[bytes]") -> bytes:
    try:
        return future.result()
    except _FAILURES as error:
        return _packed(False, error)
    except BaseException as error:
        return _packed(False, TaskLost(f"Its process failed: {type(error).__name__}: {error}"))


def _prepare(prepare: bytes) -> None:
    function: Callable[[Path], None] = pickle.loads(prepare)
    function(Path(tempfile.gettempdir()).parent / _INPUTS)
