"""Which trials of a search would be trained alike, and what answers them without training."""

from collections.abc import Mapping

from models.jobs.ledger import Ledger
from models.jobs.lifecycle import TrialState
from models.jobs.records import Job, Trial, TrialRef
from models.jobs.reuse import training_digest

SCORED = (TrialState.COMPLETED, TrialState.STOPPED)


class EqualTrials:
    """Knows the trials of one job by the digest of all that their results follow from.

    `trials` are those of the search, by number, as they stand.
    """

    def __init__(self, job: Job, ledger: Ledger, trials: Mapping[int, Trial]) -> None:
        self._job = job
        self._ledger = ledger
        self._trials = trials
        self._digests: dict[int, str] = {}
        self._running: dict[str, int] = {}  # digest -> trial
        self._scored: dict[str, int] = {}  # digest -> the first trial with that result

    @property
    def any_running(self) -> bool:
        """Whether a trial is being trained."""
        return bool(self._running)

    def are_running(self, trial: Trial) -> bool:
        """Whether a trial like this one is being trained."""
        return self.digest(trial) in self._running

    def note(self, trial: Trial) -> None:
        """Take in the state that a trial has reached."""
        if trial.state == TrialState.RUNNING:
            self._running[self.digest(trial)] = trial.number
            return
        self._running.pop(self.digest(trial), None)
        if trial.state in SCORED:
            self._scored.setdefault(self.digest(trial), trial.number)

    def find(self, trial: Trial) -> tuple[TrialRef, Trial] | None:
        """A scored trial like this one, of this job or, where the job allows it, of another."""
        digest = self.digest(trial)
        number = self._scored.get(digest)
        if number is not None:
            return TrialRef(self._job.id, number), self._ledger.trial(number)
        return self._ledger.equal_elsewhere(digest) if self._job.spec.reuse else None

    def parent(self, trial: Trial) -> Trial | None:
        """The trial that `trial` goes on from, unless that has come to nothing."""
        parent = self._trials.get(trial.parent) if trial.parent else None
        return parent if parent is not None and parent.state in SCORED else None

    def digest(self, trial: Trial) -> str:
        """Equal for trials that would be trained alike."""
        if trial.number not in self._digests:
            assert self._job.dataset is not None
            parent = self.parent(trial)
            self._digests[trial.number] = training_digest(
                self._job.spec,
                self._job.dataset,
                trial.values,
                trial.epochs,
                trial.initial_epoch if parent else 0,
                self.digest(parent) if parent else None,
            )
        return self._digests[trial.number]
