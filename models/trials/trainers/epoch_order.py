"""The order in which an epoch visits its rows: one for every trainer."""

from typing import Any

import numpy as np


def epoch_order(seed: int, epoch: int, rows: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Every row number once, shuffled; `epoch` is counted from 0 over the whole training."""
    return np.random.default_rng([seed, epoch]).permutation(rows)
