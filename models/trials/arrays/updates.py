"""The optimizers of Keras as updates of one flat array, compiled by Numba.

Formulas and constants are those of `keras.optimizers` 3.15, in its order of operations. An update
is bound by memory: compiled, it reads and writes each number once, where NumPy takes ten passes.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

import numba
import numpy as np

from models.networks.values import value
from models.space.hyperparameters import TrialValues
from models.trials.arrays.types import Floats

# (weights, gradient, *states, keep, *numbers): changes weights and states. `keep` is the share of
# a weight that its decay leaves.
Kernel = Callable[..., None]

# NumPy's rules for a division by zero, which gives infinity; Python's check would cost the
# vector instructions. Kept in memory only: Numba's cache on disk is pickled.
_compile: Callable[[Kernel], Kernel] = numba.njit(error_model="numpy")

_EPSILON = np.float32(1e-7)
_ZERO, _ONE = np.float32(0), np.float32(1)
_BETA_1, _BETA_2 = np.float32(0.9), np.float32(0.999)
_REST_1, _REST_2 = np.float32(1 - 0.9), np.float32(1 - 0.999)
_RHO, _REST_RHO = np.float32(0.9), np.float32(1 - 0.9)


class Update(ABC):
    """Changes weights by their gradient, step after step."""

    kernel: ClassVar[Kernel]
    states: ClassVar[int] = 0  # arrays of the weights' size that the optimizer keeps
    state_start: ClassVar[float] = 0.0  # what they are filled with

    def __init__(self, weights: Floats, gradient: Floats, values: TrialValues) -> None:
        kept = [np.full_like(weights, self.state_start) for _ in range(self.states)]
        self._arrays = (weights, gradient, *kept)
        self._weight_decay = np.float32(float(value(values, "weight_decay")))
        self._momentum = np.float32(float(value(values, "momentum")))

    def step(self, rate: float, step: int) -> None:
        """Take one step, counted from 1, with the learning rate `rate`."""
        learning_rate = np.float32(rate)
        keep = _ONE - self._weight_decay * learning_rate
        type(self).kernel(*self._arrays, keep, *self._numbers(learning_rate, step))

    @abstractmethod
    def _numbers(self, rate: np.float32, step: int) -> tuple[np.float32, ...]:
        """The numbers of a step that are the same for every weight, in the kernel's order."""


@_compile
def _sgd(weights, gradient, keep, rate):  # type: ignore[no-untyped-def]
    for i in range(weights.size):
        weights[i] = weights[i] * keep - gradient[i] * rate


class _Sgd(Update):
    kernel = _sgd

    def _numbers(self, rate: np.float32, step: int) -> tuple[np.float32, ...]:
        return (rate,)


@_compile
def _sgd_momentum(weights, gradient, velocity, keep, rate, momentum):  # type: ignore[no-untyped-def]
    for i in range(weights.size):
        velocity[i] = velocity[i] * momentum - gradient[i] * rate
        weights[i] = weights[i] * keep + velocity[i]


class _SgdMomentum(Update):
    kernel = _sgd_momentum
    states = 1

    def _numbers(self, rate: np.float32, step: int) -> tuple[np.float32, ...]:
        return rate, self._momentum


@_compile
def _rmsprop(weights, gradient, square, keep, rate):  # type: ignore[no-untyped-def]
    for i in range(weights.size):
        square[i] = square[i] * _RHO + gradient[i] * gradient[i] * _REST_RHO
        increment = gradient[i] * rate / np.sqrt(square[i] + _EPSILON)
        weights[i] = weights[i] * keep - increment


class _Rmsprop(Update):
    kernel = _rmsprop
    states = 1

    def _numbers(self, rate: np.float32, step: int) -> tuple[np.float32, ...]:
        return (rate,)


@_compile
def _rmsprop_momentum(weights, gradient, square, velocity, keep, rate, momentum):  # type: ignore[no-untyped-def]
    for i in range(weights.size):
        square[i] = square[i] * _RHO + gradient[i] * gradient[i] * _REST_RHO
        increment = gradient[i] * rate / np.sqrt(square[i] + _EPSILON)
        velocity[i] = velocity[i] * momentum + increment
        weights[i] = weights[i] * keep - velocity[i]


class _RmspropMomentum(Update):
    kernel = _rmsprop_momentum
    states = 2

    def _numbers(self, rate: np.float32, step: int) -> tuple[np.float32, ...]:
        return rate, self._momentum


@_compile
def _adagrad(weights, gradient, square, keep, rate):  # type: ignore[no-untyped-def]
    for i in range(weights.size):
        square[i] += gradient[i] * gradient[i]
        increment = gradient[i] * rate / np.sqrt(square[i] + _EPSILON)
        weights[i] = weights[i] * keep - increment


class _Adagrad(Update):
    kernel = _adagrad
    states = 1
    state_start = 0.1

    def _numbers(self, rate: np.float32, step: int) -> tuple[np.float32, ...]:
        return (rate,)


@_compile
def _adam(weights, gradient, mean, square, keep, rate):  # type: ignore[no-untyped-def]
    for i in range(weights.size):
        mean[i] += (gradient[i] - mean[i]) * _REST_1
        square[i] += (gradient[i] * gradient[i] - square[i]) * _REST_2
        weights[i] = weights[i] * keep - mean[i] * rate / (np.sqrt(square[i]) + _EPSILON)


class _Adam(Update):
    kernel = _adam
    states = 2

    def _numbers(self, rate: np.float32, step: int) -> tuple[np.float32, ...]:
        return (rate * np.sqrt(_ONE - _BETA_2**step) / (_ONE - _BETA_1**step),)


@_compile
def _nadam(weights, gradient, mean, square, keep, of_mean, of_gradient, of_square):  # type: ignore[no-untyped-def]
    for i in range(weights.size):
        mean[i] += (gradient[i] - mean[i]) * _REST_1
        square[i] += (gradient[i] * gradient[i] - square[i]) * _REST_2
        increment = mean[i] * of_mean + gradient[i] * of_gradient
        root = np.sqrt(square[i] * of_square) + _EPSILON
        weights[i] = weights[i] * keep - increment / root


class _Nadam(Update):
    kernel = _nadam
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


@_compile
def _adamax(weights, gradient, mean, largest, keep, rate):  # type: ignore[no-untyped-def]
    for i in range(weights.size):
        mean[i] += (gradient[i] - mean[i]) * _REST_1
        largest[i] = max(largest[i] * _BETA_2, abs(gradient[i]))
        weights[i] = weights[i] * keep - mean[i] * rate / (largest[i] + _EPSILON)


class _Adamax(Update):
    kernel = _adamax
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


def create_update(values: TrialValues, weights: Floats, gradient: Floats) -> Update:
    """The update that `values` name, of the flat arrays `weights` and `gradient`."""
    name = str(value(values, "optimizer"))
    if name in _WITH_MOMENTUM and float(value(values, "momentum")):
        return _WITH_MOMENTUM[name](weights, gradient, values)
    return _UPDATES[name](weights, gradient, values)
