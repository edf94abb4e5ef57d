"""Which of the trials that wait is trained first."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping

from models.jobs.records import Trial
from models.jobs.spec import JobSpec
from models.oracles.strategy import Bayesian, Grid, Random
from models.space.hyperparameters import TrialValues

# Few enough that a search which is ended early has seen networks of every size.
_BATCH = 16


class TrialOrder:
    """As they came; but the quickest first where the search ends at a target.

    If one trial is as likely to reach the target as another, it is reached soonest so. Only
    proposals that follow from no result are sorted, batch by batch: a search that never gets there
    has trained the same in the end.
    """

    def __init__(self, spec: JobSpec, seconds: Callable[[TrialValues], float]) -> None:
        """`seconds` is about how long a trial of some values takes."""
        self._seconds = seconds
        self._known: dict[int, float] = {}  # seconds by the number of a trial
        self._batch = _BATCH
        self._sorted: float = 0  # so many of the oracle's trials belong to a batch
        strategy = spec.strategy
        if spec.budget.target is None:
            return
        if isinstance(strategy, Random | Grid):
            self._sorted = math.inf
        elif isinstance(strategy, Bayesian) and not (strategy.initial_trials or spec.narrow_from):
            # Scores of given trials, or of those taken over, would take the place of some of these.
            self._batch = strategy.initial_points(len(spec.space.dimensions))
            self._sorted = self._batch

    def missing(self, proposed: int) -> int:
        """How many trials belong to the batch that begins or goes on after so many."""
        return self._batch - proposed % self._batch if proposed < self._sorted else 0

    def sort(self, waiting: Collection[int], trials: Mapping[int, Trial]) -> Iterable[int]:
        """The numbers of the trials that wait, the next one first."""
        if not self._sorted:
            return waiting
        return sorted(waiting, key=lambda number: self._place(trials[number]))

    def _place(self, trial: Trial) -> tuple[int, float]:
        """Batch, and seconds within it; trials of the user's own come first."""
        if trial.is_given:
            return -1, 0.0
        proposal = int(trial.key.rpartition("-")[2])
        if proposal >= self._sorted:
            return proposal, 0.0
        if trial.number not in self._known:
            self._known[trial.number] = self._seconds(trial.values)
        return proposal - proposal % self._batch, self._known[trial.number]
