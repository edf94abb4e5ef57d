"""A tuning request checked against its data and decided in full, then queued."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from models.data.columns import ColumnType
from models.data.library.builtin import BUILTINS, Builtin
from models.data.library.builtin import PREFIX as BUILTIN_PREFIX
from models.data.library.library import DatasetLibrary
from models.data.preparation.splitting import MIN_ROWS, split
from models.data.preparation.tasks import (
    Task,
    check_network,
    check_validation_dataset,
    class_labels,
    resolve_features,
    resolve_task,
)
from models.data.preparation.weighting import (
    ClassWeight,
    check_sample_weight,
    check_weights,
    check_weights_of_folds,
    label_name,
    resolve_class_weight,
)
from models.errors import Conflict, Invalid
from models.jobs.commands import JobCommands
from models.jobs.model import Job, Outcome, TrialState
from models.jobs.pruning import check_pruning
from models.jobs.reader import JobReader
from models.jobs.schema import dump_spec, shown_request
from models.jobs.search.reuse import training_digest
from models.jobs.spec import JobSpec, check_trials
from models.jobs.store.rows import ranked
from models.oracles.schema import check_strategy
from models.oracles.strategy import Plan, plan
from models.space.hyperparameters import TrialValues
from models.space.narrowing import narrow
from models.space.space import SearchSpace
from models.trials.spec import resolve_objective

MIN_TRIALS_TO_NARROW = 3

# What a job and the one that it narrows must have in common: the path in a request, and the field
# of JobSpec. What a request does not name is taken from the other job.
_SHARED = {
    "target": "target",
    "features": "features",
    "class_weight": "class_weight",
    "sample_weight": "sample_weight",
    "task": "task",
    "network": "network",
    "evaluation": "evaluation",
    "objective": "objective",
    "seed": "seed",
}
_INHERITED = {
    **_SHARED,
    "dataset": "dataset",
    "early_stopping": "early_stopping",
    "executions_per_trial": "executions",
}


@dataclass(frozen=True, slots=True)
class Decision:
    """The job that a request makes, and what it will try."""

    spec: JobSpec
    plan: Plan  # of the strategy alone
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

    def submit(self, request: JobSpec, key: str | None, digest: str) -> Job:
        """Queue a job. `key` is the caller's idempotency key, `digest` that of the whole request.

        Raises Invalid with the path of the field, NotFound for an unknown dataset.
        """
        decision = self.decide(request)
        return self._commands.create(decision.spec, decision.trials, key, digest, decision.enqueued)

    def decide(self, request: JobSpec) -> Decision:
        """Return the job that `request` would make and what it would try; nothing is started."""
        if request.narrow_from is None:
            decision = self._decide(request)
        else:
            if request.space is not None:
                raise Invalid.at("search_space", "It is made from the job of narrow_from.")
            decision = self._decide_narrowed(request)
        check_trials(decision.trials, self._max_trials)
        return decision

    def _decide(self, request: JobSpec) -> Decision:
        budget, space = request.budget, request.space
        check_pruning(request.pruning, request.strategy, budget.epochs)
        dataset, task, class_weight = self._resolve_data(request)
        check_strategy(request.strategy, space)
        objective = request.objective
        spec = replace(
            request,
            dataset=dataset,
            task=task,
            objective=resolve_objective(task, objective.metric, objective.direction),
            refit=request.refit or request.evaluation.method == "cv",
            class_weight=class_weight,
        )
        return Decision(spec, plan(spec.strategy, space, budget.max_trials, budget.epochs))

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

    def _resolve_data(self, request: JobSpec) -> tuple[str, Task, ClassWeight | None]:
        if isinstance(request.dataset, str) and request.dataset.startswith(BUILTIN_PREFIX):
            builtin = _check_builtin(request)
            labels = [label_name(number) for number in range(builtin.classes)]
            weight = resolve_class_weight(request.class_weight, builtin.task, labels)
            return request.dataset, builtin.task, weight
        if isinstance(request.dataset, str):
            record = self._library.catalog.get(request.dataset)
        else:
            try:
                record = self._library.add_inline(request.dataset, {})
            except Invalid as error:
                raise error.under("dataset") from None
        dataset = self._library.open(record.id)
        task = resolve_task(dataset, request.target, request.task or "auto")
        labels = []
        if task is not Task.REGRESSION:
            labels = [label_name(label) for label in class_labels(dataset, request.target)]
        weight = resolve_class_weight(request.class_weight, task, labels)
        own = request.sample_weight
        if own is not None:
            check_sample_weight(dataset, own, request.target)
        features = resolve_features(dataset, request.target, request.features, own)
        kinds = {dataset.column(name).type for name in features}
        check_network(request.network, ColumnType.IMAGE in kinds)
        parts = split(dataset.values[request.target], task, request.evaluation, request.seed)
        if own is not None:
            check_weights_of_folds(dataset.values[own], parts.folds)
        if request.evaluation.validation_dataset is not None:
            validation = self._library.open(request.evaluation.validation_dataset)
            # Only a refit trains on these rows too.
            needed = (*features, own) if own is not None and request.refit else features
            check_validation_dataset(dataset, validation, request.target, needed)
            if own in needed:
                check_weights(validation.values[own], "evaluation.validation_dataset")
        return record.id, task, weight


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
    best = ranked(source.spec.objective, scored)[:count]
    return narrow(source.spec.space, [trial.values for trial in best])


def _inherit(request: JobSpec, source: JobSpec, space: SearchSpace) -> JobSpec:
    """Return the request with what it does not name taken from the job that it narrows."""
    named = request.named
    changes = {
        field: getattr(source, field) for path, field in _INHERITED.items() if path not in named
    }
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


def _check_builtin(request: JobSpec) -> Builtin:
    """Check against the table of builtin datasets; a worker loads the rows themselves."""
    assert isinstance(request.dataset, str)
    name = request.dataset.removeprefix(BUILTIN_PREFIX)
    builtin = BUILTINS.get(name)
    if builtin is None:
        raise Invalid.at(
            "dataset", f"There is no builtin dataset {name!r}; there are {', '.join(BUILTINS)}."
        )
    if request.target != builtin.target:
        raise Invalid.at("target", f"The target of {request.dataset} is {builtin.target!r}.")
    for name in request.features or ():
        if name not in builtin.columns or name == builtin.target:
            raise Invalid.at("features", f"{request.dataset} has no feature {name!r}.")
    if request.task not in (None, builtin.task):
        raise Invalid.at("task", f"{request.dataset} poses a {builtin.task} task.")
    if request.sample_weight is not None:
        raise Invalid.at(
            "sample_weight",
            f"{request.dataset} has no column of weights; upload its rows with one.",
        )
    check_network(request.network, builtin.is_image)
    if builtin.rows < MIN_ROWS and request.evaluation.method != "train":
        raise Invalid.at(
            "evaluation",
            f"{builtin.rows} rows are too few to hold some out; use method 'train'.",
        )
    return builtin
