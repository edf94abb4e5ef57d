"""Time a contestant in fresh processes, from the word go until the last one is done."""

import importlib
import os
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from benchmarks.tuning.task import Task, Turns

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_LOG = "processes.log"
_LIMIT = 900.0  # seconds for one answer


class ContestantFailed(Exception):
    """A process of a contestant failed; the text says how."""


def measure(module: str, task: Task, *, until_true: bool = False) -> tuple[float, list[Any]]:
    """Seconds until every process is done, and what each answered.

    `module` has `prepare(task, turns)`, which imports, loads and warms up, and answers a function
    that trains. Only that function is timed. With `until_true` the first process that answers True
    ends the rest. Raises ContestantFailed.
    """
    context = get_context("spawn")
    turns = Turns(context, len(task.networks))
    with ExitStack() as running:
        connections = []
        for process in range(task.processes):
            mine, other = context.Pipe()
            arguments = (module, replace(task, process=process), turns, other)
            child = context.Process(target=_work, args=arguments, daemon=True)
            with _environment(task):
                child.start()
            running.callback(_end, child)
            other.close()
            connections.append(mine)
        for connection in connections:
            _receive(connection, task)
        started = time.perf_counter()
        for connection in connections:
            connection.send("go")
        answers = []
        while connections and not (until_true and True in answers):
            for connection in wait(connections, _LIMIT) or connections:
                answers.append(_receive(connection, task))
                connections.remove(connection)
        return time.perf_counter() - started, answers


def _work(module: str, task: Task, turns: Turns, connection: Connection) -> None:
    """In the process: get ready, say so, wait for the word, train, answer."""
    # Libraries write to both while they are imported.
    log = os.open(Path(task.folder) / _LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        train = importlib.import_module(module).prepare(task, turns)
        connection.send(("ready", None))
        connection.recv()
        connection.send(("done", train()))
    except Exception:
        connection.send(("failed", traceback.format_exc()))


def _receive(connection: Connection, task: Task) -> Any:
    try:
        if not connection.poll(_LIMIT):
            raise ContestantFailed(f"no answer within {_LIMIT:g} s")
        word, answer = connection.recv()
    except EOFError:
        log = (Path(task.folder) / _LOG).read_text(errors="replace")
        raise ContestantFailed(f"a process died; its last words: {log[-500:]}") from None
    if word == "failed":
        raise ContestantFailed(answer)
    return answer


def _end(child: SpawnProcess) -> None:
    child.kill()
    child.join()


@contextmanager
def _environment(task: Task) -> Iterator[None]:
    """What the processes find in their environment; libraries read it when they are imported."""
    before = dict(os.environ)
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    if task.threads is not None:
        os.environ |= dict.fromkeys(_THREADS, str(task.threads))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
