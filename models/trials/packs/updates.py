"""The optimizers of Keras for stacked weights: every network has its own rate and its own momentum.

The formulas are those of `models.trials.trainers.numpy.updates`. The numbers that a step needs of each
network are worked out beforehand in float32, so that the program holds no schedule and no power.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from models.trials.trainers.numpy.types import Floats

_ONE, _HALF = np.float32(1), np.float32(0.5)
_BETA_1, _BETA_2 = np.float32(0.9), np.float32(0.999)
_REST_1, _REST_2 = np.float32(1 - 0.9), np.float32(1 - 0.999)
_RHO = np.float32(0.9)
_EPSILON = np.float32(1e-7)

States = tuple[tf.Tensor, ...]
# (weights, gradient, states, numbers of the step (networks, 1)) -> weights, states
Apply = Callable[[tf.Tensor, tf.Tensor, States, Any], tuple[tf.Tensor, States]]
# (rates (steps, networks), momentum (networks,), steps counted from 1 (steps, 1)) -> numbers
Numbers = Callable[[Floats, Floats, Floats], tuple[Floats, ...]]


@dataclass(frozen=True, slots=True)
class Update:
    """One step of an optimizer."""

    states: int  # arrays of the weights' size that it keeps
    width: int  # numbers that a step takes of a network, that of weight decay among them
    numbers: Numbers
    apply: Apply
    state_start: float = 0.0  # what the states are filled with

    def schedule(self, rates: Floats, momentum: Floats, decay: Floats, done: int) -> Floats:
        """What every step takes of every network, (steps, numbers, networks).

        `rates` is (steps, networks), `momentum` and `decay` (networks,); `done` steps were taken
        before. The first number is the share of the weights that their decay leaves.
        """
        count = np.arange(1, len(rates) + 1, dtype=np.float32)[:, None] + np.float32(done)
        rows = (_ONE - decay * rates, *self.numbers(rates, momentum, count))
        return np.stack([np.broadcast_to(row, rates.shape) for row in rows], axis=1)


def _rate(rates: Floats, momentum: Floats, steps: Floats) -> tuple[Floats, ...]:
    return (rates,)


def _rate_and_momentum(rates: Floats, momentum: Floats, steps: Floats) -> tuple[Floats, ...]:
    return rates, momentum


def _sgd(
    weights: tf.Tensor, gradient: tf.Tensor, states: States, numbers: Any
) -> tuple[tf.Tensor, States]:
    rate, momentum = numbers
    velocity = states[0] * momentum - gradient * rate
    return weights + velocity, (velocity,)


def _rmsprop(
    weights: tf.Tensor, gradient: tf.Tensor, states: States, numbers: Any
) -> tuple[tf.Tensor, States]:
    rate, momentum = numbers
    square = states[0] * _RHO + gradient * gradient * (_ONE - _RHO)
    velocity = states[1] * momentum + gradient * rate / tf.sqrt(square + _EPSILON)
    return weights - velocity, (square, velocity)


def _adagrad(
    weights: tf.Tensor, gradient: tf.Tensor, states: States, numbers: Any
) -> tuple[tf.Tensor, States]:
    square = states[0] + gradient * gradient
    return weights - gradient * numbers[0] / tf.sqrt(square + _EPSILON), (square,)


def _adam_numbers(rates: Floats, momentum: Floats, steps: Floats) -> tuple[Floats, ...]:
    left_1, left_2 = _ONE - _BETA_1**steps, _ONE - _BETA_2**steps
    root = np.sqrt(_REST_2)
    return rates * np.sqrt(left_2) / left_1 * _REST_1 / root, np.full_like(steps, _EPSILON / root)


def _adam(
    weights: tf.Tensor, gradient: tf.Tensor, states: States, numbers: Any
) -> tuple[tf.Tensor, States]:
    rate, epsilon = numbers
    mean = states[0] * _BETA_1 + gradient
    square = states[1] * _BETA_2 + gradient * gradient
    return weights - mean * rate / (tf.sqrt(square) + epsilon), (mean, square)


def _nadam_numbers(rates: Floats, momentum: Floats, steps: Floats) -> tuple[Floats, ...]:
    products = np.cumprod(_nadam_momentum(np.arange(1, steps[-1, 0] + 1, dtype=np.float32)))
    product = products[-len(steps) :, None]
    now, following = _nadam_momentum(steps), _nadam_momentum(steps + _ONE)
    root = np.sqrt(_REST_2 / (_ONE - _BETA_2**steps))
    return (
        rates * following / (_ONE - product * following) * _REST_1 / root,
        rates * (_ONE - now) / (_ONE - product) / root,
        _EPSILON / root,
    )


def _nadam_momentum(steps: Floats) -> Floats:
    result: Floats = _BETA_1 * (_ONE - _HALF * np.float32(0.96) ** steps)
    return result


def _nadam(
    weights: tf.Tensor, gradient: tf.Tensor, states: States, numbers: Any
) -> tuple[tf.Tensor, States]:
    of_mean, of_gradient, epsilon = numbers
    mean = states[0] * _BETA_1 + gradient
    square = states[1] * _BETA_2 + gradient * gradient
    change = (mean * of_mean + gradient * of_gradient) / (tf.sqrt(square) + epsilon)
    return weights - change, (mean, square)


def _adamax_numbers(rates: Floats, momentum: Floats, steps: Floats) -> tuple[Floats, ...]:
    return (rates / (_ONE - _BETA_1**steps) * _REST_1,)


def _adamax(
    weights: tf.Tensor, gradient: tf.Tensor, states: States, numbers: Any
) -> tuple[tf.Tensor, States]:
    mean = states[0] * _BETA_1 + gradient
    largest = tf.maximum(states[1] * _BETA_2, tf.abs(gradient))
    return weights - mean * numbers[0] / (largest + _EPSILON), (mean, largest)


UPDATES: Mapping[str, Update] = {
    "adam": Update(2, 3, _adam_numbers, _adam),
    "nadam": Update(2, 4, _nadam_numbers, _nadam),
    "sgd": Update(1, 3, _rate_and_momentum, _sgd),
    "rmsprop": Update(2, 3, _rate_and_momentum, _rmsprop),
    "adagrad": Update(1, 2, _rate, _adagrad, state_start=0.1),
    "adamax": Update(2, 2, _adamax_numbers, _adamax),
}
