"""What a search has spent of its budget, and the changes that a user may make to the limits."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from models.errors import Conflict, Invalid
from models.jobs.model import ENDED, Job, Trial, TrialState
from models.jobs.pruning import check_pruning
from models.jobs.spec import JobSpec
from models.oracles.strategy import ENDLESS, Hyperband, plan

MAX_ITERATIONS = 100  # of Hyperband's schedule

Limits = Mapping[str, Any]  # numbers by their names in Budget; None takes a limit away


class Spent:
    """Counts of a job's trials; discarded ones count nowhere."""

    def __init__(self, counts: Iterable[tuple[bool, TrialState, int]] = ()) -> None:
        """`counts` holds whether trials were enqueued, their state, and how many there are."""
        self._counts = Counter({(enqueued, state): number for enqueued, state, number in counts})

    def note(self, before: Trial | None, after: Trial) -> None:
        """Count a trial in its new state, and no more in the one before, if it had one."""
        if before is not None:
            self._counts[before.is_enqueued, before.state] -= 1
        self._counts[after.is_enqueued, after.state] += 1

    @property
    def proposed(self) -> int:
        """The trials that the strategy proposed."""
        return self._own(*(state for state in TrialState if state != TrialState.DISCARDED))

    @property
    def begun(self) -> int:
        """The trials of the strategy that have used up a part of the budget."""
        return self._own(TrialState.RUNNING, *ENDED)

    @property
    def enqueued(self) -> int:
        """The trials that users enqueued."""
        return sum(
            number
            for (enqueued, state), number in self._counts.items()
            if enqueued and state != TrialState.DISCARDED
        )

    @property
    def failed(self) -> int:
        """The trials that failed."""
        return self._all(TrialState.FAILED)

    @property
    def ended(self) -> int:
        """The trials that failed or have a score."""
        return self._all(*ENDED)

    @property
    def running(self) -> int:
        """The trials that get a score if they are stopped after their first epoch."""
        return self._all(TrialState.RUNNING)

    def _own(self, *states: TrialState) -> int:
        return sum(self._counts[False, state] for state in states)

    def _all(self, *states: TrialState) -> int:
        return sum(self._counts[enqueued, state] for enqueued in (False, True) for state in states)


@dataclass(frozen=True, slots=True)
class BudgetChange:
    """New limits for a job that has spent a part of its budget."""

    job: Job
    spent: Spent
    limits: Limits

    def apply(self) -> JobSpec:
        """Return the job's spec with these limits; Hyperband runs its schedule more often.

        Raises Invalid at `budget.<name>` for a limit below what is spent, and Conflict where
        Hyperband cannot follow.
        """
        present, limits = self.job.spec, self.limits
        faults = {name: self._fault(name, limit) for name, limit in limits.items()}
        errors = {f"budget.{name}": [fault] for name, fault in faults.items() if fault}
        if errors:
            raise Invalid(errors)
        spec = replace(present, budget=replace(present.budget, **limits))
        try:
            check_pruning(spec.pruning, spec.strategy, spec.budget.epochs, spec.start_from_epoch)
        except Invalid as error:
            (messages,) = error.errors.values()
            raise Invalid({"budget.epochs": messages}) from None
        if not isinstance(spec.strategy, Hyperband):
            return spec
        if spec.strategy.max_epochs is None and spec.budget.epochs != present.budget.epochs:
            raise Conflict(
                "The rounds of Hyperband are made for the epochs that it began with. Start a new"
                " job, which narrow_from can lead on from this one."
            )
        wanted = limits.get("max_trials")
        return spec if wanted is None else replace(spec, strategy=_long_enough(spec, wanted))

    def check_goes_on(self, spec: JobSpec) -> None:
        """Raise Conflict unless the search, which has ended, goes on with `spec`."""
        job, budget, spent, reason = self.job, spec.budget, self.spent, self.job.stop_reason
        if reason is None:
            raise Conflict(f"Job {job.id} did not end by a limit, but because: {job.error}")
        if reason == "exhausted" and spec.strategy == job.spec.strategy:
            raise Conflict(f"The search of job {job.id} has tried all that its strategy has.")
        target = job.spec.budget.target_score
        goes_on = {
            "max_trials": budget.max_trials is None or budget.max_trials > spent.begun,
            "max_seconds": budget.max_seconds is None or budget.max_seconds > job.seconds,
            "max_failed_trials": budget.failures_allowed(spent.ended) > spent.failed,
            "target": budget.target_score is None
            or spec.objective.is_better(budget.target_score, target),
        }
        if not goes_on.get(reason, True):
            change = "give another target_score" if reason == "target" else f"raise budget.{reason}"
            raise Conflict(f"The search of job {job.id} ended by {reason}: {change}.")

    def _fault(self, name: str, limit: float | None) -> str | None:
        """Return why this cannot be a limit of the job; None if it can."""
        spec, spent = self.job.spec, self.spent
        if limit is None:
            endless = name == "max_trials" and isinstance(spec.strategy, ENDLESS)
            return f"{spec.strategy.name} needs a number of trials." if endless else None
        if name == "max_trials" and limit < spent.begun:
            return f"Must be at least {spent.begun}: so many trials have begun."
        if name == "max_seconds" and limit < self.job.seconds:
            return f"Must be at least {self.job.seconds:g}: so many seconds are spent."
        if name == "max_failed_trials":
            allowed = replace(spec.budget, max_failed_trials=limit).failures_allowed(spent.ended)
            if allowed < spent.failed:
                return f"{limit:g} is too little: {spent.failed} of {spent.ended} trials failed."
        return None


def _long_enough(spec: JobSpec, wanted: float) -> Hyperband:
    """Return Hyperband with as many iterations as `wanted` trials fill, never fewer than before."""
    strategy = spec.strategy
    assert isinstance(strategy, Hyperband)

    def total(iterations: int) -> int:
        longer = replace(strategy, iterations=iterations)
        return plan(longer, spec.space, None, spec.budget.epochs).trials

    iterations = strategy.iterations
    while total(iterations) < wanted:
        if iterations >= MAX_ITERATIONS or total(iterations + 1) == total(iterations):
            raise Conflict(f"Hyperband has no more than {total(iterations)} trials in this space.")
        iterations += 1
    return replace(strategy, iterations=iterations)
