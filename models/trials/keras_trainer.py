"""The reference trainer: every run by `keras.Model.fit`."""

import math
import time
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from models.data.tasks import Task
from models.networks import families
from models.networks.optimizers import Steps, plateau_callbacks
from models.networks.passes import rows_at_once
from models.networks.values import value
from models.trials.memory import released
from models.trials.recording import Recorder
from models.trials.trainer import Array, EpochReport, Report, Run, RunResult, TrainingData

# Batches in one call of the compiled step. Keras returns to Python only between calls, which takes
# 1 ms, but compiling several takes 0.3 s more than compiling one: it pays in long trainings only.
_BATCHES_PER_CALL = 64
_LONG_TRAINING = 1000


class KerasTrainer:
    """Trains one run after the other in this process."""

    def train(
        self, runs: Sequence[Run], data: Sequence[TrainingData], report: Report | None = None
    ) -> list[RunResult]:
        """As `models.trials.trainer.Trainer` says."""
        results: list[RunResult] = []
        for run in runs:
            try:
                with released():
                    results.append(_train(run, data[run.fold], report))
            except tf.errors.ResourceExhaustedError as error:
                raise MemoryError(error.message) from None
            if results[-1].diverged:
                break
        return results


def _train(run: Run, data: TrainingData, report: Report | None) -> RunResult:
    started = time.perf_counter()
    keras.utils.set_random_seed(run.seed)
    batch = int(value(run.values, "batch_size"))
    batches = math.ceil(len(data.x_train) / batch)
    model = families.build(
        run.network,
        run.values,
        data.input_shape,
        data.outputs,
        run.seed,
        Steps(total=batches * run.epochs, done=batches * run.initial_epoch),
    )
    if batches * (run.epochs - run.initial_epoch) > _LONG_TRAINING:
        model.steps_per_execution = min(batches, _BATCHES_PER_CALL)
    if run.initial_weights is not None:
        model.set_weights(list(run.initial_weights))
    recorder = _recorder(run, data)
    callbacks = [recorder, *plateau_callbacks(run.values, f"val_{families.TASK_LOSS}")]
    if report is not None:
        callbacks.append(_reporting(run, recorder, report))
    model.fit(
        _shuffled(data, batch, run.seed),
        validation_data=_in_order(data),
        initial_epoch=run.initial_epoch,
        epochs=run.epochs,
        callbacks=callbacks,
        shuffle=False,
        verbose=0,
    )
    return _finish(model, recorder, data, run, time.perf_counter() - started)


def _finish(
    model: keras.Model, recorder: Recorder, data: TrainingData, run: Run, seconds: float
) -> RunResult:
    if recorder.best_epoch:
        model.set_weights(recorder.best_weights)
    validation_outputs = forward(model, data.x_validation)
    training_outputs = (
        validation_outputs if data.x_train is data.x_validation else forward(model, data.x_train)
    )
    finite = np.isfinite(validation_outputs).all() and np.isfinite(training_outputs).all()
    return RunResult(
        weights=recorder.best_weights,
        best_epoch=recorder.best_epoch,
        epochs=run.initial_epoch + len(recorder.history["loss"]),
        history=recorder.history,
        validation_outputs=validation_outputs,
        training_outputs=training_outputs,
        parameters=int(model.count_params()),
        seconds=seconds,
        diverged=recorder.diverged or not finite,
    )


def forward(model: keras.Model, x: Array) -> Array:
    """The outputs of `model` for preprocessed rows, (rows, units), in pieces that fit in memory."""
    rows = rows_at_once(x.shape[1:])
    pieces = [
        np.asarray(model(x[start : start + rows], training=False))
        for start in range(0, len(x), rows)
    ]
    return np.concatenate(pieces)


def _recorder(run: Run, data: TrainingData) -> Recorder:
    regression = data.outputs.task is Task.REGRESSION
    return Recorder(
        companion=data.outputs.companion,
        loss_unit=data.target_scale**2 if regression else 1.0,
        companion_unit=data.target_scale if regression else 1.0,
        early_stopping=run.early_stopping,
    )


def _reporting(run: Run, recorder: Recorder, report: Report) -> keras.callbacks.Callback:
    def tell(epoch: int, logs: object) -> None:
        latest = {name: figures[-1] for name, figures in recorder.history.items()}
        report(EpochReport(run.fold, run.execution, epoch + 1, latest))

    return keras.callbacks.LambdaCallback(on_epoch_end=tell)


def _shuffled(data: TrainingData, batch: int, seed: int) -> tf.data.Dataset:
    """Batches in a new order every epoch: row numbers are shuffled, then their rows gathered."""
    # On a GPU the rows would travel back and forth: tf.data runs on the CPU.
    with tf.device("CPU:0"):
        x, y = tf.constant(data.x_train), tf.constant(_as_column(data.y_train, data))
    rows = len(data.x_train)
    order = tf.data.Dataset.range(rows).shuffle(rows, seed, reshuffle_each_iteration=True)
    return _plain(
        order.batch(batch).map(lambda chosen: (tf.gather(x, chosen), tf.gather(y, chosen)))
    )


def _in_order(data: TrainingData) -> tf.data.Dataset:
    pair = (data.x_validation, _as_column(data.y_validation, data))
    return _plain(tf.data.Dataset.from_tensor_slices(pair).batch(rows_at_once(data.input_shape)))


def _plain(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Without the graph rewriting that tf.data repeats each epoch: it takes longer than an epoch
    of a small network (measured on two cores: 30 ms against 3 ms)."""
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    options.autotune.enabled = False
    options.threading.private_threadpool_size = 1
    return dataset.with_options(options)


def _as_column(y: Array, data: TrainingData) -> Array:
    return y if data.outputs.task is Task.MULTICLASS else y.reshape(-1, 1)
