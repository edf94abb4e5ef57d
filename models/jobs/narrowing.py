"""A new job that leads on from where the best trials of an ended one lie."""

import math

from models.errors import Conflict, Invalid
from models.jobs.lifecycle import TrialState
from models.jobs.queries import JobQueries
from models.jobs.reuse import training_digest
from models.jobs.spec import JobSpec, NarrowFrom
from models.space.hyperparameters import TrialValues
from models.space.narrowing import narrow

LEAST_TRIALS = 3  # from which a space is narrowed

# What both jobs must have alike: the name in a request, and in JobSpec.
_SHARED = {
    "target": "target",
    "features": "features",
    "class_weight": "class_weight",
    "sample_weight": "sample_weight",
    "task": "task",
    "network": "network",
    "evaluation": "evaluation",
    "objective.metric": "objective",
    "seed": "seed",
}


class Narrowing:
    """The ended job that `wanted` names, and its search space cut down to its best trials.

    Raises NotFound for an unknown job, Conflict for one that has not ended, and Invalid at
    `narrow_from.job` for one with too few scored trials.
    """

    def __init__(self, queries: JobQueries, wanted: NarrowFrom) -> None:
        self.job = queries.get(wanted.job)
        if not self.job.state.is_final:
            raise Conflict(f"Job {self.job.id} is {self.job.state}; narrow it when it has ended.")
        space = self.job.spec.space
        # A user's own values may lie outside of the space.
        self._trials = [
            trial
            for trial in queries.outcomes(self.job)
            if trial.state == TrialState.COMPLETED and space.covers(trial.values)
        ]
        if len(self._trials) < LEAST_TRIALS:
            raise Invalid.at(
                "narrow_from.job",
                f"Job {self.job.id} has {len(self._trials)} scored trials in its search space;"
                f" {LEAST_TRIALS} are needed.",
            )
        # Rounded first: 0.1 * 30 is a little above 3.
        best = max(LEAST_TRIALS, math.ceil(round(wanted.top * len(self._trials), 9)))
        sign = 1 if self.job.spec.objective.direction == "min" else -1
        ranked = sorted(self._trials, key=lambda trial: sign * (trial.score or 0.0))
        self.space = narrow(space, [trial.values for trial in ranked[:best]])

    def check_agrees(self, spec: JobSpec) -> None:
        """Raise Invalid, at the field, where `spec` names other data or another aim."""
        old = self.job.spec
        differing = [
            path for path, name in _SHARED.items() if getattr(spec, name) != getattr(old, name)
        ]
        if spec.dataset not in (old.dataset, self.job.dataset):
            differing.append("dataset")
        if differing:
            raise Invalid(
                {path: [f"Differs from job {self.job.id}; leave it out."] for path in differing}
            )

    def known_to(self, spec: JobSpec) -> list[TrialValues]:
        """The values, by number of trial, whose results a job of `spec` finds in the store."""
        if not spec.reuse or self.job.dataset is None:
            return []
        known = {}
        for trial in self._trials:
            digest = training_digest(spec, self.job.dataset, trial.values, spec.budget.epochs)
            if digest == trial.digest and spec.space.covers(trial.values):
                known[digest] = trial.values
        return list(known.values())
