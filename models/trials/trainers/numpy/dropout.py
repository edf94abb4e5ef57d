"""Dropout in NumPy."""

import numpy as np

from models.trials.trainers.numpy.types import Floats

_LEVELS = 1 << 16
_PER_DRAW = 4  # numbers of 16 bits in one of 64


class Dropout:
    """Sets a share `rate` of a signal to 0 and scales the rest, so that its mean stays.

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
        """Write `signal` to `dropped`, with a new choice of what is left out."""
        levels = noise.random_raw(self._draws).view(np.uint16)[: self._size]
        kept = np.greater_equal(levels, self._threshold).reshape(signal.shape)
        np.multiply(kept, self._scale, out=self._factors)
        np.multiply(signal, self._factors, out=dropped)

    def back(self, slope: Floats) -> None:
        """Turn the gradient by `dropped` into that by `signal`."""
        np.multiply(slope, self._factors, out=slope)
