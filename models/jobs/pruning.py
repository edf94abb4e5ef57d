"""Rules that end hopeless trials early, and the curves they look at.

A trial is compared by its first run alone, that is by the first fold and execution: the runs of a
trial follow each other, so that only the first can spare the others, and the same fold of two
trials compares better than different ones. What is compared is the monitored metric, by which each
training also chooses its best epoch.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import median
from typing import ClassVar

from models.errors import Invalid
from models.oracles.strategy import Hyperband, Strategy
from models.trials.monitor import Monitor
from models.trials.spec import TrialResult
from models.trials.trainers.base import EpochReport

Curve = Sequence[float]  # one figure per epoch, the less the better
History = Mapping[str, Sequence[float | None]]  # figures per epoch, by name
FIRST_RUN = (0, 0)  # fold and execution


@dataclass(frozen=True, slots=True)
class Rivals:
    """The trials that one is compared with."""

    curves: Sequence[Curve]  # of all others, as far as they have come
    running_means: Sequence[Curve]  # of those that were completed: per epoch, the mean until then


@dataclass(frozen=True, slots=True)
class MedianRule:
    """Stop a trial whose best is worse than what the others were on average.

    The median stopping rule of Golovin et al., "Google Vizier: A Service for Black-Box
    Optimization", KDD 2017.
    """

    rule: ClassVar[str] = "median"
    min_epochs: int = 5  # that every trial gets
    min_trials: int = 5  # completed before any is stopped

    def is_hopeless(self, curve: Curve, seen: int, rivals: Rivals) -> bool:
        """Whether `curve`'s best is strictly worse than the median of the completed trials' means.

        These are over as many epochs as `curve` has. The first `seen` epochs were compared before.
        """
        epochs, means = len(curve), rivals.running_means
        if epochs < self.min_epochs or len(means) < self.min_trials:
            return False
        return min(curve) > median(each[min(epochs, len(each)) - 1] for each in means)


@dataclass(frozen=True, slots=True)
class AshaRule:
    """Stop a trial that is not among the best at a rung.

    Asynchronous successive halving of Li et al., "A System for Massively Parallel Hyperparameter
    Tuning", MLSys 2020, in the variant that stops trials in place of pausing them. The rungs lie at
    `min_epochs`, `min_epochs` times `reduction_factor`, times its square and so on.
    """

    rule: ClassVar[str] = "asha"
    min_epochs: int = 5  # where the first rung lies
    reduction_factor: int = 4  # one trial in so many goes on from a rung

    def is_hopeless(self, curve: Curve, seen: int, rivals: Rivals) -> bool:
        """Whether `curve` fails at one of the rungs above `seen` epochs.

        At each, it must be among the best 1 / `reduction_factor` of all trials that came as far,
        itself included, or the best of them; equals go on.
        """
        rung = self.min_epochs
        while rung <= len(curve):
            if rung > seen and self._fails(rung, curve, rivals.curves):
                return True
            rung *= self.reduction_factor
        return False

    def _fails(self, rung: int, curve: Curve, others: Iterable[Curve]) -> bool:
        reached = [curve, *(other for other in others if len(other) >= rung)]
        bests = sorted(min(each[:rung]) for each in reached)
        kept = max(1, len(bests) // self.reduction_factor)
        return min(curve[:rung]) > bests[kept - 1]


PruningRule = MedianRule | AshaRule

RULES: Mapping[str, type[PruningRule]] = {rule.rule: rule for rule in (MedianRule, AshaRule)}


def check_pruning(
    pruning: PruningRule | None, strategy: Strategy, epochs: int, start_from_epoch: int = 0
) -> None:
    """Raise Invalid for a rule that has no place in a job; `epochs` are its budget's."""
    if pruning is None:
        return
    if isinstance(strategy, Hyperband):
        raise Invalid.at(
            "pruning",
            "Hyperband itself ends weak trials early and needs those it chose to reach the end of"
            " their rounds; leave out `pruning` or take another strategy.",
        )
    first = start_from_epoch + pruning.min_epochs
    if first >= epochs:
        raise Invalid.at(
            "pruning.min_epochs",
            f"A trial has {epochs} epochs, so none could be stopped after {first}.",
        )


class Pruner:
    """Finds the hopeless trials of one job by its rule; without a rule no trial is hopeless."""

    def __init__(
        self, rule: PruningRule | None, monitor: Monitor, start_from_epoch: int = 0
    ) -> None:
        """The first `start_from_epoch` epochs of a training do not count, as in its own choice."""
        self._monitor = monitor
        self._start = start_from_epoch
        self._skipped: dict[int, int] = {}  # epochs that did not count, by trial
        self._rule = rule
        self._curves: dict[int, list[float]] = {}
        self._running_means: dict[int, Curve] = {}  # of completed trials

    @property
    def needs_curves(self) -> bool:
        """Whether there is a rule, which needs the curves of past trials."""
        return self._rule is not None

    def observe(self, reported: Mapping[int, Sequence[EpochReport]]) -> list[int]:
        """Add epochs of running trials, by number; return the trials that are hopeless now."""
        if self._rule is None:
            return []
        return [
            trial
            for trial, reports in reported.items()
            if self.add(
                trial,
                [
                    report.logs[self._monitor.series]
                    for report in reports
                    if (report.fold, report.execution) == FIRST_RUN
                ],
            )
        ]

    def restore(self, trial: int, first_run: History) -> None:
        """Add the curves that the first run of a past trial reported, by name."""
        self.add(trial, first_run.get(self._monitor.series, []))

    def add_reused(self, trial: int, result: TrialResult) -> None:
        """Add the curve of a trial of which there are no reports, out of its result."""
        if len(result.folds) == 1:
            self.add(trial, (result.history or {}).get(self._monitor.series, []))

    def complete(self, trial: int) -> None:
        """Count a trial as completed: it reached its end without being stopped."""
        if curve := self._curves.get(trial):
            self._running_means[trial] = running_means(curve)

    def forget(self, trial: int) -> None:
        """Drop the curve of a trial that failed or starts again."""
        self._curves.pop(trial, None)
        self._skipped.pop(trial, None)

    def add(self, trial: int, figures: Sequence[float | None]) -> bool:
        """Append the figures of more epochs; return whether the trial is hopeless now."""
        if not figures or self._rule is None:
            return False
        skipped = self._skipped.get(trial, 0)
        skip = min(len(figures), self._start - skipped)
        self._skipped[trial] = skipped + skip
        if not (figures := figures[skip:]):
            return False
        curve = self._curves.setdefault(trial, [])
        seen = len(curve)
        curve += [self._loss(figure) for figure in figures]
        rivals = Rivals(
            curves=[each for number, each in self._curves.items() if number != trial],
            running_means=list(self._running_means.values()),
        )
        return self._rule.is_hopeless(curve, seen, rivals)

    def _loss(self, figure: float | None) -> float:
        if figure is None or not math.isfinite(figure):
            return math.inf
        return self._monitor.loss(figure)


def running_means(curve: Curve) -> list[float]:
    """Return, for each epoch, the mean of the curve up to it."""
    return [total / epochs for epochs, total in enumerate(accumulate(curve), start=1)]
