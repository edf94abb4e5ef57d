"""A tuning request checked against its data and decided in full, then queued."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from marshmallow import ValidationError

from models.data.library.library import DatasetLibrary
from models.data.preparation.tasks import (
    Task,
)
from models.errors import Conflict, Invalid
from models.jobs.commands import JobCommands
from models.jobs.data import resolve_data
from models.jobs.front import front_of
from models.jobs.model import Job, Outcome, TrialState
from models.jobs.objectives import resolve_objectives
from models.jobs.pruning import check_pruning
from models.jobs.reader import JobReader
from models.jobs.schema.spec import dump_spec, shown_request
from models.jobs.search.reuse import training_digest
from models.jobs.spec import JobSpec, check_promotion, check_trials
from models.jobs.store.rows import ranked
from models.oracles.schema import check_strategy
from models.oracles.strategy import Plan, decide, plan
from models.space.hyperparameters import TrialValues
from models.space.narrowing import narrow
from models.space.schema import load_space
from models.space.space import SearchSpace
from models.trials.monitor import resolve_early_stopping

MIN_TRIALS_TO_NARROW = 3

# What a job and the one that it narrows must have in common: the path in a request, and the field
# of JobSpec. What a request does not name is taken from the other job.
_SHARED = {
    "target": "target",
    "features": "features",
    "class_weight": "class_weight",
    "sample_weight": "sample_weight",
    "exclude": "exclude",
    "allow_negative": "allow_negative",
    "task": "task",
    "network": "network",
    "evaluation": "evaluation",
    "objective": "objectives",
    "constraints": "constraints",
    "seed": "seed",
}
_INHERITED = {
    **_SHARED,
    "dataset": "dataset",
    "early_stopping": "early_stopping",
    "threshold": "threshold",
    "executions_per_trial": "executions",
}


@dataclass(frozen=True, slots=True)
class Decision:
    """The job that a request makes, and what it will try."""

    spec: JobSpec
    plan: Plan  # of the strategy alone
    notes: Mapping[str, Any] = field(default_factory=dict)  # see `Job.data_notes`
    reused: Sequence[TrialValues] = ()  # of trials whose results `narrow_from` has

    @property
    def enqueued(self) -> list[TrialValues]:
        """The full values of the trials that the job begins with."""
        listed = self.spec.space.check_all(self.spec.strategy.initial_trials)
        return [*listed, *self.reused]

    @property
    def trials(self) -> int:
        """How many trials there will be."""
        return self.plan.trials + len(self.enqueued)

    @property
    def request(self) -> dict[str, object]:
        """The decided request with every default, as JSON."""
        return shown_request(dump_spec(self.spec))


class Submission:
    """Turns requests, which are specs with open fields, into queued jobs."""

    def __init__(
        self,
        library: DatasetLibrary,
        commands: JobCommands,
        reader: JobReader,
        max_trials: int | None = None,
    ) -> None:
        self._library = library
        self._commands = commands
        self._reader = reader
        self._max_trials = max_trials

    def submit(self, request: JobSpec) -> Job:
        """Queue a job.

        Raises Invalid with the path of the field, NotFound for an unknown dataset.
        """
        decision = self.decide(request)
        return self._commands.create(
            decision.spec, decision.trials, decision.enqueued, decision.notes
        )

    def decide(self, request: JobSpec) -> Decision:
        """Return the job that `request` would make; nothing is started. Raises Forbidden, too."""
        check_promotion(request)
        if request.narrow_from is None:
            decision = self._decide(request)
        else:
            if request.space is not None:
                raise Invalid.at("search_space", "It is made from the job of narrow_from.")
            decision = self._decide_narrowed(request)
        check_trials(decision.trials, self._max_trials)
        return decision

    def _decide(self, request: JobSpec) -> Decision:
        data = resolve_data(self._library, request)
        request = replace(request, evaluation=data.evaluation).with_length(data.rows)
        budget, space = request.budget, request.space
        check_pruning(request.pruning, request.strategy, budget.epochs, request.start_from_epoch)
        if request.start_from_epoch >= budget.epochs:
            raise Invalid.at(
                "early_stopping.start_from_epoch",
                f"A trial has {budget.epochs} epochs, so none would count.",
            )
        foreign = space.foreign(space.parameters, data.task, data.has_image)
        if space == load_space(None, space.network):
            kept = {
                name: each
                for name, each in space.parameters.items()
                if name not in foreign and space.known[name].has_effect_on(data.types)
            }
            space = replace(space, parameters=kept)
        elif foreign:
            raise ValidationError({"search_space": foreign})
        check_strategy(request.strategy, space, data.task, data.has_image)
        spec = replace(
            resolve_objectives(request, data.task, data.labels, data.rarer),
            dataset=data.dataset,
            space=space,
            features=request.features if request.exclude is None else data.columns.used,
            task=data.task,
            strategy=decide(request.strategy, space, budget.max_trials, len(request.objectives)),
            refit=True if data.evaluation.method == "cv" else request.refit,
            class_weight=data.class_weight,
            early_stopping=resolve_early_stopping(data.task, request.early_stopping),
        )
        if spec.allow_negative and spec.task is not Task.REGRESSION:
            raise Invalid.at("allow_negative", "Only a regression predicts numbers.")
        planned = plan(spec.strategy, space, budget.max_trials, budget.epochs)
        return Decision(spec, planned, data.notes)

    def _decide_narrowed(self, request: JobSpec) -> Decision:
        """Decide a job that searches where the best trials of an ended one lie."""
        assert request.narrow_from is not None
        source = self._reader.get(request.narrow_from.job)
        if not source.state.is_final:
            raise Conflict(f"Job {source.id} is {source.state}; narrow it when it has ended.")
        # A user's own values may lie outside of the space.
        scored = [
            trial
            for trial in self._reader.outcomes(source)
            if trial.state == TrialState.COMPLETED and source.spec.space.covers(trial.values)
        ]
        space = _narrowed(source, scored, request.narrow_from.top)
        decision = self._decide(_inherit(request, source.spec, space))
        _check_agrees(decision.spec, source)
        return replace(decision, reused=_reusable(decision.spec, source, scored))


def _narrowed(source: Job, scored: Sequence[Outcome], top: float) -> SearchSpace:
    """Return the space of `source` cut down to the share `top` of its scored trials."""
    if len(scored) < MIN_TRIALS_TO_NARROW:
        raise Invalid.at(
            "narrow_from.job",
            f"Job {source.id} has {len(scored)} scored trials in its search space;"
            f" {MIN_TRIALS_TO_NARROW} are needed.",
        )
    # Rounded first: 0.1 * 30 is a little above 3.
    count = max(MIN_TRIALS_TO_NARROW, math.ceil(round(top * len(scored), 9)))
    best = ranked(source.spec.objective, scored)
    if source.spec.other_objectives:  # both ends of the front are good
        front = front_of(source.spec, scored)
        best = [*front, *(trial for trial in best if trial not in front)]
        count = max(count, len(front))
    best = best[:count]
    return narrow(source.spec.space, [trial.values for trial in best])


def _inherit(request: JobSpec, source: JobSpec, space: SearchSpace) -> JobSpec:
    """Return the request with what it does not name taken from the job that it narrows."""
    named = request.named
    changes = {
        field: getattr(source, field) for path, field in _INHERITED.items() if path not in named
    }
    objectives = changes.pop("objectives", request.objectives)
    if not any(each.positive_class for each in objectives):
        # What a job of an earlier version counted, a job that narrows it counts, too.
        counted = source.objective.positive_class
        objectives = tuple(replace(each, positive_class=counted) for each in objectives)
    changes["objective"], *others = objectives
    changes["other_objectives"] = tuple(others)
    if "budget.epochs" not in named:
        changes["budget"] = replace(request.budget, epochs=source.budget.epochs)
    return replace(request, **changes, space=space)


def _check_agrees(spec: JobSpec, source: Job) -> None:
    """Raise Invalid, at the field, where `spec` names other data or another aim than `source`."""
    old = source.spec
    differing = [
        "objective.metric" if path == "objective" else path
        for path, field in _SHARED.items()
        if getattr(spec, field) != getattr(old, field)
    ]
    if spec.dataset not in (old.dataset, source.dataset):
        differing.append("dataset")
    if differing:
        raise Invalid(
            {path: [f"Differs from job {source.id}; leave it out."] for path in differing}
        )


def _reusable(spec: JobSpec, source: Job, scored: Sequence[Outcome]) -> list[TrialValues]:
    """Return the values, by number of trial, whose results a job of `spec` can reuse."""
    if not spec.reuse or source.dataset is None:
        return []
    known = {}
    for trial in scored:
        digest = training_digest(spec, source.dataset, trial.values, spec.budget.epochs)
        if digest == trial.digest and spec.space.covers(trial.values):
            known[digest] = trial.values
    return list(known.values())
