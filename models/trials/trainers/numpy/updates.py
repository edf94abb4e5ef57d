"""The optimizers of Keras: how one weight changes, and the numbers of a step.

Formulas and constants are those of `keras.optimizers` 3.15, in its order of operations.
`models.trials.trainers.numpy.loops` makes loops of them.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

import numpy as np

from models.networks.values import value
from models.space.hyperparameters import TrialValues
from models.trials.trainers.numpy.loops import compiled

# (weight, gradient, *states, keep, *numbers) -> (weight, *states). `keep` is the share of a weight
# that its decay leaves.
Formula = Callable[..., tuple[np.float32, ...]]

_EPSILON = np.float32(1e-7)
_ZERO, _ONE = np.float32(0), np.float32(1)
_BETA_1, _BETA_2 = np.float32(0.9), np.float32(0.999)
_REST_1, _REST_2 = np.float32(1 - 0.9), np.float32(1 - 0.999)
_RHO, _REST_RHO = np.float32(0.9), np.float32(1 - 0.9)


class Update(ABC):
    """An optimizer: how weights change by their gradient."""

    formula: ClassVar[Formula]
    states: ClassVar[int] = 0  # arrays of the weights' size that the optimizer keeps
    state_start: ClassVar[float] = 0.0  # what they are filled with

    def __init__(self, values: TrialValues) -> None:
        self._weight_decay = np.float32(float(value(values, "weight_decay")))
        self._momentum = np.float32(float(value(values, "momentum")))

    @property
    def has_decay(self) -> bool:
        """Whether weights change whose gradient is 0 at every step."""
        return bool(self._weight_decay)

    def numbers(self, rate: float, step: int) -> tuple[np.float32, ...]:
        """What the formula takes after the states; called once a step, counted from 1."""
        learning_rate = np.float32(rate)
        keep = _ONE - self._weight_decay * learning_rate
        return (keep, *self._numbers(learning_rate, step))

    @abstractmethod
    def _numbers(self, rate: np.float32, step: int) -> tuple[np.float32, ...]:
        """What it takes after `keep`."""


@compiled
def _sgd(weight, gradient, keep, rate):  # type: ignore[no-untyped-def]
    return (weight * keep - gradient * rate,)


class _Sgd(Update):
    formula = _sgd

    def _numbers(self, rate: np.float32, step: int) -> tuple[np.float32, ...]:
        return (rate,)


@compiled
def _sgd_momentum(weight, gradient, velocity, keep, rate, momentum):  # type: ignore[no-untyped-def]
    velocity = velocity * momentum - gradient * rate
    return weight * keep + velocity, velocity


class _SgdMomentum(Update):
    formula = _sgd_momentum
    states = 1

    def _numbers(self, rate: np.float32, step: int) -> tuple[np.float32, ...]:
        return rate, self._momentum


@compiled
def _rmsprop(weight, gradient, square, keep, rate):  # type: ignore[no-untyped-def]
    square = square * _RHO + gradient * gradient * _REST_RHO
    increment = gradient * rate / np.sqrt(square + _EPSILON)
    return weight * keep - increment, square


class _Rmsprop(Update):
    formula = _rmsprop
    states = 1

    def _numbers(self, rate: np.float32, step: int) -> tuple[np.float32, ...]:
        return (rate,)


@compiled
def _rmsprop_momentum(weight, gradient, square, velocity, keep, rate, momentum):  # type: ignore[no-untyped-def]
    square = square * _RHO + gradient * gradient * _REST_RHO
    increment = gradient * rate / np.sqrt(square + _EPSILON)
    velocity = velocity * momentum + increment
    return weight * keep - velocity, square, velocity


class _RmspropMomentum(Update):
    formula = _rmsprop_momentum
    states = 2

    def _numbers(self, rate: np.float32, step: int) -> tuple[np.float32, ...]:
        return rate, self._momentum


@compiled
def _adagrad(weight, gradient, square, keep, rate):  # type: ignore[no-untyped-def]
    square += gradient * gradient
    increment = gradient * rate / np.sqrt(square + _EPSILON)
    return weight * keep - increment, square


class _Adagrad(Update):
    formula = _adagrad
    states = 1
    state_start = 0.1

    def _numbers(self, rate: np.float32, step: int) -> tuple[np.float32, ...]:
        return (rate,)


@compiled
def _adam(weight, gradient, mean, square, keep, rate):  # type: ignore[no-untyped-def]
    mean += (gradient - mean) * _REST_1
    square += (gradient * gradient - square) * _REST_2
    return weight * keep - mean * rate / (np.sqrt(square) + _EPSILON), mean, square


class _Adam(Update):
    formula = _adam
    states = 2

    def _numbers(self, rate: np.float32, step: int) -> tuple[np.float32, ...]:
        return (rate * np.sqrt(_ONE - _BETA_2**step) / (_ONE - _BETA_1**step),)


@compiled
def _nadam(weight, gradient, mean, square, keep, of_mean, of_gradient, of_square):  # type: ignore[no-untyped-def]
    mean += (gradient - mean) * _REST_1
    square += (gradient * gradient - square) * _REST_2
    increment = mean * of_mean + gradient * of_gradient
    root = np.sqrt(square * of_square) + _EPSILON
    return weight * keep - increment / root, mean, square


class _Nadam(Update):
    formula = _nadam
    states = 2
    _product = _ONE

    def _numbers(self, rate: np.float32, step: int) -> tuple[np.float32, ...]:
        now, following = _nadam_momentum(step), _nadam_momentum(step + 1)
        self._product = self._product * now
        return (
            rate * following / (_ONE - self._product * following),
            rate * (_ONE - now) / (_ONE - self._product),
            _ONE / (_ONE - _BETA_2**step),
        )


def _nadam_momentum(step: int) -> np.float32:
    return np.float32(_BETA_1 * (_ONE - np.float32(0.5) * np.float32(0.96) ** step))


@compiled
def _adamax(weight, gradient, mean, largest, keep, rate):  # type: ignore[no-untyped-def]
    mean += (gradient - mean) * _REST_1
    largest = max(largest * _BETA_2, abs(gradient))
    return weight * keep - mean * rate / (largest + _EPSILON), mean, largest


class _Adamax(Update):
    formula = _adamax
    states = 2

    def _numbers(self, rate: np.float32, step: int) -> tuple[np.float32, ...]:
        return (rate / (_ONE - _BETA_1**step),)


_UPDATES: Mapping[str, type[Update]] = {
    "adam": _Adam,
    "adamw": _Adam,
    "nadam": _Nadam,
    "sgd": _Sgd,
    "rmsprop": _Rmsprop,
    "adagrad": _Adagrad,
    "adamax": _Adamax,
}
_WITH_MOMENTUM: Mapping[str, type[Update]] = {
    "sgd": _SgdMomentum,
    "rmsprop": _RmspropMomentum,
}
OPTIMIZERS = tuple(_UPDATES)


def create_update(values: TrialValues) -> Update:
    """The update that `values` name, at its start."""
    name = str(value(values, "optimizer"))
    if name in _WITH_MOMENTUM and float(value(values, "momentum")):
        return _WITH_MOMENTUM[name](values)
    return _UPDATES[name](values)
