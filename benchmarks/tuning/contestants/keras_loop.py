"""A loop over trials and folds around Keras's `fit`."""

from collections.abc import Callable
from typing import Any

import keras

from benchmarks.tuning.contestants.keras_models import build, fit, start
from benchmarks.tuning.rows import Fold, load
from benchmarks.tuning.task import Layers, Task, Turns, in_turns


def prepare(task: Task, turns: Turns) -> Callable[[], Any]:
    """Free each model before the next is built."""
    start(task, load(task.rows)[0])

    def train(layers: Layers, fold: Fold, seed: int) -> None:
        keras.backend.clear_session()
        keras.utils.set_random_seed(seed)
        fit(build(layers, task, fold), task, fold)

    return in_turns(task, turns, train)
