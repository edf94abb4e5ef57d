"""An executor over the nodes of a Ray cluster."""

import asyncio
import itertools
import logging
import pickle
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any

import numpy as np
import ray
from ray.exceptions import RayError

from models.errors import LuthierError
from models.executors.cluster import Resources, nodes, places
from models.executors.executor import Payload, Result, TaskLost
from models.executors.slot import News, Slot, SlotOptions
from models.store.artifacts import Artifacts

log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0  # between two looks at the nodes of the cluster
_AGAIN_AFTER = 5.0  # seconds after a slot could not be started
_CLOSED_WITHIN = 5.0  # seconds that the slots have to end their processes by themselves
IDLE_SECONDS = 120.0  # without a task, after which a slot gives its place in the cluster up
MAX_INPUT_BYTES = 1024**3  # of stored files that are kept in the object store

FoldersOf = Callable[[Any], Sequence[str]]  # the folders of stored files that a payload needs


class StoredInputs:
    """Puts stored files into Ray's object store, each once while tasks need it.

    A node fetches them from there; the artifact root is read by this process alone. Nothing is kept
    of a folder that is too large or cannot be read: its tasks read the root themselves.
    """

    def __init__(self, artifacts: Artifacts, folders_of: FoldersOf) -> None:
        self.folders_of = folders_of
        self._artifacts = artifacts
        self._kept: OrderedDict[str, tuple[dict[str, Any], int]] = OrderedDict()  # refs, bytes
        self._lock = threading.Lock()

    def refs(self, folders: Sequence[str]) -> dict[str, Any]:
        """Return a reference to each file of these folders, by its name in the artifact root."""
        found: dict[str, Any] = {}
        with self._lock:
            for folder in folders:
                with suppress(LuthierError):
                    found |= self._refs_of(folder)
        return found

    def has(self, folders: Sequence[str]) -> bool:
        """Whether `refs` would not have to read any file of these folders."""
        return all(folder in self._kept for folder in folders)

    def _refs_of(self, folder: str) -> dict[str, Any]:
        if folder not in self._kept:
            # Not what lies in folders below, such as the file that was uploaded.
            files = [
                file
                for file in self._artifacts.files(folder)
                if "/" not in file.name.removeprefix(f"{folder}/")
            ]
            size = sum(file.bytes for file in files)
            if size > MAX_INPUT_BYTES:
                return {}
            contents = ((file.name, self._artifacts.read(file.name)) for file in files)
            # Of an array, every process of a node sees the same bytes; of `bytes` it has a copy.
            refs = {name: ray.put(np.frombuffer(content, np.uint8)) for name, content in contents}
            self._kept[folder] = refs, size
            while sum(held for _, held in self._kept.values()) > MAX_INPUT_BYTES:
                self._kept.popitem(last=False)
        self._kept.move_to_end(folder)
        return self._kept[folder][0]


class _Task(Future[Result]):
    """A task as its submitter sees it."""

    def __init__(
        self, number: int, call: bytes, timeout: float | None, folders: Sequence[str]
    ) -> None:
        super().__init__()
        self.number = number
        self.call = call
        self.timeout = timeout
        self.folders = folders
        self.told: deque[Any] = deque()  # reports that nobody has read
        self.slot: Any = None  # the actor that runs it
        self.is_stopped = False
        self._giving_up = threading.Lock()

    def settle(self, outcome: bytes) -> None:
        """Take the outcome of a slot, unless the task was cancelled meanwhile."""
        has_result, value = pickle.loads(outcome)
        with suppress(InvalidStateError):
            if has_result:
                self.set_result(value)
            else:
                self.set_exception(value)

    def lose(self, why: object) -> None:
        """Fail, as the slot is gone."""
        with suppress(InvalidStateError):
            self.set_exception(TaskLost(f"Its node or process died: {why}"))

    def give_up(self) -> None:
        """Be cancelled, unless it is done."""
        with self._giving_up:  # `cancel` returns True again for a future that was cancelled
            if not self.done() and self.cancel():
                self.set_running_or_notify_cancel()


