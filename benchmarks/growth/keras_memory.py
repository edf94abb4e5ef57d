"""Keras's `fit`, one network after the other, watching the memory of the process."""

from collections.abc import Callable
from typing import Any

import keras
import psutil

from benchmarks.tuning.contestants.keras_loop import build, fit, start
from benchmarks.tuning.task import Task, Turns, load


def prepare(task: Task, turns: Turns) -> Callable[[], Any]:
    """The function answers the resident bytes after each network."""
    (fold,) = load(task.rows)
    start(task, fold)
    process = psutil.Process()

    def run() -> list[int]:
        held = []
        for number in turns:
            keras.backend.clear_session()
            fit(build(task.networks[number], task, fold), task, fold)
            held.append(process.memory_info().rss)
        return held

    return run
