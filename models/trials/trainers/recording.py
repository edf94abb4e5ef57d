"""The record of a run: its history, which epoch was best, when to end it."""

import math
from typing import Self

from models.data.preparation.tasks import Task
from models.trials.trainers.base import EpochReport, Report, Run, TrainingData


class Recorder:
    """Observation of every epoch, decides which weights to keep and when training ends.

    Kept are the weights of the epoch with the least validation loss. Training ends at an epoch
    whose losses are not finite, or by the early-stopping rule: `patience` epochs in a row whose
    validation loss is not below the best by more than `min_delta`, or when whoever is told of the
    epochs says so. The history is in the target's own units.
    """

    def __init__(
        self, run: Run, companion: str, loss_unit: float = 1.0, companion_unit: float = 1.0
    ) -> None:
        names = ("loss", "val_loss", companion, f"val_{companion}")
        self.history: dict[str, list[float]] = {name: [] for name in names}
        self.best_epoch = 0
        self.diverged = False
        self.ended = False
        self.stopped = False  # from outside, before it would have ended
        self._units = (loss_unit, loss_unit, companion_unit, companion_unit)
        self._run = run
        self._rule = run.early_stopping
        self._best_loss = math.inf
        self._loss_to_beat = math.inf
        self._waited = 0

    @classmethod
    def of(cls, run: Run, data: TrainingData) -> Self:
        """The record of a run on `data`, whose target may be scaled."""
        if data.outputs.task is not Task.REGRESSION:
            return cls(run, data.outputs.companion)
        return cls(run, data.outputs.companion, data.target_scale**2, data.target_scale)

    def tell(self, report: Report, epoch: int) -> None:
        """Report the epoch recorded last, which may end the run."""
        latest = {name: figures[-1] for name, figures in self.history.items()}
        is_hopeless = report(EpochReport(self._run.fold, self._run.execution, epoch, latest))
        if is_hopeless and not self.ended and epoch < self._run.epochs:
            self.ended = self.stopped = True

    def record(
        self, epoch: int, loss: float, val_loss: float, companion: float, val_companion: float
    ) -> bool:
        """Take the figures of `epoch`, counted from 1; whether its weights are to be kept."""
        figures = (loss, val_loss, companion, val_companion)
        for series, figure, unit in zip(self.history.values(), figures, self._units, strict=True):
            series.append(float(figure) * unit)
        own_loss = self.history["val_loss"][-1]
        if not (math.isfinite(own_loss) and math.isfinite(loss)):
            self.diverged = self.ended = True
            return False
        self._stop_early(own_loss)
        if own_loss < self._best_loss:
            self._best_loss = own_loss
            self.best_epoch = epoch
            return True
        return False

    def _stop_early(self, loss: float) -> None:
        if self._rule is None:
            return
        if loss < self._loss_to_beat - self._rule.min_delta:
            self._loss_to_beat = loss
            self._waited = 0
            return
        self._waited += 1
        self.ended = self._waited >= self._rule.patience
