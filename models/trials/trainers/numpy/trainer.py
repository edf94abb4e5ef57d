"""The fast trainer of multilayer perceptrons: NumPy, one step after the other, no graph.

A network of a trial is small: its arithmetic takes 0.1 s where building, tracing and stepping
through its Keras model takes seconds. Here a step is a few dozen calls of NumPy and BLAS. The
answers are those of the reference trainer up to rounding, dropout's random choices apart.
"""

import time
from collections.abc import Sequence

import numpy as np

from models.networks.optimizers import Steps
from models.networks.values import value
from models.trials.trainers.base import Array, Report, Run, RunResult, TrainingData
from models.trials.trainers.epoch_order import epoch_order
from models.trials.trainers.numpy.descent import Descent
from models.trials.trainers.numpy.initial import initialize
from models.trials.trainers.numpy.layout import LayerPlan, Weights, plan_layers
from models.trials.trainers.numpy.losses import LOSSES
from models.trials.trainers.numpy.network import NetworkPass, by_feature
from models.trials.trainers.numpy.rates import Rates
from models.trials.trainers.numpy.subnormals import subnormals_flushed
from models.trials.trainers.numpy.types import Floats
from models.trials.trainers.recording import Recorder

# Rows a pass when nothing is learned from them.
FORWARD_ROWS = 2048
# Keeps the random numbers of dropout apart from those of the order of rows.
_DROPOUT_STREAM = 1


class NumpyTrainer:
    """Trains one run after the other in this process, on the CPU."""

    name = "numpy"

    def train(
        self, runs: Sequence[Run], data: Sequence[TrainingData], report: Report | None = None
    ) -> list[RunResult]:
        """As `models.trials.trainers.base.Trainer` says."""
        results: list[RunResult] = []
        # Numbers that are not finite are found at the end of an epoch.
        with np.errstate(all="ignore"), subnormals_flushed():
            for run in runs:
                results.append(_Training(run, data[run.fold]).train(report))
                if results[-1].diverged or results[-1].stopped:
                    break
        return results


