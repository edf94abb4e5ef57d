"""The reference trainer: `keras.Model.fit` for every run."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework import ops

from models.data.preparation.tasks import Task
from models.networks import families
from models.networks.averaging import members_of
from models.networks.optimizers import plateau_callbacks
from models.networks.size import rows_at_once
from models.space.hyperparameters import value
from models.trials.trainers.base import (
    Array,
    Recorder,
    Report,
    Run,
    RunResult,
    TrainingData,
    epoch_order,
)

# Batches in one call of the compiled step. Keras returns to Python between calls only, which takes
# 1 ms, but compiling several takes 0.3 s more than compiling one: worth it in long trainings only.
_BATCHES_PER_CALL = 64
_LONG_TRAINING = 1000  # batches
_CUSTOM_GRADIENT = "CustomGradient-"


class KerasTrainer:
    """Trains one run after the other in this process."""

    name = "keras"

    def train(
        self, runs: Sequence[Run], data: Sequence[TrainingData], report: Report | None = None
    ) -> list[RunResult]:
        """Train each run, as `models.trials.trainers.base.Trainer.train` defines."""
        results: list[RunResult] = []
        for run in runs:
            try:
                with released():
                    results.append(_train(run, data[run.fold], report))
            except tf.errors.ResourceExhaustedError as error:
                raise MemoryError(error.message) from None
            if results[-1].diverged or results[-1].stopped:
                break
        return results


@contextmanager
def released() -> Iterator[None]:
    """Free the networks built inside the block, compiled graphs included, at its end.

    `keras.backend.clear_session` is not enough: TensorFlow registers a gradient for each compiled
    step, under a name of its own, which keeps the step's graph (7 MB) as long as the process
    lives. See https://github.com/keras-team/tf-keras/pull/898 for the cause.
    """
    before = set(ops.gradient_registry.list())
    try:
        yield
    finally:
        for name in set(ops.gradient_registry.list()) - before:
            if name.startswith(_CUSTOM_GRADIENT):
                del ops.gradient_registry._registry[name]
        keras.backend.clear_session()


def forward(model: keras.Model, *inputs: Array) -> Array:
    """Return the outputs of `model`, (rows, units), for preprocessed rows; one array an input.

    Rows are passed in pieces that fit in memory.
    """
    count = max(predictions_of(each.network) for each in members_of(model))
    rows = min(rows_at_once(x.shape[1:], count) for x in inputs)
    pieces = []
    for start in range(0, len(inputs[0]), rows):
        piece = [x[start : start + rows] for x in inputs]
        pieces.append(np.asarray(model(piece if len(piece) > 1 else piece[0], training=False)))
    return np.concatenate(pieces)


def predictions_of(model: keras.Model) -> int:
    """Return how many predictions of a row a trained network averages."""
    before = model.layers[-1].input.shape
    return int(before[1]) if len(before) == 3 else 1


def _train(run: Run, data: TrainingData, report: Report | None) -> RunResult:
    started = time.perf_counter()
    keras.utils.set_random_seed(run.seed)
    batch = int(value(run.values, "batch_size"))
    batches = math.ceil(len(data.x_train) / batch)
    model = families.build(
        run.network,
        run.values,
        data.inputs,
        data.outputs,
        run.seed,
        run.steps(len(data.x_train)),
    )
    if batches * (run.epochs - run.initial_epoch) > _LONG_TRAINING:
        model.steps_per_execution = min(batches, _BATCHES_PER_CALL)
    if run.initial_weights is not None:
        model.set_weights(list(run.initial_weights))
    recording = _Recording(run, data, report)
    model.fit(
        _shuffled(data, batch, recording.order),
        validation_data=_in_order(data, predictions_of(model)),
        initial_epoch=run.initial_epoch,
        epochs=run.epochs,
        callbacks=[recording, *plateau_callbacks(run.values, f"val_{families.TASK_LOSS}")],
        shuffle=False,
        verbose=0,
    )
    seconds = time.perf_counter() - started
    if recording.recorder.best_epoch:
        model.set_weights(recording.best_weights)
    validation = forward(model, data.x_validation)
    training = validation if data.x_train is data.x_validation else forward(model, data.x_train)
    return recording.recorder.result(
        recording.best_weights, validation, training, int(model.count_params()), seconds
    )


class _Recording(keras.callbacks.Callback):  # type: ignore[misc]
    """Sets the order of rows, records each epoch, keeps the best weights, ends the run."""

    def __init__(self, run: Run, data: TrainingData, report: Report | None) -> None:
        super().__init__()
        self.recorder = Recorder(run, data, report)
        self.best_weights: list[Array] = []
        # tf.data reads rows on the CPU, also where the network is on a GPU.
        with tf.device("CPU:0"):
            self.order = tf.Variable(tf.range(len(data.x_train), dtype=tf.int64), trainable=False)
        self._run = run
        self._x_validation = data.x_validation
        self._companion = data.outputs.companion
        # Keras divides a weighted metric by the weights of all rows, but the loss by their number.
        weights = data.weights_train
        self._mean_weight = 1.0 if weights is None else float(weights.mean(dtype=np.float64))

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        """Shuffle the rows; Keras counts epochs from 0."""
        self.order.assign(epoch_order(self._run.seed, epoch, self.order.shape[0]))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Record and report the epoch."""
        figures = {name: float(figure) for name, figure in (logs or {}).items()}
        loss, companion = families.TASK_LOSS, self._companion
        keep = self.recorder.record(
            epoch + 1,
            figures[loss] * self._mean_weight,
            figures[f"val_{loss}"],
            figures[companion],
            figures[f"val_{companion}"],
            lambda: forward(self.model, self._x_validation),
        )
        if keep:
            self.best_weights = self.model.get_weights()
        self.model.stop_training = self.recorder.ended


def _shuffled(data: TrainingData, batch: int, order: tf.Variable) -> tf.data.Dataset:
    """Return batches of the rows that `order` numbers at the time of reading.

    A batch is (x, y), or (x, y, weights) where rows have weights.
    """
    # tf.data runs on the CPU; rows on a GPU would be copied back and forth.
    with tf.device("CPU:0"):
        parts = [tf.constant(data.x_train), tf.constant(_as_column(data.y_train, data))]
        if data.weights_train is not None:
            parts.append(tf.constant(data.weights_train))

    def gather(positions: tf.Tensor) -> tuple[tf.Tensor, ...]:
        chosen = tf.gather(order, positions)
        return tuple(tf.gather(part, chosen) for part in parts)

    return _plain(tf.data.Dataset.range(len(data.x_train)).batch(batch).map(gather))


def _in_order(data: TrainingData, members: int) -> tf.data.Dataset:
    pair = (data.x_validation, _as_column(data.y_validation, data))
    rows = rows_at_once(data.input_shape, members)
    return _plain(tf.data.Dataset.from_tensor_slices(pair).batch(rows))


def _plain(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Turn off the graph rewriting that tf.data repeats each epoch.

    It takes longer than an epoch of a small network: 30 ms against 3 ms, measured on two cores.
    """
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    options.autotune.enabled = False
    options.threading.private_threadpool_size = 1
    return dataset.with_options(options)


def _as_column(y: Array, data: TrainingData) -> Array:
    return y if data.outputs.task is Task.MULTICLASS else y.reshape(-1, 1)
