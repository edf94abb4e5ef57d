"""One pack in training: its networks stacked on the device, its runs recorded one by one."""

import time
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from models.networks.values import layer_value, value
from models.trials.packs.dropout import epoch_key
from models.trials.packs.program import Batches, Constants, Rows, State, program_of
from models.trials.packs.sorting import joint_layout
from models.trials.packs.structure import drops
from models.trials.packs.updates import UPDATES
from models.trials.packs.work import Member
from models.trials.trainers.base import Array, RunResult, TrainingData
from models.trials.trainers.epoch_order import epoch_order
from models.trials.trainers.numpy.initial import initialize
from models.trials.trainers.numpy.layout import Weights
from models.trials.trainers.numpy.types import Floats

# Numbers of a layer's output in one pass when nothing is learned from the rows.
_FORWARD_NUMBERS = 2**23
# The rate is the same at every step of an epoch.
_STEADY = ("constant", "reduce_on_plateau")


class Pack:
    """Networks of one shape, trained in step until each has ended by itself.

    What has ended is set aside once half of the networks have: the rest goes on in a smaller pack.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self._since = time.perf_counter()
        self._members = list(members)
        shape = members[0].shape
        self._update = UPDATES[shape.structure.update]
        self._layout = joint_layout(members)
        self._program = program_of(
            shape.structure, any(drops(member.run.values) for member in members)
        )
        self._batch, self._steps = shape.batch, shape.steps
        self._rows = _SharedRows(members, self._layout.widths[0])
        self._steps_done = 0
        rows = [self._initial(member) for member in members]
        weights = tf.constant(np.stack([weights for weights, _ in rows]))
        moments = tf.constant(np.stack([moments for _, moments in rows]))
        filled = tf.fill(weights.shape, np.float32(self._update.state_start))
        self._state = State(weights, moments, (filled,) * self._update.states)
        self._best = weights, moments
        self._prepare_members()

    def train(self) -> None:
        """Train to the end; results go to the members' works."""
        while self._members:
            self._train_epoch()
            over = [member.is_over for member in self._members]
            if 2 * sum(over) >= len(over):
                self._set_aside(np.flatnonzero(over))

    def _initial(self, member: Member) -> tuple[Floats, Floats]:
        arrays = member.run.initial_weights
        if arrays is None:
            weights = Weights(member.plans)
            initialize(weights, member.plans, member.run.values, member.run.seed)
            arrays = weights.arrays()
        return self._layout.pad(arrays, member.plans)

    def _prepare_members(self) -> None:
        """What follows from which members there are."""
        members = self._members
        values = [member.run.values for member in members]
        layers = range(len(self._layout.normalized))
        rates = [[float(layer_value(v, "dropout", layer)) for v in values] for layer in layers]
        self._constants = Constants(
            widths=tf.constant(self._layout.widths, tf.int32),
            kernels=tf.constant(self._layout.kernels()),
            units=tf.constant(np.stack([self._layout.units(member.plans) for member in members])),
            rates=tf.constant(np.array(rates, np.float32).reshape(len(layers), len(members))),
            l2=tf.constant([[value(v, "l2")] for v in values], tf.float32),
        )
        self._momentum = np.array([value(v, "momentum") for v in values], np.float32)
        self._decay = np.array([value(v, "weight_decay") for v in values], np.float32)
        at_once = max(1, _FORWARD_NUMBERS // (len(members) * max(self._layout.widths)))
        self._validation = _batches([self._rows.validation(member) for member in members], at_once)
        self._at_once = at_once

    def _train_epoch(self) -> None:
        members = self._members
        self._state, figures = self._program.epoch(
            self._rows.tensors,
            self._constants,
            self._state,
            _batches([self._rows.training(member) for member in members], self._batch),
            self._validation,
            tf.constant(self._schedule()),
            tf.constant([epoch_key(m.run.seed, m.epoch) for m in members], tf.uint32),
        )
        self._steps_done += self._steps
        best = [
            not member.is_over and member.end_epoch(*map(float, column))
            for member, column in zip(members, figures.numpy().T, strict=True)
        ]
        if any(best):
            is_best = tf.constant(best)[:, None]
            now = self._state.weights, self._state.moments
            self._best = tuple(
                tf.where(is_best, new, old) for new, old in zip(now, self._best, strict=True)
            )
        self._share_time()

    def _schedule(self) -> Floats:
        """What every step of the epoch takes of every network."""
        steps = range(self._steps_done, self._steps_done + self._steps)
        rates = np.empty((self._steps, len(self._members)), np.float32)
        for column, member in enumerate(self._members):
            at = member.rates.at
            is_steady = member.rates.schedule in _STEADY
            rates[:, column] = at(steps[0]) if is_steady else [at(step) for step in steps]
        return self._update.schedule(rates, self._momentum, self._decay, self._steps_done)

    def _set_aside(self, ended: Array) -> None:
        """Take the networks numbered `ended` out and answer for those that are wanted."""
        wanted = [n for n in ended if self._members[n].work.wants(self._members[n].number)]
        if wanted:
            self._finish(wanted)
        left = np.setdiff1d(np.arange(len(self._members)), ended)
        self._members = [self._members[number] for number in left]
        if self._members:
            self._state, self._best = tf.nest.map_structure(
                lambda tensor: tf.gather(tensor, left), (self._state, self._best)
            )
            self._prepare_members()

    def _finish(self, numbers: Sequence[int]) -> None:
        """Work out what the best weights of some networks answer, and hand the results over."""
        members = [self._members[number] for number in numbers]
        weights, moments = (tf.gather(tensor, numbers) for tensor in self._best)
        constants = self._constants._replace(units=tf.gather(self._constants.units, numbers))

        def answers(rows: Sequence[Array]) -> list[Array]:
            pieces = [
                self._program.answer(self._rows.tensors, constants, weights, moments, positions)
                for positions in _batches(rows, self._at_once).positions
            ]
            whole = np.concatenate([piece.numpy() for piece in pieces], axis=1)
            return [given[: len(own)] for given, own in zip(whole, rows, strict=True)]

        validation = answers([self._rows.validation(member) for member in members])
        training = answers([self._rows.in_order(member) for member in members])
        self._share_time(members)
        rows = zip(members, weights.numpy(), moments.numpy(), validation, training, strict=True)
        for member, own_weights, own_moments, on_validation, on_training in rows:
            arrays = self._layout.strip(own_weights, own_moments, member.plans)
            member.work.found(member.number, _result(member, arrays, on_validation, on_training))

    def _share_time(self, members: Sequence[Member] = ()) -> None:
        """Divide the time since the last call among `members`, or those that are in training."""
        members = members or [m for m in self._members if not m.is_over] or self._members
        now = time.perf_counter()
        for member in members:
            member.seconds += (now - self._since) / len(members)
        self._since = now


def _result(
    member: Member, arrays: list[Array], on_validation: Array, on_training: Array
) -> RunResult:
    recorder = member.recorder
    finite = bool(np.isfinite(on_validation).all() and np.isfinite(on_training).all())
    return RunResult(
        weights=arrays if recorder.best_epoch else [],
        best_epoch=recorder.best_epoch,
        epochs=member.epoch,
        history=recorder.history,
        validation_outputs=on_validation,
        training_outputs=on_training,
        parameters=sum(array.size for array in arrays),
        seconds=member.seconds,
        diverged=recorder.diverged or not finite,
        stopped=recorder.stopped,
    )


class _SharedRows:
    """The rows of every fold, one after the other on the device; members name them by number."""

    def __init__(self, members: Sequence[Member], features: int) -> None:
        self._starts: dict[int, tuple[int, int]] = {}  # of training and validation rows
        xs: list[Array] = []
        ys: list[Array] = []
        weights: list[Array] = []
        total = 0
        for data in {id(member.data): member.data for member in members}.values():
            starts = [total, total]
            xs.append(data.x_train)
            ys.append(data.y_train)
            weights.append(_row_weights(data))
            total += len(data.x_train)
            if data.x_validation is not data.x_train:
                starts[1] = total
                xs.append(data.x_validation)
                ys.append(data.y_validation)
                weights.append(np.ones(len(data.x_validation)))
                total += len(data.x_validation)
            self._starts[id(data)] = starts[0], starts[1]
        x = np.zeros((total, features), np.float32)
        place = 0
        for rows in xs:
            flat = rows.reshape(len(rows), -1)
            x[place : place + len(rows), : flat.shape[1]] = flat
            place += len(rows)
        self.tensors = Rows(
            tf.constant(x),
            tf.constant(np.concatenate(ys).astype(np.float32)),
            tf.constant(np.concatenate(weights).astype(np.float32)),
        )

    def training(self, member: Member) -> Array:
        """Numbers of a run's training rows, in the order of its next epoch."""
        order = epoch_order(member.run.seed, member.epoch, len(member.data.x_train))
        return order + self._starts[id(member.data)][0]

    def in_order(self, member: Member) -> Array:
        """Numbers of its training rows as they come."""
        return np.arange(len(member.data.x_train)) + self._starts[id(member.data)][0]

    def validation(self, member: Member) -> Array:
        """Numbers of its validation rows."""
        return np.arange(len(member.data.x_validation)) + self._starts[id(member.data)][1]


def _row_weights(data: TrainingData) -> Array:
    weights = data.weights_train
    return np.ones(len(data.x_train)) if weights is None else weights


def _batches(rows: Sequence[Array], size: int) -> Batches:
    """Rows of each network, divided into steps of `size` and padded with the first row of all."""
    longest = max(len(each) for each in rows)
    size = min(size, longest)
    steps = -(-longest // size)
    positions = np.zeros((len(rows), steps * size), np.int64)
    real = np.zeros(positions.shape, np.float32)
    for number, each in enumerate(rows):
        positions[number, : len(each)] = each
        real[number, : len(each)] = 1
    by_step = (len(rows), steps, size)
    return Batches(
        tf.constant(positions.reshape(by_step).swapaxes(0, 1)),
        tf.constant(real.reshape(by_step).swapaxes(0, 1)),
    )
