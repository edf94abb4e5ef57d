"""Batch normalization and dropout in NumPy, on signals of shape (units, rows)."""

import numpy as np

from models.trials.trainers.base import Floats
from models.trials.trainers.numpy.layout import Moving, Scaling

# The constants of Keras's BatchNormalization.
_EPSILON = np.float32(1e-3)
_MOMENTUM = np.float32(0.99)
_REST = np.float32(1 - 0.99)

_LEVELS = 1 << 16
_PER_DRAW = 4  # numbers of 16 bits in one of 64


class Normalization:
    """Normalizes each unit over the rows, in place (Ioffe and Szegedy, 2015)."""

    def __init__(
        self, scaling: Scaling, moving: Moving, gradient: Scaling | None, rows: int
    ) -> None:
        self._scaling, self._moving, self._gradient = scaling, moving, gradient
        self._rows = np.float32(rows)
        self._normal = np.empty((len(scaling.gamma), rows), np.float32)
        self._inverse: Floats = np.empty(0, np.float32)

    def infer(self, signal: Floats) -> None:
        """Normalize by the running moments."""
        scale = self._scaling.gamma / np.sqrt(self._moving.variance + _EPSILON)
        np.multiply(signal, scale, out=signal)
        np.add(signal, self._scaling.beta - self._moving.mean * scale, out=signal)

    def learn(self, signal: Floats) -> None:
        """Normalize by the moments of these rows, and update the running moments."""
        mean = signal.mean(axis=1, keepdims=True)
        np.subtract(signal, mean, out=self._normal)
        variance = np.square(self._normal).mean(axis=1, keepdims=True)
        for running, now in ((self._moving.mean, mean), (self._moving.variance, variance)):
            np.multiply(running, _MOMENTUM, out=running)
            np.add(running, now * _REST, out=running)
        self._inverse = np.float32(1) / np.sqrt(variance + _EPSILON)
        np.multiply(self._normal, self._inverse, out=self._normal)
        np.multiply(self._normal, self._scaling.gamma, out=signal)
        np.add(signal, self._scaling.beta, out=signal)

    def back(self, slope: Floats, spare: Floats) -> None:
        """Turn the gradient by the result into that by the signal; write those by the weights."""
        assert self._gradient is not None
        gamma, beta = self._gradient.gamma, self._gradient.beta
        np.multiply(slope, self._normal, out=spare)
        np.sum(spare, axis=1, keepdims=True, out=gamma)
        np.sum(slope, axis=1, keepdims=True, out=beta)
        np.multiply(self._normal, gamma / self._rows, out=spare)
        np.subtract(slope, spare, out=slope)
        np.subtract(slope, beta / self._rows, out=slope)
        np.multiply(slope, self._scaling.gamma * self._inverse, out=slope)


class Dropout:
    """Sets a share `rate` of a signal to 0 and scales the rest, so that the mean is kept.

    Sixteen random bits decide on each number, which makes the share exact to 1 in 65,536; drawing
    floats takes five times as long.
    """

    def __init__(self, rate: float, shape: tuple[int, int]) -> None:
        self._threshold = np.uint16(min(round(rate * _LEVELS), _LEVELS - 1))
        self._scale = np.float32(_LEVELS / (_LEVELS - int(self._threshold)))
        self._size = shape[0] * shape[1]
        self._draws = -(-self._size // _PER_DRAW)
        self._factors = np.empty(shape, np.float32)

    def learn(self, signal: Floats, dropped: Floats, noise: np.random.SFC64) -> None:
        """Write `signal` to `dropped`, with a new random choice of zeros."""
        levels = noise.random_raw(self._draws).view(np.uint16)[: self._size]
        kept = np.greater_equal(levels, self._threshold).reshape(signal.shape)
        np.multiply(kept, self._scale, out=self._factors)
        np.multiply(signal, self._factors, out=dropped)

    def back(self, slope: Floats) -> None:
        """Turn the gradient by `dropped` into that by `signal`."""
        np.multiply(slope, self._factors, out=slope)
