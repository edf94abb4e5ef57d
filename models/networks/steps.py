"""The length of a training: in optimizer steps, and the epochs that a job has by default."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

# A network takes thousands of steps to converge, however few rows it learns from: with 50 epochs,
# tables of some hundred rows were best at epochs 40 to 47. An epoch of more rows takes more steps,
# so fewer epochs do; early stopping ends most trainings before. A convolutional network needs fewer
# steps, each of which takes many times as long.
TARGET_STEPS: Mapping[str, int] = {"mlp": 8_000, "cnn": 2_000}
MIN_EPOCHS, MAX_EPOCHS = 20, 200
# Of the epochs, the share that may pass without a better one, and the least number of them.
PATIENCE_SHARE = 1 / 8
MIN_PATIENCE = 10


@dataclass(frozen=True, slots=True)
class Steps:
    """The length of a training in optimizer steps, one step a batch."""

    total: int  # of the whole training, `done` included
    done: int = 0  # by the parent trial whose weights this one continues


def default_epochs(network: str, rows: float, batch_size: int) -> int:
    """Return the epochs of a training on `rows` rows that a request leaves open."""
    batches = math.ceil(max(1, rows) / batch_size)
    return min(MAX_EPOCHS, max(MIN_EPOCHS, math.ceil(TARGET_STEPS[network] / batches)))


def default_patience(epochs: int) -> int:
    """Return the patience of early stopping, in epochs, that a request leaves open."""
    return max(MIN_PATIENCE, int(epochs * PATIENCE_SHARE))
