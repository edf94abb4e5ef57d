"""When two sets of answers count as the same."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from models.errors import LuthierError

Array = np.ndarray[Any, Any]

TOLERANCE = 1e-4


class ParityError(LuthierError):
    """The ONNX graph answers otherwise than the network it was made from."""


@dataclass(frozen=True, slots=True)
class Parity:
    """How near the ONNX graph came to the Keras network."""

    difference: float  # the largest; see `largest_difference`
    tolerance: float
    rows: int  # compared, synthetic ones included


def largest_difference(
    expected: Array, actual: Array, centre: float = 0.0, unit: float = 1.0
) -> float:
    """The largest difference between answers of shape (rows, outputs), in units of `unit`.

    Where an expected value lies farther than `unit` from `centre`, its distance is the unit: with
    a regression target's mean and standard deviation, the difference is a share of the deviation,
    or relative for a value far out; with the defaults, that of probabilities is absolute. Two
    answers that are not finite count as equal, since both are served as null; a finite one beside
    one that is not differs infinitely.
    """
    if expected.shape != actual.shape:
        return float("inf")
    known = np.isfinite(expected)
    if (known != np.isfinite(actual)).any():
        return float("inf")
    expected, actual = expected[known], actual[known].astype(np.float64)
    units = np.maximum(unit, np.abs(expected - centre))
    return float(np.max(np.abs(expected - actual) / units, initial=0.0))
