"""The fast trainer of multilayer perceptrons: NumPy, one step after the other, no graph.

The arithmetic of a small network takes 0.1 s a trial, where building, tracing and stepping through
its Keras model takes seconds. Here a step is a few dozen calls of NumPy and BLAS. The results are
those of the reference trainer up to rounding, apart from dropout's random choices.
"""

import ctypes
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np

from models.networks.inputs import plan_stage
from models.space.hyperparameters import value
from models.trials.trainers.base import (
    Array,
    Floats,
    Recorder,
    Report,
    Run,
    RunResult,
    TrainingData,
    epoch_order,
)
from models.trials.trainers.numpy.layout import Weights, initialize, plan_layers
from models.trials.trainers.numpy.losses import create_loss
from models.trials.trainers.numpy.network import Descent, NetworkPass
from models.trials.trainers.numpy.optimizers import Rates

# Rows of one pass in which nothing is learned.
_FORWARD_ROWS = 2048
_MAX_WAVES = 2**23  # of all rows of such a pass; there are three arrays of them
# Separates the random numbers of dropout from those of the order of rows.
_DROPOUT_STREAM = 1


class NumpyTrainer:
    """Trains one run after the other in this process, on the CPU."""

    name = "numpy"

    def train(
        self, runs: Sequence[Run], data: Sequence[TrainingData], report: Report | None = None
    ) -> list[RunResult]:
        """Train each run, as `models.trials.trainers.base.Trainer.train` defines."""
        results: list[RunResult] = []
        # Numbers that are not finite are found at the end of an epoch.
        with np.errstate(all="ignore"), subnormals_flushed():
            for run in runs:
                results.append(_Training(run, data[run.fold]).train(report))
                if results[-1].diverged or results[-1].stopped:
                    break
        return results


