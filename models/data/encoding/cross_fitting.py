"""Numbers fitted to the target, which training rows get from the other rows alone.

An encoding that has seen the target of a row tells the network that target, and nothing of rows
to come. So the training rows are divided, and each part gets the encoding fitted to the others.
"""

from collections.abc import Iterator

import numpy as np
from sklearn.model_selection import KFold

from models.data.encoding.features import Array

MAX_TARGETS = 16  # numbers that a column gets, however many classes there are
PARTS = 5


def target_columns(y: Array) -> Array:
    """Convert encoded targets, (rows,), to the numbers that encodings are fitted to.

    A regression and two classes have one column, float64 (rows, 1). More classes have one each of
    0 and 1; beyond MAX_TARGETS, the most frequent have, and the others share the last.
    """
    if y.dtype.kind == "f" or y.max(initial=0) < 2:
        return y.astype(np.float64)[:, None]
    classes, numbers = np.unique(y, return_inverse=True)
    if len(classes) > MAX_TARGETS:
        ranks = np.argsort(np.argsort(-np.bincount(numbers), kind="stable"))
        numbers = np.minimum(ranks[numbers], MAX_TARGETS - 1)
    columns: Array = numbers[:, None] == np.arange(min(len(classes), MAX_TARGETS))
    return columns.astype(np.float64)


def parts(rows: int, seed: int) -> Iterator[tuple[Array, Array]]:
    """Yield the rows to fit on and the rows to encode, PARTS times; every row is encoded once."""
    if rows < PARTS:
        nobody = np.arange(0)
        yield nobody, np.arange(rows)
        return
    yield from KFold(PARTS, shuffle=True, random_state=seed).split(np.empty(rows))


def standardise(numbers: Array) -> tuple[Array, Array]:
    """Return mean and scale of the columns of (rows, columns); the scale of a constant is 1."""
    scale = numbers.std(axis=0)
    return numbers.mean(axis=0), np.where(scale < 1e-9, 1.0, scale)