class RayExecutor:
    """Warm processes on the nodes of the cluster that this process is connected to.

    `limit` is the number of slots; with 0, there are as many as the present nodes have room for.
    A slot takes its place in the cluster when a task waits for it, and gives it up after
    `idle_seconds` without one. So Ray's autoscaler sees the tasks that nodes are missing for, and
    the nodes that are idle. `on_close` is called at the end.
    """

    def __init__(
        self,
        options: SlotOptions,
        resources: Resources | None = None,
        limit: int = 0,
        inputs: StoredInputs | None = None,
        idle_seconds: float = IDLE_SECONDS,
        on_close: Callable[[], object] | None = None,
    ) -> None:
        self._options = options
        self._resources = resources or Resources()
        self._limit = limit
        self._inputs = inputs
        self._idle_seconds = idle_seconds
        self._on_close = on_close
        self._numbers = itertools.count()
        self._places = places(self._resources, nodes())
        self._actor = ray.remote(Slot)
        # Everything below belongs to the thread of the loop.
        self._loop = asyncio.new_event_loop()
        self._waiting: asyncio.Queue[_Task[Any]] = asyncio.Queue()
        self._unfinished: set[_Task[Any]] = set()
        self._slots: dict[asyncio.Task[None], Any] = {}  # what drives an actor -> the actor
        self._placed: set[Any] = set()  # actors that run
        self._is_closed = False
        self._thread = threading.Thread(target=self._run_loop, name="ray-executor", daemon=True)
        self._thread.start()

    @property
    def slots(self) -> int:
        """The tasks that can run at once, on the present nodes or those that are to come."""
        return self._limit or max(1, self._places)

    def submit(
        self, function: Callable[[Payload], Result], payload: Payload, timeout: float | None
    ) -> "Future[Result]":
        """Start `function(payload)` in a free slot, or queue it until one is free."""
        if self._is_closed:
            raise RuntimeError("The executor is closed.")
        folders = self._inputs.folders_of(payload) if self._inputs is not None else ()
        call = pickle.dumps((function, payload))
        task: _Task[Result] = _Task(next(self._numbers), call, timeout, folders)
        self._call(self._enqueue, task)
        return task

    def cancel(self, future: "Future[Result]") -> None:
        """End the task; the process that runs it is killed, and its slot stays."""
        assert isinstance(future, _Task)
        future.give_up()
        self._call(self._end, future)

    def reports(self, future: "Future[Any]") -> list[Any]:
        """Return what the task reported since the last call."""
        assert isinstance(future, _Task)
        return [future.told.popleft() for _ in range(len(future.told))]

    def stop(self, future: "Future[Any]") -> None:
        """Ask the task to end early; it notices at its next report, or 0.05 s later."""
        assert isinstance(future, _Task)
        if not future.done():
            self._call(self._ask_to_stop, future)

    def close(self) -> None:
        """End every slot and cancel every task."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            asyncio.run_coroutine_threadsafe(self._end_all(), self._loop).result()
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            if self._on_close is not None:
                self._on_close()

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._looking = self._loop.create_task(self._look_at_nodes())
        self._loop.run_forever()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.run_until_complete(self._loop.shutdown_default_executor())

    def _call(self, function: Callable[[_Task[Any]], None], task: _Task[Any]) -> None:
        with suppress(RuntimeError):  # the loop was closed, and every task with it
            self._loop.call_soon_threadsafe(function, task)

    def _enqueue(self, task: _Task[Any]) -> None:
        if self._is_closed:
            task.give_up()
            return
        self._unfinished.add(task)
        self._waiting.put_nowait(task)
        self._fill()

    def _end(self, task: _Task[Any]) -> None:
        if task.slot is None:
            self._unfinished.discard(task)
        else:
            task.slot.cancel.remote(task.number)

    def _ask_to_stop(self, task: _Task[Any]) -> None:
        task.is_stopped = True
        if task.slot is not None:
            task.slot.stop.remote(task.number)

    def _fill(self) -> None:
        """Start slots until there is one for each task, or as many as there may be."""
        while not self._is_closed and len(self._slots) < min(self.slots, len(self._unfinished)):
            actor = self._actor.options(
                num_cpus=self._resources.cpus,
                num_gpus=self._resources.gpus,
                scheduling_strategy="SPREAD",
            ).remote(self._options)
            slot = self._loop.create_task(self._run_slot(actor))
            self._slots[slot] = actor
            slot.add_done_callback(self._forget)

    def _forget(self, slot: "asyncio.Task[None]") -> None:
        actor = self._slots.pop(slot)
        self._placed.discard(actor)
        if not self._is_closed:  # else it may be ending its process
            ray.kill(actor)
        if not slot.cancelled() and (error := slot.exception()) is not None:
            log.error("a slot failed", exc_info=error)
        self._fill()

    async def _look_at_nodes(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                found = await self._loop.run_in_executor(None, nodes)
            except Exception as error:
                log.warning("the Ray cluster does not tell its nodes: %s", error)
                continue
            before, self._places = self._places, places(self._resources, found)
            if self._places != before:
                log.info("the Ray cluster has room for %d trials", self._places)
            self._fill()

    async def _run_slot(self, actor: Any) -> None:
        """Run tasks in one slot until none has come for a while, or its node or actor dies."""
        try:
            if (node := await self._takes_place(actor)) is not None:
                self._placed.add(actor)
                death = asyncio.ensure_future(_answer(actor.live.remote()))
                death.add_done_callback(_retrieve)
                while (task := await self._next_task(death)) is not None:
                    await self._run_task(actor, node, task)
                death.cancel()
        except RayError as error:
            log.warning("a slot was lost: %s", error)

    async def _takes_place(self, actor: Any) -> str | None:
        """Return the node of a slot once the cluster has started it; None if nothing waits for it.

        None also where it cannot be started, after a pause.
        """
        place = asyncio.ensure_future(_answer(actor.node.remote()))
        unneeded = 0.0  # seconds
        while not place.done() and unneeded < self._idle_seconds:
            await asyncio.wait({place}, timeout=_LOOK_SECONDS)
            unneeded = 0.0 if not self._waiting.empty() else unneeded + _LOOK_SECONDS
        if not place.done():
            place.cancel()
            return None
        try:
            return str(place.result())
        except RayError as error:
            log.error("a slot could not be started: %s", error)
            await asyncio.sleep(_AGAIN_AFTER)
            return None

    async def _next_task(self, death: "asyncio.Future[Any]") -> "_Task[Any] | None":
        """Wait for a task; None if none came for long, or the slot died: it takes no other."""
        while not death.done():
            coming = asyncio.ensure_future(self._waiting.get())
            first = asyncio.FIRST_COMPLETED
            await asyncio.wait({coming, death}, timeout=self._idle_seconds, return_when=first)
            if not coming.done():
                coming.cancel()
                return None
            if death.done():
                self._waiting.put_nowait(coming.result())
            elif not (task := coming.result()).done():
                return task
        return None

    async def _run_task(self, actor: Any, node: str, task: _Task[Any]) -> None:
        """Run a task to its end; raises RayError, having failed the task, if the slot is lost."""
        try:
            refs = await self._refs(task)
            if task.done():
                return
            task.slot = actor
            log.debug("task %d runs on node %s", task.number, node)
            news: News = await _answer(
                actor.run.remote(task.number, task.call, task.timeout, task.is_stopped, refs)
            )
            task.told.extend(news.reports)
            while news.outcome is None:
                news = await _answer(actor.follow.remote(task.number))
                task.told.extend(news.reports)
        except RayError as error:
            task.lose(error)
            raise
        finally:
            task.slot = None
            self._unfinished.discard(task)
        task.settle(news.outcome)

    async def _refs(self, task: _Task[Any]) -> dict[str, Any]:
        inputs = self._inputs
        if inputs is None:
            return {}
        if inputs.has(task.folders):
            return inputs.refs(task.folders)
        return await self._loop.run_in_executor(None, inputs.refs, task.folders)

    async def _end_all(self) -> None:
        """Cancel every task, let the slots end their processes, and kill them."""
        for task in self._unfinished:
            task.give_up()
        slots = dict(self._slots)
        ending = [asyncio.ensure_future(_answer(each.close.remote())) for each in self._placed]
        for each in ending:
            each.add_done_callback(_retrieve)  # a slot may have died just now
        if ending:
            await asyncio.wait(ending, timeout=_CLOSED_WITHIN)
        for slot, actor in slots.items():
            slot.cancel()
            ray.kill(actor)
        await asyncio.gather(*slots, return_exceptions=True)


def _retrieve(call: "asyncio.Future[Any]") -> None:
    """Take the error of a call that may fail, so that asyncio does not log it."""
    if not call.cancelled():
        call.exception()


async def _answer(ref: Any) -> Any:
    return await ref