class _Training:
    """One run: its network, its optimizer and its data, in memory allocated once."""

    def __init__(self, run: Run, data: TrainingData) -> None:
        self._started = time.perf_counter()
        self._run, self._data = run, data
        self._loss = create_loss(data.outputs, run.values)
        self._rows = len(data.x_train)
        self._batch = min(int(value(run.values, "batch_size")), self._rows)
        self._x = _with_ones(data.x_train)
        same_rows = data.x_validation is data.x_train
        self._x_validation = self._x if same_rows else _with_ones(data.x_validation)
        stage = plan_stage(run.values, data.inputs)
        features = data.inputs.features if stage is None else stage.outputs
        self._plans = plan_layers(run.values, features, data.outputs)
        self._weights, self._best = Weights(self._plans, stage), Weights(self._plans, stage)
        if run.initial_weights is None:
            initialize(self._weights, self._plans, run.values, run.seed)
        else:
            self._weights.load(run.initial_weights)
        self._members = self._plans[-1].members
        self._descent = Descent(run.values, self._plans, self._weights)
        self._learning: dict[int, NetworkPass] = {}  # by number of rows
        self._inferring: dict[int, NetworkPass] = {}
        waves = 0 if stage is None else stage.waves
        fitting = min(_FORWARD_ROWS // self._members, _MAX_WAVES // max(1, waves))
        self._at_once = max(1, fitting)
        self._rates = Rates.of(run.values, run.steps(self._rows))
        self._steps_done = 0

    def train(self, report: Report | None) -> RunResult:
        run, recorder = self._run, Recorder(self._run, self._data, report)
        for epoch in range(run.initial_epoch, run.epochs):
            loss, companion = self._train_epoch(epoch)
            scores = self._scores(self._x_validation)
            val_loss, val_companion = self._loss.figures(scores, self._data.y_validation)
            if recorder.record(
                epoch + 1,
                loss,
                val_loss,
                companion,
                val_companion,
                partial(self._loss.answers, scores),
            ):
                self._best.copy_from(self._weights)
            if recorder.ended:
                break
            self._rates.end_epoch(val_loss)
        return self._finish(recorder)

    def _train_epoch(self, epoch: int) -> tuple[float, float]:
        """Take every step of an epoch; return the figures of its batches before their steps."""
        order = epoch_order(self._run.seed, epoch, self._rows)
        noise = np.random.SFC64([self._run.seed, epoch, _DROPOUT_STREAM])
        truth = self._data.y_train[order]
        weights = None if self._data.weights_train is None else self._data.weights_train[order]
        units, members = self._data.outputs.units, self._members
        scores = np.empty((units, members, self._rows), np.float32)
        for start in range(0, self._rows, self._batch):
            batch = slice(start, min(start + self._batch, self._rows))
            network = self._learning_pass(batch.stop - start)
            signal = self._x[order[batch]].T
            learned = network.learn(signal, noise)
            scores[:, :, batch] = learned.reshape(units, members, -1)
            slope = self._loss.gradient(
                learned,
                self._for_members(truth[batch]),
                None if weights is None else self._for_members(weights[batch]),
            )
            rate = self._rates.at(self._steps_done)
            self._steps_done += 1
            network.descend(signal, slope, rate, self._steps_done)
        return self._loss.figures(
            scores.reshape(units, -1),
            self._for_members(truth),
            None if weights is None else self._for_members(weights),
        )

    def _for_members(self, rows: Array) -> Array:
        """Repeat the figures of rows for each member: (rows,) -> (members * rows,)."""
        return rows if self._members == 1 else np.tile(rows, self._members)

    def _learning_pass(self, rows: int) -> NetworkPass:
        if rows not in self._learning:
            self._learning[rows] = NetworkPass(self._plans, self._weights, rows, self._descent)
        return self._learning[rows]

    def _scores(self, x: Floats) -> Floats:
        """Return the scores, (units, rows), of rows with their ones; of members, the merged."""
        pieces = []
        for start in range(0, len(x), self._at_once):
            piece = x[start : start + self._at_once]
            rows = len(piece)
            if rows not in self._inferring:
                self._inferring[rows] = NetworkPass(self._plans, self._weights, rows)
            scores = self._inferring[rows].infer(piece.T)
            if self._members == 1:
                pieces.append(scores.copy())
            else:
                pieces.append(self._loss.merge(scores.reshape(len(scores), self._members, rows)))
        return np.concatenate(pieces, axis=1)

    def _finish(self, recorder: Recorder) -> RunResult:
        seconds = time.perf_counter() - self._started
        if recorder.best_epoch:
            self._weights.copy_from(self._best)
        validation = self._loss.answers(self._scores(self._x_validation))
        training = validation
        if self._x is not self._x_validation:
            training = self._loss.answers(self._scores(self._x))
        weights = self._weights.arrays() if recorder.best_epoch else []
        return recorder.result(weights, validation, training, self._weights.size, seconds)


def _with_ones(x: Array) -> Floats:
    """Return the rows flattened, (rows, features + 1); the ones multiply the bias."""
    flat = x.reshape(len(x), -1)
    result = np.ones((len(flat), flat.shape[1] + 1), np.float32)
    result[:, :-1] = flat
    return result


# By machine: the offset of the vector unit's control word in the C library's `fenv_t`, and the
# bits that flush subnormal inputs and outputs.
_MACHINES = {"x86_64": (28, 0x8040), "aarch64": (0, 1 << 24)}
_CONTROL = _MACHINES.get(platform.machine()) if sys.platform.startswith("linux") else None
_FENV_SIZE = 64  # bytes; no `fenv_t` is larger
_LIBRARY = ctypes.CDLL(None) if _CONTROL is not None else None


@contextmanager
def subnormals_flushed() -> Iterator[None]:
    """Treat subnormal numbers as 0 in this thread, as TensorFlow does; on Linux only.

    Where a loss vanishes, the squares of its gradients fall below float32's smallest normal
    number, 1.2e-38, and arithmetic with such numbers is about a hundred times as slow.
    """
    if _CONTROL is None or _LIBRARY is None:
        yield
        return
    offset, bits = _CONTROL
    before = ctypes.create_string_buffer(_FENV_SIZE)
    _LIBRARY.fegetenv(before)
    flushing = ctypes.create_string_buffer(before.raw, _FENV_SIZE)
    control = ctypes.c_uint32.from_buffer(flushing, offset)
    control.value |= bits
    _LIBRARY.fesetenv(flushing)
    try:
        yield
    finally:
        _LIBRARY.fesetenv(before)
