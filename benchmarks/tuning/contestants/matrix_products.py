"""The matrix products of training alone: what no arithmetic in NumPy can do without."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.tuning.rows import Array, Fold
from benchmarks.tuning.task import Layers, Task, Turns, in_turns

Layer = tuple[Array, Array, Array]  # weights, signal, gradient


def prepare(task: Task, turns: Turns) -> Callable[[], Any]:
    """Do the products of every step, and of the validation after every epoch."""

    def train(layers: Layers, fold: Fold, seed: int) -> None:
        multiply(layers, fold, task.batch, task.epochs)

    return in_turns(task, turns, train)


def multiply(layers: Layers, fold: Fold, batch: int, epochs: int) -> None:
    """The products of one training, in memory that is taken once."""
    rows, features = fold.x_train.shape
    sizes = (features, *layers, fold.classes)
    batches = [batch] * (rows // batch) + [rows % batch] * (rows % batch > 0)
    steps = {count: _arrays(sizes, count) for count in set(batches)}
    validation = _arrays(sizes, len(fold.x_validation))
    for _ in range(epochs):
        for count in batches:
            for number, (weights, signal, gradient) in enumerate(steps[count]):
                np.matmul(weights.T, signal)
                np.matmul(signal, gradient.T)
                if number:
                    np.matmul(weights, gradient)
        for weights, signal, _ in validation:
            np.matmul(weights.T, signal)


def _arrays(sizes: tuple[int, ...], rows: int) -> list[Layer]:
    draw = np.random.default_rng(0)

    def numbers(*shape: int) -> Array:
        return draw.standard_normal(shape, dtype=np.float32)

    return [
        (numbers(inputs, units), numbers(inputs, rows), numbers(units, rows))
        for inputs, units in pairwise(sizes)
    ]
