"""Keras Tuner's `RandomSearch` over a list of networks.

Several processes search a part of the list each. Keras Tuner could share one search between them
through a server of its own, which here would only add its calls.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_tuner

from benchmarks.tuning.contestants.keras_loop import build, fit_arguments, start
from benchmarks.tuning.task import Task, Turns, load, part


def prepare(task: Task, turns: Turns) -> Callable[[], Any]:
    """Draw each network of the part once, in random order; the function answers how many."""
    (fold,) = load(task.rows)
    start(task, fold)
    networks = part(task.networks, task.process, task.processes)

    def build_drawn(hp: keras_tuner.HyperParameters) -> keras.Model:
        return build(networks[hp.Int("network", 0, len(networks) - 1)], task, fold)

    tuner = keras_tuner.RandomSearch(
        build_drawn,
        "val_loss",
        max_trials=len(networks),
        seed=1,
        executions_per_trial=task.executions,
        directory=Path(task.folder) / str(task.process),
    )
    # It gives up after a few draws of what it knows; here the last network must be found too.
    tuner.oracle._max_collisions = 1000

    def run() -> None:
        tuner.search(fold.x_train, fold.y_train, **fit_arguments(task, fold))
        if len(tuner.oracle.end_order) != len(networks):
            raise RuntimeError("The search ended before every network was trained.")

    return run
