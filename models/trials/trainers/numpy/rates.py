"""The learning rate of every step, by the schedules of `models.networks.optimizers`."""

import math
from dataclasses import dataclass, field

import numpy as np

from models.networks.optimizers import (
    EXPONENTIAL_END,
    PLATEAU_FACTOR,
    PLATEAU_PATIENCE,
    Steps,
)
from models.space.hyperparameters import TrialValues, value

SCHEDULES = ("constant", "cosine", "exponential", "reduce_on_plateau")

_ONE, _HALF, _PI = np.float32(1), np.float32(0.5), np.float32(math.pi)


@dataclass(slots=True)
class Rates:
    """Learning rates of a training, computed in float32, as Keras does."""

    schedule: str
    first: np.float32
    steps: Steps
    _plateau: float = field(init=False)
    _best: float = math.inf
    _waited: int = 0

    def __post_init__(self) -> None:
        self._plateau = float(self.first)

    @classmethod
    def of(cls, values: TrialValues, steps: Steps) -> "Rates":
        """Return the rates that `values` name."""
        rate = np.float32(value(values, "learning_rate"))
        return cls(str(value(values, "lr_schedule")), rate, steps)

    def at(self, step: int) -> float:
        """Return the rate of a step, counted from 0 where this training begins."""
        passed = np.float32(min(step + self.steps.done, self.steps.total))
        share = passed / np.float32(self.steps.total)
        match self.schedule:
            case "cosine":
                return float(self.first * (_HALF * (_ONE + np.cos(_PI * share))))
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
