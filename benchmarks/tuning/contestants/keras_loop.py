"""Keras as its guides use it: a `Sequential` model, compiled and fitted in a loop."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from benchmarks.tuning.task import Fold, Layers, Task, Turns, in_turns, load

_LAST = {"regression": "linear", "binary": "sigmoid", "multiclass": "softmax"}
_LOSSES = {
    "regression": "mse",
    "binary": "binary_crossentropy",
    "multiclass": "sparse_categorical_crossentropy",
}


def start(task: Task, fold: Fold) -> None:
    """Set the threads and train one tiny network."""
    if task.threads is not None:
        tf.config.threading.set_intra_op_parallelism_threads(task.threads)
        tf.config.threading.set_inter_op_parallelism_threads(task.threads)
    fit(build((8,), task, fold), task, fold, epochs=1)


def build(layers: Layers, task: Task, fold: Fold, learning_rate: float = 1e-3) -> keras.Model:
    """A compiled network."""
    model = keras.Sequential(
        [
            keras.Input(fold.x_train.shape[1:]),
            *(keras.layers.Dense(units, activation="relu") for units in layers),
            keras.layers.Dense(fold.classes, activation=_LAST[task.kind]),
        ]
    )
    metric = "mae" if task.kind == "regression" else "accuracy"
    adam = keras.optimizers.Adam(learning_rate)
    model.compile(adam, _LOSSES[task.kind], metrics=[metric])
    return model


def fit(model: keras.Model, task: Task, fold: Fold, epochs: int | None = None) -> float:
    """Train it and answer its least validation loss."""
    history = model.fit(fold.x_train, fold.y_train, **fit_arguments(task, fold, epochs))
    return float(min(history.history["val_loss"]))


def fit_arguments(task: Task, fold: Fold, epochs: int | None = None) -> dict[str, Any]:
    """What `fit` is called with beside the rows to train on."""
    return {
        "validation_data": (fold.x_validation, fold.y_validation),
        "epochs": epochs or task.epochs,
        "batch_size": task.batch,
        "verbose": 0,
    }


def prepare(task: Task, turns: Turns) -> Callable[[], Any]:
    """Free each model before the next is built."""
    start(task, load(task.rows)[0])

    def train(layers: Layers, fold: Fold, seed: int) -> None:
        keras.backend.clear_session()
        keras.utils.set_random_seed(seed)
        fit(build(layers, task, fold), task, fold)

    return in_turns(task, turns, train)
