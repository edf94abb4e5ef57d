"""The best trial of a search so far, and whose weights are kept."""

from models.jobs.lifecycle import TrialState
from models.jobs.records import Trial
from models.store.artifacts import Artifacts
from models.trials.objective import Objective


class Best:
    """The best scored trial, the earlier of equals; a stopped one only where none completed."""

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self.trial: Trial | None = None

    def offer(self, trial: Trial) -> Trial | None:
        """Compare a trial that has a score with the best; answer the worse of the two."""
        best = self.trial
        if best is None or self._is_better(trial, best):
            self.trial = trial
            return best
        return trial

    def reaches(self, target: float | None) -> bool:
        """Whether the best is as good as `target`, if there is one."""
        if target is None or self.trial is None:
            return False
        return not self._objective.is_better(target, self.trial.score)

    def _is_better(self, trial: Trial, best: Trial) -> bool:
        if trial.score is None or best.score is None:
            return best.score is None
        if trial.state != best.state:
            # A stopped trial was judged by less than one that completed.
            return trial.state == TrialState.COMPLETED
        return self._objective.is_better(trial.score, best.score)


class TrialWeights:
    """The weights that the trials of one job have left below the artifact root."""

    def __init__(self, job: str, artifacts: Artifacts) -> None:
        self._job = job
        self._artifacts = artifacts

    def folder(self, trial: Trial) -> str:
        """Where the weights of a trial lie, if they do."""
        return f"jobs/{self._job}/trials/{trial.number}"

    def drop(self, trial: Trial) -> None:
        """Remove the weights of a trial; nothing happens if there are none."""
        self._artifacts.delete(self.folder(trial))
