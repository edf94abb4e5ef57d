"""The best score so far over a job's trials and seconds, and the area under it."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from models.jobs.model import ENDED, Outcome
from models.trials.spec import Objective


@dataclass(frozen=True, slots=True)
class Curve:
    """One entry for each trial that has ended, in the order in which they ended."""

    numbers: tuple[int, ...]  # of the trials
    seconds: tuple[float, ...]  # from the start of the first trial to this one's end
    best: tuple[float | None, ...]  # best score of this trial and those before; None before any

    @property
    def trials(self) -> list[int]:
        """The number of trials that had ended by each entry: 1, 2, 3, …"""
        return list(range(1, len(self.numbers) + 1))

    @property
    def improvement(self) -> int | None:
        """The place, from 0, of the trial that brought the last best score."""
        if not self.best or self.best[-1] is None:
            return None
        return self.best.index(self.best[-1])


@dataclass(frozen=True, slots=True)
class RegretScale:
    """Scores mapped to regrets: 0 for the best one, 1 for the median and all that is worse."""

    best: float
    median: float

    def regret(self, score: float | None) -> float:
        """Return the regret of having `score`; 1 for having none."""
        if score is None:
            return 1.0
        if score == self.best:
            return 0.0
        if self.median == self.best:
            return 1.0
        return min(1.0, (score - self.best) / (self.median - self.best))


def best_so_far(outcomes: Sequence[Outcome], objective: Objective) -> Curve:
    """Return the curve of a job's trials; failed ones count, cancelled ones do not.

    The score of a trial that breaks a constraint counts as none.

    The clock starts with the first trial, since loading a dataset is no part of a search.
    """
    started = min((item.started for item in outcomes if item.started is not None), default=None)
    ended = [item for item in outcomes if item.state in ENDED and item.finished is not None]
    ended.sort(key=lambda item: (item.finished, item.number))
    best: list[float | None] = []
    seconds = []
    for item in ended:
        best.append(objective.best(item.score if item.fits else None, *best[-1:]))
        assert item.finished is not None
        since = item.finished - (started or item.finished)
        seconds.append(max(0.0, since.total_seconds()))
    return Curve(tuple(item.number for item in ended), tuple(seconds), tuple(best))


def regret_scale(scores: Sequence[float], objective: Objective) -> RegretScale | None:
    """Return the scale of all `scores` of the compared jobs; None without scores.

    Its end is the median, not the worst: one trial that nearly diverged would make the differences
    between all others vanish.
    """
    return RegretScale(min(scores, key=objective.loss), median(scores)) if scores else None


def area_over_trials(curve: Curve, scale: RegretScale, trials: int) -> float | None:
    """Return the mean regret of the best score so far after trial 1, 2, … `trials`: 0 to 1.

    A job that ended earlier keeps its last best score. None if `trials` is 0.
    """
    if trials == 0:
        return None
    regrets = [scale.regret(score) for score in curve.best]
    last = regrets[-1] if regrets else 1.0
    return (sum(regrets) + last * (trials - len(regrets))) / trials


def area_over_seconds(curve: Curve, scale: RegretScale, seconds: float) -> float | None:
    """Return the mean regret of the best score so far over the first `seconds`: 0 to 1.

    The regret is 1 until the first trial has ended; after the last one the best score stays. None
    if `seconds` is 0.
    """
    if seconds <= 0:
        return None
    area, since, regret = 0.0, 0.0, 1.0
    for moment, score in zip(curve.seconds, curve.best, strict=True):
        area += regret * (moment - since)
        since, regret = moment, scale.regret(score)
    return (area + regret * (seconds - since)) / seconds
