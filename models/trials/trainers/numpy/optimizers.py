"""The optimizers of Keras in NumPy: formulas, compiled loops over the weights, learning rates.

Formulas and constants are those of `keras.optimizers` 3.15, in its order of operations. An update
is bound by memory: compiled by Numba it reads and writes each number once, where NumPy takes ten
passes. Compiled code is kept in memory only, because Numba's cache on disk is pickled.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar

import numba
import numpy as np

from models.networks.optimizers import (
    EXPONENTIAL_END,
    FLAT_SHARE,
    PLATEAU_FACTOR,
    PLATEAU_PATIENCE,
)
from models.networks.steps import Steps
from models.space.hyperparameters import TrialValues, value
from models.trials.trainers.base import Floats

SCHEDULES = ("constant", "cosine", "flat_cosine", "exponential", "reduce_on_plateau")

Function = Callable[..., Any]
# (weight, gradient, *states, keep, *numbers) -> (weight, *states). `keep` is the share of a weight
# that its decay leaves.
Formula = Callable[..., tuple[np.float32, ...]]

# NumPy's rules for a division by zero, which gives infinity; Python's check would prevent vector
# instructions.
_compiled: Callable[[Function], Function] = numba.njit(error_model="numpy")

_EPSILON = np.float32(1e-7)
_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_PI = np.float32(math.pi)
_RHO, _REST_RHO = np.float32(0.9), np.float32(1 - 0.9)


class Optimizer:
    """Changes weights by their gradient, one step after the other."""

    formula: ClassVar[Formula]
    states: ClassVar[int] = 0  # arrays of the weights' size that the optimizer keeps
    state_start: ClassVar[float] = 0.0  # their initial value

    def __init__(self, values: TrialValues, size: int) -> None:
        """`size` is the number of trained weights."""
        self._weight_decay = np.float32(float(value(values, "weight_decay")))
        self._momentum = np.float32(float(value(values, "momentum")))
        beta_1, beta_2 = float(value(values, "beta_1")), float(value(values, "beta_2"))
        self._beta_1, self._beta_2 = np.float32(beta_1), np.float32(beta_2)
        self._rest_1, self._rest_2 = np.float32(1 - beta_1), np.float32(1 - beta_2)
        self._states = [np.full(size, self.state_start, np.float32) for _ in range(self.states)]
        self._update = _compile_update(type(self).formula, self.states)
        self._scalars: tuple[np.float32, ...] = ()

    def start_step(self, rate: float, step: int) -> None:
        """Begin a step, counted from 1, with the learning rate `rate`."""
        learning_rate = np.float32(rate)
        keep = _ONE - self._weight_decay * learning_rate
        self._scalars = (keep, *self._numbers(learning_rate, step))

    def update(self, weights: Floats, gradient: Floats, place: slice) -> None:
        """Change the numbers at `place` in the flat array of all weights by their gradient."""
        states = (state[place] for state in self._states)
        self._update(weights[place], gradient[place], *states, *self._scalars)

    def _numbers(self, rate: np.float32, step: int) -> tuple[np.float32, ...]:
        """Return what the formula takes after `keep`."""
        return (rate,)


@cache
def _compile_update(formula: Formula, states: int) -> Function:
    """Compile the loop that applies `formula` to (weights, gradient, *states, *numbers)."""

    # Numba's tuples have a fixed length each, so there is one loop for each number of states.
    def without_state(weights, gradient, *numbers):  # type: ignore[no-untyped-def]
        for i in range(weights.size):
            weights[i] = formula(weights[i], gradient[i], *numbers)[0]

    def with_one(weights, gradient, first, *numbers):  # type: ignore[no-untyped-def]
        for i in range(weights.size):
            weights[i], first[i] = formula(weights[i], gradient[i], first[i], *numbers)

    def with_two(weights, gradient, first, second, *numbers):  # type: ignore[no-untyped-def]
        for i in range(weights.size):
            weights[i], first[i], second[i] = formula(
                weights[i], gradient[i], first[i], second[i], *numbers
            )

    return _compiled((without_state, with_one, with_two)[states])


@_compiled
def _sgd(weight, gradient, keep, rate):  # type: ignore[no-untyped-def]
    return (weight * keep - gradient * rate,)


class _Sgd(Optimizer):
    formula = _sgd


@_compiled
def _sgd_momentum(weight, gradient, velocity, keep, rate, momentum):  # type: ignore[no-untyped-def]
    velocity = velocity * momentum - gradient * rate
    return weight * keep + velocity, velocity


class _SgdMomentum(Optimizer):
    formula = _sgd_momentum
    states = 1

    def _numbers(self, rate: np.float32, step: int) -> tuple[np.float32, ...]:
        return rate, self._momentum


@_compiled
def _rmsprop(weight, gradient, square, keep, rate):  # type: ignore[no-untyped-def]
    square = square * _RHO + gradient * gradient * _REST_RHO
    increment = gradient * rate / np.sqrt(square + _EPSILON)
    return weight * keep - increment, square


class _Rmsprop(Optimizer):
    formula = _rmsprop
    states = 1


@_compiled
def _rmsprop_momentum(weight, gradient, square, velocity, keep, rate, momentum):  # type: ignore[no-untyped-def]
    square = square * _RHO + gradient * gradient * _REST_RHO
    increment = gradient * rate / np.sqrt(square + _EPSILON)
    velocity = velocity * momentum + increment
    return weight * keep - velocity, square, velocity


class _RmspropMomentum(Optimizer):
    formula = _rmsprop_momentum
    states = 2

    def _numbers(self, rate: np.float32, step: int) -> tuple[np.float32, ...]:
        return rate, self._momentum


@_compiled
def _adagrad(weight, gradient, square, keep, rate):  # type: ignore[no-untyped-def]
    square += gradient * gradient
    increment = gradient * rate / np.sqrt(square + _EPSILON)
    return weight * keep - increment, square


class _Adagrad(Optimizer):
    formula = _adagrad
    states = 1
    state_start = 0.1


@_compiled
def _adam(weight, gradient, mean, square, keep, rate, rest_1, rest_2):  # type: ignore[no-untyped-def]
    mean += (gradient - mean) * rest_1
    square += (gradient * gradient - square) * rest_2
    return weight * keep - mean * rate / (np.sqrt(square) + _EPSILON), mean, square


class _Adam(Optimizer):
    formula = _adam
    states = 2

    def _numbers(self, rate: np.float32, step: int) -> tuple[np.float32, ...]:
        rate = rate * np.sqrt(_ONE - self._beta_2**step) / (_ONE - self._beta_1**step)
        return rate, self._rest_1, self._rest_2


@_compiled
def _nadam(  # type: ignore[no-untyped-def]
    weight, gradient, mean, square, keep, of_mean, of_gradient, of_square, rest_1, rest_2
):
    mean += (gradient - mean) * rest_1
    square += (gradient * gradient - square) * rest_2
    increment = mean * of_mean + gradient * of_gradient
    root = np.sqrt(square * of_square) + _EPSILON
    return weight * keep - increment / root, mean, square


class _Nadam(Optimizer):
    formula = _nadam
    states = 2
    _product = _ONE

    def _numbers(self, rate: np.float32, step: int) -> tuple[np.float32, ...]:
        now, following = self._momentum_at(step), self._momentum_at(step + 1)
        self._product = self._product * now
        return (
            rate * following / (_ONE - self._product * following),
            rate * (_ONE - now) / (_ONE - self._product),
            _ONE / (_ONE - self._beta_2**step),
            self._rest_1,
            self._rest_2,
        )

    def _momentum_at(self, step: int) -> np.float32:
        return np.float32(self._beta_1 * (_ONE - _HALF * np.float32(0.96) ** step))


@_compiled
def _adamax(weight, gradient, mean, largest, keep, rate, rest_1, beta_2):  # type: ignore[no-untyped-def]
    mean += (gradient - mean) * rest_1
    largest = max(largest * beta_2, abs(gradient))
    return weight * keep - mean * rate / (largest + _EPSILON), mean, largest


class _Adamax(Optimizer):
    formula = _adamax
    states = 2

    def _numbers(self, rate: np.float32, step: int) -> tuple[np.float32, ...]:
        return rate / (_ONE - self._beta_1**step), self._rest_1, self._beta_2


_BY_NAME: Mapping[str, type[Optimizer]] = {
    "adam": _Adam,
    "adamw": _Adam,
    "nadam": _Nadam,
    "sgd": _Sgd,
    "rmsprop": _Rmsprop,
    "adagrad": _Adagrad,
    "adamax": _Adamax,
}
_WITH_MOMENTUM: Mapping[str, type[Optimizer]] = {
    "sgd": _SgdMomentum,
    "rmsprop": _RmspropMomentum,
}
OPTIMIZERS = tuple(_BY_NAME)


def create_optimizer(values: TrialValues, size: int) -> Optimizer:
    """Create the optimizer that `values` name, for `size` trained weights."""
    name = str(value(values, "optimizer"))
    if name in _WITH_MOMENTUM and float(value(values, "momentum")):
        return _WITH_MOMENTUM[name](values, size)
    return _BY_NAME[name](values, size)


@dataclass(slots=True)
class Rates:
    """Learning rates of a training, computed in float32, as Keras does."""

    schedule: str
    first: np.float32
    steps: Steps
    warmup: float = 0.0  # the share of the steps in which the rate rises
    _plateau: float = field(init=False)
    _best: float = math.inf
    _waited: int = 0

    def __post_init__(self) -> None:
        self._plateau = float(self.first)

    @classmethod
    def of(cls, values: TrialValues, steps: Steps) -> "Rates":
        """Return the rates that `values` name."""
        rate = np.float32(value(values, "learning_rate"))
        warmup = float(value(values, "warmup"))
        return cls(str(value(values, "lr_schedule")), rate, steps, warmup)

    def at(self, step: int) -> float:
        """Return the rate of a step, counted from 0 where this training begins."""
        passed = np.float32(min(step + self.steps.done, self.steps.total))
        rate = self._scheduled(passed / np.float32(self.steps.total))
        if not self.warmup:
            return rate
        return rate * min(1.0, (step + self.steps.done + 1) / (self.warmup * self.steps.total))

    def _scheduled(self, share: np.float32) -> float:
        """Return the rate after a share of all steps, without the warm-up."""
        match self.schedule:
            case "cosine":
                return float(self.first * (_HALF * (_ONE + np.cos(_PI * share))))
            case "flat_cosine":
                flat = np.float32(FLAT_SHARE)
                fallen = max(share - flat, _ZERO) / (_ONE - flat)
                return float(self.first * (_HALF * (_ONE + np.cos(_PI * fallen))))
            case "exponential":
                return float(self.first * np.float32(EXPONENTIAL_END) ** share)
            case _:
                return self._plateau

    def end_epoch(self, val_loss: float) -> None:
        """Lower the rate of `reduce_on_plateau` when `val_loss` has stopped falling."""
        if self.schedule != "reduce_on_plateau":
            return
        if val_loss < self._best:
            self._best, self._waited = val_loss, 0
            return
        self._waited += 1
        if self._waited >= PLATEAU_PATIENCE:
            self._plateau = float(np.float32(self._plateau * PLATEAU_FACTOR))
            self._waited = 0
