"""What the pruning rule of a job is told, if it has one."""

from collections.abc import Iterable, Mapping, Sequence

from models.jobs.events import Runs
from models.jobs.lifecycle import TrialState
from models.jobs.pruning import FIRST_RUN, Pruner
from models.jobs.records import Trial
from models.jobs.spec import JobSpec
from models.trials.spec import TrialResult
from models.trials.trainers.base import EpochReport


class Judge:
    """Finds hopeless trials by the job's rule; without one no trial is hopeless."""

    def __init__(self, spec: JobSpec) -> None:
        self._pruner = Pruner(spec.pruning, spec.objective) if spec.pruning else None

    @property
    def needs_curves(self) -> bool:
        """Whether there is a rule, which past trials are to be told to."""
        return self._pruner is not None

    def restore(self, scored: Iterable[Trial], runs: Mapping[int, Runs]) -> None:
        """Take in the past trials that have a score, and what they reported."""
        for trial in scored:
            if trial.reused_from is not None:
                self.taken_over(trial.number, trial.stored_result())
            elif self._pruner is not None:
                first = runs.get(trial.number, {}).get(FIRST_RUN, {})
                self._pruner.observe(trial.number, first.get(self._pruner.metric, []))
            if trial.state == TrialState.COMPLETED:
                self.completed(trial.number)

    def observe(self, told: Mapping[int, Sequence[EpochReport]]) -> list[int]:
        """Take in epochs of running trials; answer those that are hopeless."""
        pruner = self._pruner
        if pruner is None:
            return []
        return [
            number
            for number, reports in told.items()
            if pruner.observe(
                number,
                [r.logs[pruner.metric] for r in reports if (r.fold, r.execution) == FIRST_RUN],
            )
        ]

    def taken_over(self, number: int, result: TrialResult) -> None:
        """A trial was answered by an equal one, and so reported nothing itself."""
        if self._pruner is not None and len(result.folds) == 1:
            self._pruner.observe(number, (result.history or {}).get(self._pruner.metric, []))

    def completed(self, number: int) -> None:
        """A trial came to its end without being stopped."""
        if self._pruner is not None:
            self._pruner.complete(number)

    def forget(self, number: int) -> None:
        """A trial failed, or begins anew."""
        if self._pruner is not None:
            self._pruner.forget(number)
