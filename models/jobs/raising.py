"""What raising a budget means for a job."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from models.errors import Conflict, Invalid
from models.jobs.records import Job
from models.jobs.spec import JobSpec
from models.oracles.plan import plan
from models.oracles.strategy import Bayesian, Hyperband, Random

Limits = Mapping[str, Any]  # numbers by their names in Budget; None takes a limit away

MAX_ITERATIONS = 100  # of Hyperband's schedule


def raised_spec(spec: JobSpec, limits: Limits) -> JobSpec:
    """The same job with larger limits; a Hyperband of more trials runs its schedule more often.

    Raises Invalid at `budget.<name>` for a limit that would not be raised, and Conflict where
    Hyperband cannot follow.
    """
    errors = {
        f"budget.{name}": [message]
        for name, limit in limits.items()
        if (message := _fault(spec, name, limit))
    }
    if errors:
        raise Invalid(errors)
    spec = replace(spec, budget=replace(spec.budget, **limits))
    if not isinstance(spec.strategy, Hyperband):
        return spec
    if "epochs" in limits and spec.strategy.max_epochs is None:
        raise Conflict(
            "The rounds of Hyperband are made for the epochs that it began with. Start a new job,"
            " which narrow_from can lead on from this one."
        )
    wanted = limits.get("max_trials")
    return spec if wanted is None else replace(spec, strategy=_long_enough(spec, wanted))


def check_goes_on(job: Job, spec: JobSpec, limits: Limits) -> None:
    """Raise Conflict unless the search of `job`, which has ended, goes on as `spec` says."""
    reason = job.stop_reason
    if reason is None:
        raise Conflict(f"Job {job.id} did not end by a limit, but because: {job.error}")
    if reason == "exhausted" and spec.strategy == job.spec.strategy:
        raise Conflict(f"The search of job {job.id} has tried all that its strategy has.")
    if reason != "exhausted" and reason not in limits:
        raise Conflict(f"The search of job {job.id} ended by {reason}: raise budget.{reason}.")


def _fault(spec: JobSpec, name: str, limit: float | None) -> str | None:
    """Why this is no raise; None if it is one."""
    present = getattr(spec.budget, name)
    if name == "max_trials" and present is None and isinstance(spec.strategy, Hyperband):
        present = plan(spec.strategy, spec.space, None, spec.budget.epochs).trials
    if present is None:
        return "There is no limit that could be raised."
    if limit is None:
        endless = name == "max_trials" and isinstance(spec.strategy, Random | Bayesian)
        return f"{spec.strategy.name} needs a number of trials." if endless else None
    if name == "target" and spec.objective.direction == "min":
        return None if limit < present else f"Must be below {present:g}, to be harder to reach."
    return None if limit > present else f"Must be above {present:g}: it can only be raised."


def _long_enough(spec: JobSpec, wanted: float) -> Hyperband:
    """Hyperband with as many iterations as `wanted` trials fill, and no fewer than before."""
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
