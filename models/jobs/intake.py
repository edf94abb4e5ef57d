"""A tuning request on its way in: checked against its data, decided in full, queued."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from models.data.columns import ColumnType
from models.data.library.builtin import BUILTINS, Builtin
from models.data.library.builtin import PREFIX as BUILTIN_PREFIX
from models.data.library.library import DatasetLibrary
from models.data.preparation.splitting import MIN_ROWS, Evaluation, split
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
from models.errors import Invalid
from models.jobs.narrowing import Narrowing
from models.jobs.pruning import Pruning, check_pruning
from models.jobs.queries import JobQueries
from models.jobs.records import Job
from models.jobs.requests import JobRequests
from models.jobs.spec import Budget, JobSpec, NarrowFrom, check_trials
from models.oracles.plan import Plan, plan
from models.oracles.schema import check_strategy
from models.oracles.strategy import Strategy
from models.space.hyperparameters import TrialValues
from models.space.space import SearchSpace
from models.trials.objective import resolve_objective
from models.trials.spec import EarlyStopping


@dataclass(frozen=True, slots=True)
class TuneRequest:
    """What a user asked for; each field is well formed, but not yet checked against the data."""

    model: str
    dataset: str | Mapping[str, Any]  # id, "builtin:" and a name, or rows
    target: str
    features: tuple[str, ...] | None
    task: str  # a task, or "auto"
    network: str
    space: SearchSpace | None  # None: that of `narrow_from`, narrowed
    strategy: Strategy
    metric: str
    direction: str | None
    budget: Budget
    evaluation: Evaluation
    executions: int
    early_stopping: EarlyStopping | None
    parallelism: int | None
    seed: int
    refit: bool
    reuse: bool
    narrow_from: NarrowFrom | None
    named: frozenset[str]  # fields that were given, not left to their defaults, as dotted paths
    pruning: Pruning | None = None
    class_weight: ClassWeight | None = None
    sample_weight: str | None = None  # a column


@dataclass(frozen=True, slots=True)
class Decision:
    """The job that a request makes, and what it will try."""

    spec: JobSpec
    plan: Plan  # of the strategy alone
    taken_over: Sequence[TrialValues]  # of trials whose results are known from `narrow_from`

    @property
    def given(self) -> list[TrialValues]:
        """The full values of the trials that the job begins with."""
        listed = self.spec.space.check_all(self.spec.strategy.initial_trials)
        return [*listed, *self.taken_over]

    @property
    def trials(self) -> int:
        """How many trials there will be."""
        return self.plan.trials + len(self.given)


class Intake:
    """Turns requests into jobs."""

    def __init__(
        self,
        library: DatasetLibrary,
        requests: JobRequests,
        queries: JobQueries,
        max_trials: int | None = None,
    ) -> None:
        self._library = library
        self._requests = requests
        self._queries = queries
        self._max_trials = max_trials

    def accept(self, request: TuneRequest, key: str | None, digest: str) -> Job:
        """Queue a job. `key` is the caller's idempotency key, `digest` that of the whole request.

        Raises Invalid with the path of the field, NotFound for an unknown dataset.
        """
        decision = self.decide(request)
        return self._requests.create(decision.spec, decision.trials, key, digest, decision.given)

    def decide(self, request: TuneRequest) -> Decision:
        """The job that `request` would make, and what it would try; nothing is started."""
        decision = self._decide_narrowed(request)
        check_trials(decision.trials, self._max_trials)
        return decision

    def _decide_narrowed(self, request: TuneRequest) -> Decision:
        if request.narrow_from is None:
            return self._decide(request)
        source = Narrowing(self._queries, request.narrow_from)
        decision = self._decide(inherit(request, source.job.spec, source.space))
        source.check_agrees(decision.spec)
        return replace(decision, taken_over=source.known_to(decision.spec))

    def _decide(self, request: TuneRequest) -> Decision:
        budget, space = request.budget, request.space
        assert space is not None
        check_pruning(request.pruning, request.strategy, budget.epochs)
        dataset, task, class_weight = self._resolve_data(request)
        check_strategy(request.strategy, space)
        planned = plan(request.strategy, space, budget.max_trials, budget.epochs)
        spec = JobSpec(
            model=request.model,
            dataset=dataset,
            target=request.target,
            features=request.features,
            task=task,
            network=request.network,
            space=space,
            strategy=request.strategy,
            objective=resolve_objective(task, request.metric, request.direction),
            budget=budget,
            evaluation=request.evaluation,
            executions=request.executions,
            early_stopping=request.early_stopping,
            parallelism=request.parallelism,
            seed=request.seed,
            refit=request.refit or request.evaluation.method == "cv",
            reuse=request.reuse,
            narrow_from=request.narrow_from,
            pruning=request.pruning,
            class_weight=class_weight,
            sample_weight=request.sample_weight,
        )
        return Decision(spec, planned, taken_over=())

    def _resolve_data(self, request: TuneRequest) -> tuple[str, Task, ClassWeight | None]:
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
        task = resolve_task(dataset, request.target, request.task)
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


def inherit(request: TuneRequest, spec: JobSpec, space: SearchSpace) -> TuneRequest:
    """The request with what it does not name taken from the job that it narrows."""
    own: dict[str, Any] = {
        "dataset": spec.dataset,
        "target": spec.target,
        "features": spec.features,
        "task": spec.task,
        "network": spec.network,
        "evaluation": spec.evaluation,
        "seed": spec.seed,
        "early_stopping": spec.early_stopping,
        "class_weight": spec.class_weight,
        "sample_weight": spec.sample_weight,
    }
    changes = {name: value for name, value in own.items() if name not in request.named}
    if "objective" not in request.named:
        changes |= {"metric": spec.objective.metric, "direction": spec.objective.direction}
    if "executions_per_trial" not in request.named:
        changes["executions"] = spec.executions
    if "budget.epochs" not in request.named:
        changes["budget"] = replace(request.budget, epochs=spec.budget.epochs)
    return replace(request, **changes, space=space)


def _check_builtin(request: TuneRequest) -> Builtin:
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
    if request.task not in ("auto", builtin.task):
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
