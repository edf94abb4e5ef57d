"""The optimizers of Keras as updates of one flat array, with Keras's constants and its rounding.

Formulas and constants are those of `keras.optimizers` 3.15. Moments that Keras keeps as averages
are kept here as sums, m / (1 - beta), which takes one pass over memory less.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from models.networks.values import value
from models.space.hyperparameters import TrialValues
from models.trials.arrays.types import Floats

# Numbers worked on at once: what one update reads and writes then stays in the core's cache.
CHUNK = 16384

_EPSILON = np.float32(1e-7)
_ONE = np.float32(1)


class Update(ABC):
    """Changes weights by their gradient, step after step, in pieces that stay in the cache."""

    states: ClassVar[int] = 0  # arrays of the weights' size that the optimizer keeps
    state_start: ClassVar[float] = 0.0  # what they are filled with

    def __init__(self, weights: Floats, gradient: Floats, weight_decay: float) -> None:
        kept = [np.full_like(weights, self.state_start) for _ in range(self.states)]
        spare = np.empty(min(CHUNK, weights.size), np.float32)
        self._pieces = [
            tuple(array[start : start + CHUNK] for array in (weights, gradient, *kept))
            for start in range(0, weights.size, CHUNK)
        ]
        self._pieces = [(*piece, spare[: piece[0].size]) for piece in self._pieces]
        self._weight_decay = np.float32(weight_decay)

    def step(self, rate: float, step: int) -> None:
        """Take one step, counted from 1, with the learning rate `rate`."""
        learning_rate = np.float32(rate)
        if self._weight_decay:
            keep = _ONE - self._weight_decay * learning_rate
            for piece in self._pieces:
                np.multiply(piece[0], keep, out=piece[0])
        self._prepare(learning_rate, step)
        for piece in self._pieces:
            self._apply(*piece)

    @abstractmethod
    def _prepare(self, rate: np.float32, step: int) -> None:
        """Work out the numbers that are the same for every weight."""

    @abstractmethod
    def _apply(self, *piece: Floats) -> None:
        """Update one piece: weights, gradient, states, spare memory. The gradient may be spoilt."""


class _Sgd(Update):
    def _prepare(self, rate: np.float32, step: int) -> None:
        self._rate = rate

    def _apply(self, *piece: Floats) -> None:
        weights, gradient, _ = piece
        np.multiply(gradient, self._rate, out=gradient)
        np.subtract(weights, gradient, out=weights)


class _Momentum(Update):
    states = 1
    momentum = np.float32(0)

    def _prepare(self, rate: np.float32, step: int) -> None:
        self._rate = rate

    def _apply(self, *piece: Floats) -> None:
        weights, gradient, velocity, _ = piece
        np.multiply(gradient, self._rate, out=gradient)
        np.multiply(velocity, self.momentum, out=velocity)
        np.subtract(velocity, gradient, out=velocity)
        np.add(weights, velocity, out=weights)


class _Rmsprop(Update):
    states = 1
    rho = np.float32(0.9)

    def _prepare(self, rate: np.float32, step: int) -> None:
        self._rate = rate

    def _apply(self, *piece: Floats) -> None:
        weights, increment = piece[0], self._increment(*piece)
        np.subtract(weights, increment, out=weights)

    def _increment(self, *piece: Floats) -> Floats:
        gradient, square, spare = piece[1], piece[2], piece[-1]
        np.multiply(gradient, gradient, out=spare)
        np.multiply(spare, _ONE - self.rho, out=spare)
        np.multiply(square, self.rho, out=square)
        np.add(square, spare, out=square)
        np.add(square, _EPSILON, out=spare)
        np.sqrt(spare, out=spare)
        np.multiply(gradient, self._rate, out=gradient)
        np.divide(gradient, spare, out=gradient)
        return gradient


class _RmspropMomentum(_Rmsprop):
    states = 2
    momentum = np.float32(0)

    def _apply(self, *piece: Floats) -> None:
        weights, velocity, increment = piece[0], piece[3], self._increment(*piece)
        np.multiply(velocity, self.momentum, out=velocity)
        np.add(velocity, increment, out=velocity)
        np.subtract(weights, velocity, out=weights)


class _Adagrad(Update):
    states = 1
    state_start = 0.1

    def _prepare(self, rate: np.float32, step: int) -> None:
        self._rate = rate

    def _apply(self, *piece: Floats) -> None:
        weights, gradient, square, spare = piece
        np.multiply(gradient, gradient, out=spare)
        np.add(square, spare, out=square)
        np.add(square, _EPSILON, out=spare)
        np.sqrt(spare, out=spare)
        np.multiply(gradient, self._rate, out=gradient)
        np.divide(gradient, spare, out=gradient)
        np.subtract(weights, gradient, out=weights)


_BETA_1, _BETA_2 = np.float32(0.9), np.float32(0.999)
_REST_1, _REST_2 = np.float32(1 - 0.9), np.float32(1 - 0.999)


def _add_moment(moment: Floats, beta: np.float32, new: Floats) -> None:
    np.multiply(moment, beta, out=moment)
    np.add(moment, new, out=moment)


class _Adam(Update):
    states = 2

    def _prepare(self, rate: np.float32, step: int) -> None:
        left_1, left_2 = _ONE - _BETA_1**step, _ONE - _BETA_2**step
        # weights -= rate m / (sqrt(v) + epsilon), where m and v are sums times _REST_1 and _REST_2.
        root = np.sqrt(_REST_2)
        self._rate = rate * np.sqrt(left_2) / left_1 * _REST_1 / root
        self._epsilon = _EPSILON / root

    def _apply(self, *piece: Floats) -> None:
        weights, gradient, mean, square, spare = piece
        _add_moment(mean, _BETA_1, gradient)
        np.multiply(gradient, gradient, out=gradient)
        _add_moment(square, _BETA_2, gradient)
        np.sqrt(square, out=spare)
        np.add(spare, self._epsilon, out=spare)
        np.divide(mean, spare, out=spare)
        np.multiply(spare, self._rate, out=spare)
        np.subtract(weights, spare, out=weights)


class _Nadam(Update):
    states = 2

    def _prepare(self, rate: np.float32, step: int) -> None:
        if step == 1:
            self._product = _ONE
        now, following = _nadam_momentum(step), _nadam_momentum(step + 1)
        self._product = self._product * now
        root = np.sqrt(_REST_2 / (_ONE - _BETA_2**step))
        self._of_mean = rate * following / (_ONE - self._product * following) * _REST_1 / root
        self._of_gradient = rate * (_ONE - now) / (_ONE - self._product) / root
        self._epsilon = _EPSILON / root

    def _apply(self, *piece: Floats) -> None:
        weights, gradient, mean, square, spare = piece
        _add_moment(mean, _BETA_1, gradient)
        np.multiply(gradient, gradient, out=spare)
        _add_moment(square, _BETA_2, spare)
        np.multiply(gradient, self._of_gradient, out=gradient)
        np.multiply(mean, self._of_mean, out=spare)
        np.add(gradient, spare, out=gradient)
        np.sqrt(square, out=spare)
        np.add(spare, self._epsilon, out=spare)
        np.divide(gradient, spare, out=gradient)
        np.subtract(weights, gradient, out=weights)


def _nadam_momentum(step: int) -> np.float32:
    return np.float32(_BETA_1 * (_ONE - np.float32(0.5) * np.float32(0.96) ** step))


class _Adamax(Update):
    states = 2

    def _prepare(self, rate: np.float32, step: int) -> None:
        self._rate = rate / (_ONE - _BETA_1**step) * _REST_1

    def _apply(self, *piece: Floats) -> None:
        weights, gradient, mean, largest, spare = piece
        _add_moment(mean, _BETA_1, gradient)
        np.absolute(gradient, out=gradient)
        np.multiply(largest, _BETA_2, out=largest)
        np.maximum(largest, gradient, out=largest)
        np.add(largest, _EPSILON, out=spare)
        np.divide(mean, spare, out=spare)
        np.multiply(spare, self._rate, out=spare)
        np.subtract(weights, spare, out=weights)


_UPDATES: Mapping[str, type[Update]] = {
    "adam": _Adam,
    "adamw": _Adam,
    "nadam": _Nadam,
    "sgd": _Sgd,
    "rmsprop": _Rmsprop,
    "adagrad": _Adagrad,
    "adamax": _Adamax,
}
_WITH_MOMENTUM: Mapping[str, type[_Momentum] | type[_RmspropMomentum]] = {
    "sgd": _Momentum,
    "rmsprop": _RmspropMomentum,
}
OPTIMIZERS = tuple(_UPDATES)


def create_update(values: TrialValues, weights: Floats, gradient: Floats) -> Update:
    """The update that `values` name, of the flat arrays `weights` and `gradient`."""
    name, decay = str(value(values, "optimizer")), float(value(values, "weight_decay"))
    momentum = float(value(values, "momentum"))
    if name in _WITH_MOMENTUM and momentum:
        update = _WITH_MOMENTUM[name](weights, gradient, decay)
        update.momentum = np.float32(momentum)
        return update
    return _UPDATES[name](weights, gradient, decay)