class _Training:
    """One run: its network, its optimizer and its data, in memory taken once."""

    def __init__(self, run: Run, data: TrainingData) -> None:
        self._started = time.perf_counter()
        self._run, self._data = run, data
        self._loss = LOSSES[data.outputs.task]
        self._rows = len(data.x_train)
        self._batch = min(int(value(run.values, "batch_size")), self._rows)
        self._x = _with_ones(data.x_train)
        self._same_rows = data.x_validation is data.x_train
        self._x_validation = self._x if self._same_rows else _with_ones(data.x_validation)
        self._plans = plan_layers(run.values, self._x.shape[1] - 1, data.outputs)
        descent = Descent(run.values, self._plans, self._batch)
        # The network as it is, and memory for another: the best one, if it is not the same.
        self._now, self._other = (_Network(self._plans, self._batch, descent) for _ in range(2))
        self._best: _Network | None = None
        if run.initial_weights is None:
            initialize(self._now.weights, self._plans, run.values, run.seed)
        else:
            self._now.weights.load(run.initial_weights)
        self._other.weights.copy_from(self._now.weights)
        steps = -(-self._rows // self._batch)
        self._rates = Rates.of(
            run.values, Steps(total=steps * run.epochs, done=steps * run.initial_epoch)
        )
        self._steps_done = 0
        # Where a step takes all rows, and they are validated on, the next step begins with what
        # validation has found. (The order of rows within a step changes nothing.)
        self._validation_learns = (
            self._same_rows
            and self._batch == self._rows
            and not any(plan.dropout or plan.normalized for plan in self._plans)
        )
        self._found: Floats | None = None

    def train(self, report: Report | None) -> RunResult:
        run, recorder = self._run, Recorder.of(self._run, self._data)
        for epoch in range(run.initial_epoch, run.epochs):
            loss, companion = self._train_epoch(epoch)
            val_loss, val_companion = self._loss.figures(self._validate(), self._data.y_validation)
            if recorder.record(epoch + 1, loss, val_loss, companion, val_companion):
                self._keep()
            if report is not None:
                recorder.tell(report, epoch + 1)
            if recorder.ended:
                break
            self._rates.end_epoch(val_loss)
        return self._finish(recorder)

    def _train_epoch(self, epoch: int) -> tuple[float, float]:
        """Take every step of an epoch; the figures are those of its batches before their steps."""
        order = self._order(epoch)
        noise = np.random.SFC64([self._run.seed, epoch, _DROPOUT_STREAM])
        truth = self._data.y_train[order]
        weights = None if self._data.weights_train is None else self._data.weights_train[order]
        scores = np.empty((self._data.outputs.units, self._rows), np.float32)
        for start in range(0, self._rows, self._batch):
            end = min(start + self._batch, self._rows)
            network = self._now.learning(end - start)
            signal = by_feature(self._x[order[start:end]])
            if self._found is None:
                scores[:, start:end] = network.learn(signal, noise)
            else:
                scores[:] = self._found
            slope = self._loss.gradient(
                scores[:, start:end],
                truth[start:end],
                None if weights is None else weights[start:end],
            )
            self._descend(network, signal, slope)
        return self._loss.figures(scores, truth, weights)

    def _descend(self, network: NetworkPass, signal: Floats, slope: Floats) -> None:
        """Take a step; the best weights stay as they are."""
        rate = self._rates.at(self._steps_done)
        self._steps_done += 1
        keeps = self._best is self._now
        target = self._other if keeps else self._now
        network.descend(signal, slope, rate, self._steps_done, target.weights)
        if keeps:
            self._now, self._other = self._other, self._now

    def _keep(self) -> None:
        """Make the network as it is the best one."""
        if any(plan.normalized for plan in self._plans):
            # The next step would change its running moments before it changes weights.
            self._other.weights.copy_from(self._now.weights)
            self._best = self._other
        else:
            self._best = self._now

    def _order(self, epoch: int) -> Array:
        if self._validation_learns:
            return np.arange(self._rows)
        return epoch_order(self._run.seed, epoch, self._rows)

    def _validate(self) -> Floats:
        """The scores of the validation rows, (units, rows)."""
        if not self._validation_learns:
            return self._now.scores(self._x_validation)
        no_dropout = np.random.SFC64(0)
        found = self._now.learning(self._rows).learn(by_feature(self._x), no_dropout)
        self._found = found.copy()
        return self._found

    def _finish(self, recorder: Recorder) -> RunResult:
        seconds = time.perf_counter() - self._started
        if self._best is not None:
            self._now = self._best
        validation = self._loss.answers(self._now.scores(self._x_validation))
        training = validation if self._same_rows else self._loss.answers(self._now.scores(self._x))
        finite = bool(np.isfinite(validation).all() and np.isfinite(training).all())
        weights = self._now.weights
        return RunResult(
            weights=weights.arrays() if recorder.best_epoch else [],
            best_epoch=recorder.best_epoch,
            epochs=self._run.initial_epoch + len(recorder.history["loss"]),
            history=recorder.history,
            validation_outputs=validation,
            training_outputs=training,
            parameters=weights.size,
            seconds=seconds,
            diverged=recorder.diverged or not finite,
            stopped=recorder.stopped,
        )


class _Network:
    """Weights, and the passes through them by their number of rows."""

    def __init__(self, plans: Sequence[LayerPlan], batch: int, descent: Descent) -> None:
        self.weights = Weights(plans)
        self._plans, self._batch, self._descent = plans, batch, descent
        self._learning: dict[int, NetworkPass] = {}
        self._inferring: dict[int, NetworkPass] = {}

    def learning(self, rows: int) -> NetworkPass:
        """The pass that learns from so many rows."""
        if rows not in self._learning:
            self._learning[rows] = self._pass(rows, self._descent)
        return self._learning[rows]

    def scores(self, x: Floats) -> Floats:
        """What the network gives for rows with their ones, (units, rows)."""
        pieces = []
        for start in range(0, len(x), FORWARD_ROWS):
            piece = x[start : start + FORWARD_ROWS]
            rows = len(piece)
            if rows not in self._inferring:
                self._inferring[rows] = self._pass(rows)
            pieces.append(self._inferring[rows].infer(by_feature(piece)).copy())
        return np.concatenate(pieces, axis=1)

    def _pass(self, rows: int, descent: Descent | None = None) -> NetworkPass:
        return NetworkPass(self._plans, self.weights, rows, self._batch, descent)


def _with_ones(x: Array) -> Floats:
    """Rows made flat, (rows, features + 1); the ones meet the bias."""
    flat = x.reshape(len(x), -1)
    result = np.ones((len(flat), flat.shape[1] + 1), np.float32)
    result[:, :-1] = flat
    return result
