"""The matrix products of training alone: what no arithmetic in NumPy can do without."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.tuning.task import Array, Fold, Layers, Task, Turns, in_turns


def prepare(task: Task, turns: Turns) -> Callable[[], Any]:
    """Do the products of every step, and of the validation after every epoch."""

    def train(layers: Layers, fold: Fold, seed: int) -> None:
        multiply(layers, fold, task.batch, task.epochs)

    return in_turns(task, turns, train)


def multiply(layers: Layers, fold: Fold, batch: int, epochs: int) -> None:
    """The products of one training, in memory that is taken once."""
    rows, features = fold.x_train.shape
    weights = [_numbers(*pair) for pair in pairwise((features, *layers, fold.classes))]
    batches = [batch] * (rows // batch) + [rows % batch] * (rows % batch > 0)
    steps = {count: [_Layer(matrix, count) for matrix in weights] for count in set(batches)}
    validation = [_Layer(matrix, len(fold.x_validation)) for matrix in weights]
    for _ in range(epochs):
        for count in batches:
            for layer in steps[count]:
                layer.forward()
            for number in range(len(weights) - 1, -1, -1):
                steps[count][number].back(with_inputs=number > 0)
        for layer in validation:
            layer.forward()


class _Layer:
    """The arrays of one layer for a number of rows, feature-major as in the trainer."""

    def __init__(self, weights: Array, rows: int) -> None:
        inputs, units = weights.shape
        self._weights = weights
        self._signal, self._gradient = _numbers(inputs, rows), _numbers(units, rows)
        self._output, self._before = _numbers(units, rows), _numbers(inputs, rows)
        self._slope = _numbers(inputs, units)

    def forward(self) -> None:
        np.matmul(self._weights.T, self._signal, out=self._output)

    def back(self, *, with_inputs: bool) -> None:
        np.matmul(self._signal, self._gradient.T, out=self._slope)
        if with_inputs:
            np.matmul(self._weights, self._gradient, out=self._before)


def _numbers(*shape: int) -> Array:
    # Any will do that are neither 0 nor grow.
    return np.full(shape, 0.01, np.float32)
