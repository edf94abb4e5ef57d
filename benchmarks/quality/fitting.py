"""Train a contender in a process of its own, which is ended when its time is over."""

import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.quality.adapters import Model
from benchmarks.quality.contenders import CONTENDERS
from benchmarks.quality.tables import Case

THREADS = 2
ROWS_TIMED = 30  # predictions of one row, after some that are not counted
ROWS_UNTIMED = 3
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_READY, _TRAINED = "ready", "trained"
_IMPORTING, _PREDICTING = 300.0, 600.0  # seconds, at most
# A library that keeps a limit by itself may be late: it looks between two steps.
_LATE, _LATE_SECONDS = 1.25, 10.0

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a contender on one case."""

    state: str  # done, ended (at the limit) or failed
    seconds: float  # of training
    predictions: Array | None = None
    bytes: int | None = None  # of the files that predictions need
    row_ms: float | None = None  # milliseconds of predicting one row, the median
    covered: float | None = None  # share of test rows in their 90 % interval; Luthier's alone
    reason: str | None = None  # why it was ended or failed


def run_contender(name: str, case: Case, limit: float) -> Outcome:
    """Train a contender on a case for at most `limit` seconds and predict its test rows.

    Imports are not counted. The process is killed with all that it started when the time is over.
    """
    with TemporaryDirectory() as folder:
        return _run(name, case, limit, folder)


def _run(name: str, case: Case, limit: float, folder: str) -> Outcome:
    contender = CONTENDERS[name]
    allowed = limit * _LATE + _LATE_SECONDS if contender.keeps_limit else limit
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=_work, args=(theirs, name, case, limit))
    with _environment(folder):
        child.start()
    theirs.close()
    started = time.monotonic()
    try:
        for awaited, patience in _stages(allowed):
            if not ours.poll(patience):
                state = "ended" if awaited == _TRAINED else "failed"
                reason = f"not {awaited} within {patience:.0f} s"
                return Outcome(state, time.monotonic() - started, reason=reason)
            message = ours.recv()
            if isinstance(message, Outcome):
                return message
            if awaited == _READY:
                started = time.monotonic()
                ours.send("fit")
        raise AssertionError("the last message is an outcome")
    except EOFError:
        return Outcome("failed", time.monotonic() - started, reason="its process died")
    finally:
        _kill(child)


def time_rows(predict: Callable[[], object]) -> float:
    """Return the median of the milliseconds that calls of `predict` take."""
    for _ in range(ROWS_UNTIMED):
        predict()
    times = []
    for _ in range(ROWS_TIMED):
        started = time.perf_counter()
        predict()
        times.append(1000 * (time.perf_counter() - started))
    return median(times)


def _stages(allowed: float) -> Sequence[tuple[str, float]]:
    """Return the messages of the process in order, each with the seconds to wait for it."""
    return ((_READY, _IMPORTING), (_TRAINED, allowed), ("done", _PREDICTING))


def _work(connection: Connection, name: str, case: Case, limit: float) -> None:
    """In the process: get ready, say so, wait for the word, train, answer."""
    os.setsid()
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    started = time.monotonic()
    try:
        model = CONTENDERS[name].make(case.table.has_classes, THREADS)
        connection.send(_READY)
        connection.recv()
        started = time.monotonic()
        x, target, rows, _ = case.parts()
        model.fit(x, _numbers(target, case.classes), limit)
        seconds = time.monotonic() - started
        connection.send(_TRAINED)
        connection.send(_answer(model, rows, seconds))
    except Exception as error:
        reason = "".join(traceback.format_exception_only(error)).strip()
        connection.send(Outcome("failed", time.monotonic() - started, reason=reason))


def _numbers(target: "pd.Series[Any]", classes: Sequence[str]) -> Array:
    """Return a target as numbers; of classes, the places of the labels."""
    if not classes:
        return target.to_numpy(float)
    places = {label: place for place, label in enumerate(classes)}
    return target.map(places).to_numpy(int)


def _answer(model: Model, rows: pd.DataFrame, seconds: float) -> Outcome:
    predictions = model.predict(rows)
    with TemporaryDirectory() as folder:
        model.save(Path(folder))
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    row_ms = time_rows(lambda: model.predict(rows.iloc[:1]))
    return Outcome("done", seconds, predictions, size, row_ms)


def _kill(child: SpawnProcess) -> None:
    """End a process and what it started; it leads a group of its own."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.kill()
    child.join()


@contextmanager
def _environment(folder: str) -> Iterator[None]:
    """Set threads and the folder of temporary files for processes that start meanwhile."""
    before = dict(os.environ)
    os.environ["TMPDIR"] = folder
    os.environ |= dict.fromkeys(_THREAD_VARIABLES, str(THREADS))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
