"""The graph that trains a pack: whole epochs, for any number of networks of any width.

One program is traced for each structure; numbers of networks, rows, steps and units are unknown to
it. Arrays are (networks, rows, units), so that every product is one batched product.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from models.trials.packs import dropout
from models.trials.packs.functions import ACTIVATIONS, LOSSES, NOT_ZERO_AT_ZERO
from models.trials.packs.structure import Structure
from models.trials.packs.updates import UPDATES

# Traced programs kept in a process; one holds about 1 MB.
PROGRAMS = 32

_EPSILON = np.float32(1e-3)
_MOMENTUM = np.float32(0.99)
_REST = np.float32(1 - 0.99)


class Rows(NamedTuple):
    """The rows that all networks of a pack learn from and are scored on."""

    x: tf.Tensor  # float32 (rows, features)
    y: tf.Tensor  # float32 (rows,)
    weights: tf.Tensor  # float32 (rows,), of each row in the training loss


class Batches(NamedTuple):
    """Which rows a pass takes at each step."""

    positions: tf.Tensor  # int64 (steps, networks, rows)
    real: tf.Tensor  # float32 (steps, networks, rows), 0 for padding


class Constants(NamedTuple):
    """What does not change while the networks are trained."""

    widths: tf.Tensor  # int32 (hidden layers + 2,)
    kernels: tf.Tensor  # float32 (weights,), 1 for those of kernels
    units: tf.Tensor  # float32 (networks, hidden units), 0 for padding
    rates: tf.Tensor  # float32 (hidden layers, networks), of dropout
    l2: tf.Tensor  # float32 (networks, 1)


class State(NamedTuple):
    """What a step changes."""

    weights: tf.Tensor  # float32 (networks, weights)
    moments: tf.Tensor  # float32 (networks, moments), of batch normalizations
    optimizer: tuple[tf.Tensor, ...]  # each like the weights


def _floats(rank: int) -> tf.TensorSpec:
    return tf.TensorSpec([None] * rank, tf.float32)


_BATCHES = Batches(tf.TensorSpec([None] * 3, tf.int64), _floats(3))


class Program:
    """Trains and runs networks of one structure; `drops` if any of them has dropout."""

    def __init__(self, structure: Structure, drops: bool) -> None:
        self._structure, self._drops = structure, drops
        self._depth = len(structure.activations)
        self._loss = LOSSES[structure.task]
        self._update = UPDATES[structure.update]
        rows = Rows(_floats(2), _floats(1), _floats(1))
        constants = Constants(
            tf.TensorSpec([self._depth + 2], tf.int32),
            _floats(1),
            _floats(2),
            _floats(2),
            _floats(2),
        )
        state = State(_floats(2), _floats(2), (_floats(2),) * self._update.states)
        self.epoch = tf.function(
            self._epoch,
            input_signature=[
                rows,
                constants,
                state,
                _BATCHES,
                _BATCHES,
                tf.TensorSpec([None, self._update.width, None], tf.float32),
                tf.TensorSpec([None], tf.uint32),
            ],
            autograph=False,
        )
        self.answer = tf.function(
            self._answer,
            input_signature=[
                rows,
                constants,
                state.weights,
                state.moments,
                tf.TensorSpec([None] * 2, tf.int64),
            ],
            autograph=False,
        )

    def _epoch(
        self,
        rows: Rows,
        constants: Constants,
        state: State,
        batches: Batches,
        validation: Batches,
        schedule: tf.Tensor,
        keys: tf.Tensor,
    ) -> tuple[State, tf.Tensor]:
        """Take every step of an epoch and validate.

        `schedule` (steps, numbers, networks) is that of the optimizer, `keys` (networks,) that of
        dropout. Answers the new state and the figures (4, networks): loss and validation loss
        without penalties, then the same of the companion metric. Those of training are of the
        batches before their steps; row weights count in the first alone.
        """
        none = tf.zeros([2, tf.shape(state.weights)[0]])

        def step(number: tf.Tensor, state: State, sums: tf.Tensor) -> tuple[Any, ...]:
            batch = Batches(batches.positions[number], batches.real[number])
            state, new = self._step(rows, constants, state, batch, schedule[number], number, keys)
            return number + 1, state, sums + new

        def score(number: tf.Tensor, sums: tf.Tensor) -> tuple[Any, ...]:
            positions, real = validation.positions[number], validation.real[number]
            scores = self._infer(rows, constants, state.weights, state.moments, positions)
            truth = tf.gather(rows.y, positions)
            return number + 1, sums + self._figures(scores, truth, real, real)

        _, state, training = tf.while_loop(
            lambda number, *_: number < tf.shape(batches.real)[0],
            step,
            (0, state, none),
            parallel_iterations=1,
        )
        _, validated = tf.while_loop(
            lambda number, _: number < tf.shape(validation.real)[0],
            score,
            (0, none),
            parallel_iterations=1,
        )
        training /= tf.reduce_sum(batches.real, axis=[0, 2])
        validated /= tf.reduce_sum(validation.real, axis=[0, 2])
        return state, tf.stack([training[0], validated[0], training[1], validated[1]])

    def _answer(
        self,
        rows: Rows,
        constants: Constants,
        weights: tf.Tensor,
        moments: tf.Tensor,
        positions: tf.Tensor,
    ) -> tf.Tensor:
        """What trained networks answer for rows at `positions`, (networks, rows, outputs)."""
        return self._loss.answers(self._infer(rows, constants, weights, moments, positions))

    def _step(
        self,
        rows: Rows,
        constants: Constants,
        state: State,
        batch: Batches,
        numbers: tf.Tensor,
        step: tf.Tensor,
        keys: tf.Tensor,
    ) -> tuple[State, tf.Tensor]:
        truth = tf.gather(rows.y, batch.positions)
        weights = tf.gather(rows.weights, batch.positions) * batch.real
        # As Keras has it, the mean is divided by the rows and not by their weights.
        shares = weights / tf.reduce_sum(batch.real, axis=1, keepdims=True)
        pieces = self._split(constants, state.weights)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(pieces)
            scores, moments = self._learn(
                tf.gather(rows.x, batch.positions), pieces, constants, batch.real, step, keys
            )
            # Every network has weights of its own, so the sum mixes no gradients.
            total = tf.reduce_sum(self._loss.losses(scores, truth) * shares)
        networks = tf.shape(state.weights)[0]
        slopes = [tf.reshape(slope, [networks, -1]) for slope in tape.gradient(total, pieces)]
        gradient = tf.concat(slopes, axis=1)
        gradient += state.weights * (2.0 * constants.l2 * constants.kernels)
        keep, *rest = tf.unstack(numbers[:, :, None], num=self._update.width)
        updated, kept = self._update.apply(state.weights * keep, gradient, state.optimizer, rest)
        running = state.moments
        if moments:
            running = running * _MOMENTUM + tf.concat(moments, axis=1) * _REST
        figures = self._figures(scores, truth, weights, batch.real)
        return State(updated, running, kept), figures

    def _learn(
        self,
        signal: tf.Tensor,
        pieces: list[tf.Tensor],
        constants: Constants,
        real: tf.Tensor,
        step: tf.Tensor,
        keys: tf.Tensor,
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Scores in training, and the moments of the batch, means and variances in turn."""
        units, left, moments = self._units(constants), iter(pieces), []
        for layer in range(self._depth):
            signal = tf.matmul(signal, next(left))
            if self._structure.normalized[layer]:
                gamma, beta = next(left), next(left)
                mean, variance = _moments(signal, real)
                moments += [mean[:, 0], variance[:, 0]]
                signal = (signal - mean) * tf.math.rsqrt(variance + _EPSILON) * gamma + beta
            else:
                signal += next(left)
            signal = self._activate(signal, layer, units)
            if self._drops:
                place = step * self._depth + layer
                rates = constants.rates[layer]
                signal *= dropout.factors(keys, place, rates, tf.shape(signal))
        return tf.matmul(signal, next(left)) + next(left), moments

    def _infer(
        self,
        rows: Rows,
        constants: Constants,
        weights: tf.Tensor,
        moments: tf.Tensor,
        positions: tf.Tensor,
    ) -> tf.Tensor:
        """Scores of trained networks for rows at `positions` (networks, rows)."""
        signal = tf.gather(rows.x, positions)
        units, left = self._units(constants), iter(self._split(constants, weights))
        running = iter(self._split_moments(constants, moments))
        for layer in range(self._depth):
            signal = tf.matmul(signal, next(left))
            if self._structure.normalized[layer]:
                gamma, beta, mean, variance = next(left), next(left), next(running), next(running)
                signal = (signal - mean) * (tf.math.rsqrt(variance + _EPSILON) * gamma) + beta
            else:
                signal += next(left)
            signal = self._activate(signal, layer, units)
        return tf.matmul(signal, next(left)) + next(left)

    def _activate(self, signal: tf.Tensor, layer: int, units: list[tf.Tensor]) -> tf.Tensor:
        name = self._structure.activations[layer]
        signal = ACTIVATIONS[name](signal)
        return signal * units[layer][:, None, :] if name in NOT_ZERO_AT_ZERO else signal

    def _figures(
        self, scores: tf.Tensor, truth: tf.Tensor, weights: tf.Tensor, real: tf.Tensor
    ) -> tf.Tensor:
        """Sums of the weighted losses and, over real rows, of their companion, (2, networks)."""
        losses = self._loss.losses(scores, truth) * weights
        companions = self._loss.companions(scores, truth) * real
        return tf.stack([tf.reduce_sum(losses, axis=1), tf.reduce_sum(companions, axis=1)])

    def _split(self, constants: Constants, weights: tf.Tensor) -> list[tf.Tensor]:
        """Kernels (networks, inputs, units) and biases (networks, 1, units), layer by layer."""
        shapes = []
        for layer, is_normalized in enumerate((*self._structure.normalized, False)):
            inputs, units = constants.widths[layer], constants.widths[layer + 1]
            shapes += [(inputs, units), *[(1, units)] * (1 + is_normalized)]
        pieces = tf.split(weights, [a * b for a, b in shapes], axis=1, num=len(shapes))
        return [tf.reshape(p, [-1, *shape]) for p, shape in zip(pieces, shapes, strict=True)]

    def _split_moments(self, constants: Constants, moments: tf.Tensor) -> list[tf.Tensor]:
        """Means and variances in turn, each (networks, 1, units)."""
        sizes = [
            constants.widths[layer + 1]
            for layer, is_normalized in enumerate(self._structure.normalized)
            for _ in range(2 * is_normalized)
        ]
        if not sizes:
            return []
        return [piece[:, None] for piece in tf.split(moments, sizes, axis=1, num=len(sizes))]

    def _units(self, constants: Constants) -> list[tf.Tensor]:
        if not self._depth:
            return []
        result: list[tf.Tensor] = tf.split(
            constants.units, constants.widths[1:-1], axis=1, num=self._depth
        )
        return result


def _moments(signal: tf.Tensor, real: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and variance over the real rows, each (networks, 1, units)."""
    shares = (real / tf.reduce_sum(real, axis=1, keepdims=True))[:, :, None]
    mean = tf.reduce_sum(signal * shares, axis=1, keepdims=True)
    return mean, tf.reduce_sum(tf.square(signal - mean) * shares, axis=1, keepdims=True)


@lru_cache(maxsize=PROGRAMS)
def program_of(structure: Structure, drops: bool) -> Program:
    """The program of a structure; it is traced at its first call, which takes about a second."""
    return Program(structure, drops)
