"""A Keras callback that records a run: its history, its best weights, when to end it."""

import math
from typing import Any

import keras

from models.networks.families import TASK_LOSS
from models.trials.spec import EarlyStopping
from models.trials.trainer import Array


class Recorder(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps the weights of the epoch with the least validation loss.

    Training ends at an epoch whose losses are not finite, or by the early-stopping rule: `patience`
    epochs in a row whose validation loss is not below the best by more than `min_delta`. Losses
    and the companion metric are multiplied by `loss_unit` and `companion_unit`, which brings them
    to the target's own units.
    """

    def __init__(
        self,
        companion: str,
        loss_unit: float,
        companion_unit: float,
        early_stopping: EarlyStopping | None,
    ) -> None:
        super().__init__()
        self.history: dict[str, list[float]] = {}
        self.best_weights: list[Array] = []
        self.best_epoch = 0
        self.diverged = False
        self._columns = {
            "loss": (TASK_LOSS, loss_unit),
            "val_loss": (f"val_{TASK_LOSS}", loss_unit),
            companion: (companion, companion_unit),
            f"val_{companion}": (f"val_{companion}", companion_unit),
        }
        self._early_stopping = early_stopping
        self._best_loss = math.inf
        self._loss_to_beat = math.inf
        self._waited = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Record the epoch; Keras counts it from 0."""
        known = logs or {}
        for name, (key, unit) in self._columns.items():
            self.history.setdefault(name, []).append(float(known[key]) * unit)
        loss = self.history["val_loss"][-1]
        if not (math.isfinite(loss) and math.isfinite(known["loss"])):
            self.diverged = True
            self.model.stop_training = True
            return
        if loss < self._best_loss:
            self._best_loss = loss
            self.best_epoch = epoch + 1
            self.best_weights = self.model.get_weights()
        if self._early_stopping is not None:
            self._stop_early(loss, self._early_stopping)

    def _stop_early(self, loss: float, rule: EarlyStopping) -> None:
        if loss < self._loss_to_beat - rule.min_delta:
            self._loss_to_beat = loss
            self._waited = 0
            return
        self._waited += 1
        if self._waited >= rule.patience:
            self.model.stop_training = True
