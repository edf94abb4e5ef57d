"""The specification of a tuning job."""

from dataclasses import dataclass, field, replace
from typing import Self

from models.data.preparation.splitting import Evaluation
from models.data.preparation.tasks import Task
from models.data.preparation.weighting import ClassWeight
from models.errors import Forbidden, Invalid
from models.jobs.pruning import PruningRule
from models.networks.steps import default_epochs, default_patience
from models.oracles.strategy import Strategy
from models.registry.catalog.promotion import Promote
from models.space.space import SearchSpace
from models.store.audit import actor_may_promote
from models.trials.monitor import Monitor, monitored_metric
from models.trials.spec import (
    NETWORK_METRICS,
    THRESHOLD_METRICS,
    Constraint,
    DataRef,
    EarlyStopping,
    Objective,
)

AUTO_ENSEMBLE = 8  # networks
AUTO_REFIT_ROWS = 10_000
AUTO_CV_ROWS = range(50, 2_001)
FAILURES_SPARED = 10  # a share of failed trials ends no search before so many have failed


@dataclass(frozen=True, slots=True)
class Budget:
    """When a search ends: at whichever limit is met first."""

    epochs: int  # passes over the training rows for one trial
    max_trials: int | None = None  # None: as many as the strategy plans
    max_seconds: float | None = None  # of searching, over all workers that took part
    max_failed_trials: float = 0.5  # below 1, a share of the trials that have ended
    target_score: float | None = None  # a score that is good enough

    def failures_allowed(self, ended: int) -> float:
        """Return how many failures end a search of which `ended` trials have ended, these too."""
        if self.max_failed_trials >= 1:
            return self.max_failed_trials
        return max(FAILURES_SPARED, self.max_failed_trials * ended)

    def is_reached(self, objective: Objective, score: float | None) -> bool:
        """Return whether a score is as good as the target, if there is one."""
        target = self.target_score
        return None not in (target, score) and not objective.is_better(target, score)


@dataclass(frozen=True, slots=True)
class NarrowFrom:
    """The ended job whose best trials bound the search space."""

    job: str
    top: float = 0.2  # share of its scored trials that count as the best


@dataclass(frozen=True, slots=True)
class JobSpec:
    """One tuning run: dataset, search space, strategy, objective and budget.

    `models.jobs.schema.spec` reads it from a request or a stored document and writes it. A request
    may leave `task`, `space`, `budget.epochs`, `early_stopping.patience`, `objective.direction` and
    some classes of `class_weight` open (None) and `evaluation.method` to be decided (auto), name
    columns to `exclude` in place of `features`, and give rows as `dataset`;
    `models.jobs.submission` decides these.
    """

    model: str
    dataset: str  # id of a stored dataset, or "builtin:" and a name
    target: str
    features: tuple[str, ...] | None  # columns to learn from; None: all that can be used
    task: Task
    network: str
    space: SearchSpace
    strategy: Strategy
    objective: Objective
    budget: Budget
    evaluation: Evaluation
    executions: int  # trainings of each trial, with different seeds
    early_stopping: EarlyStopping | None
    parallelism: int | None  # trials at once; None: as many as the worker has slots
    seed: int
    # Retrain the winner on training and validation rows together; None: as its data suggest.
    refit: bool | None
    reuse: bool = True  # take results of equal trials of other jobs
    narrow_from: NarrowFrom | None = None  # where `space` comes from
    pruning: PruningRule | None = None  # which trials are stopped early
    class_weight: ClassWeight | None = None  # of training rows, by their class
    sample_weight: str | None = None  # column with the weights of training rows
    exclude: tuple[str, ...] | None = None  # columns left out; `features` are then decided
    allow_negative: bool = False  # predicted numbers, where the dataset has no negative target
    ensemble: int | None = 1  # networks of the version at most; None: as the job suggests
    # Of two classes: a number, or the metric that it is chosen for. None: by the objective.
    threshold: float | str | None = None
    other_objectives: tuple[Objective, ...] = ()  # beside the first, which ranks the trials
    constraints: tuple[Constraint, ...] = ()  # a trial that breaks one is never the winner
    promote: Promote = Promote.IF_BETTER  # when `champion` moves to the version
    min_gain: float = 0.0  # by which it must be better, in the units of the metric
    breaking: bool = False  # whether it may have another contract than the champion
    # Labels that its user may change later, so they are no part of the stored document.
    tags: tuple[str, ...] = field(default=(), compare=False)
    description: str | None = field(default=None, compare=False)
    # Dotted paths of the fields that a request named; the others have their defaults.
    named: frozenset[str] = field(default=frozenset(), compare=False)

    @property
    def monitor(self) -> Monitor:
        """The metric by which trainings choose their best epoch."""
        return monitored_metric(self.task, self.objective, self.early_stopping, self.class_weight)

    @property
    def start_from_epoch(self) -> int:
        """The epochs at the start of a training that do not count."""
        return 0 if self.early_stopping is None else self.early_stopping.start_from_epoch

    @property
    def runs(self) -> int:
        """The number of trainings of one trial."""
        folds = self.evaluation.folds if self.evaluation.method == "cv" else 1
        return folds * self.executions

    @property
    def picks(self) -> int:
        """The number of networks that the version has at most.

        By default it is one, unless nothing but the quality of a multilayer perceptron's answers
        counts: an ensemble is larger and slower, and may break a constraint that its members keep.
        """
        if self.ensemble is not None:
            return self.ensemble
        is_plain = len(self.objectives) == 1 and not self.constraints
        counts_answers = self.objective.metric not in NETWORK_METRICS
        validates = self.evaluation.method != "train"
        suits = self.network == "mlp" and is_plain and counts_answers and validates
        return AUTO_ENSEMBLE if suits else 1

    @property
    def keeps_several(self) -> bool:
        """Whether the weights of more trials than the best are needed when the search ends."""
        return self.picks > 1 and not self.other_objectives

    def refits(self, rows: int) -> bool:
        """Return whether a version learns from all rows but the test rows of a dataset of `rows`.

        By default it does if that is cheap: a multilayer perceptron and up to AUTO_REFIT_ROWS rows.
        A dataset to validate on that the user has named stays apart.
        """
        if self.refit is not None:
            return self.refit
        evaluation = self.evaluation
        is_divided = evaluation.method == "holdout" and evaluation.validation_dataset is None
        return self.network == "mlp" and is_divided and rows <= AUTO_REFIT_ROWS

    @property
    def wanted_threshold(self) -> float | str | None:
        """The threshold of the version, or the metric that it is chosen for; None for neither.

        By default it is chosen for an objective that a threshold can serve.
        """
        if self.task is not Task.BINARY or self.threshold is not None:
            return self.threshold
        metric = self.objective.metric
        return metric if metric in THRESHOLD_METRICS else None

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """Every objective; the first one ranks the trials."""
        return (self.objective, *self.other_objectives)

    def decided_evaluation(self, rows: int, rarest: int | None = None) -> Evaluation:
        """Return the evaluation with the method decided that `auto` leaves open.

        A small table is cross-validated: one part of it says little about a network. `rows` have a
        target, and the rarest class, if there are any, has `rarest` of them. It must be cheap (a
        multilayer perceptron) and possible, and nothing else of the request may need one part.
        """
        evaluation = self.evaluation
        if evaluation.method != "auto":
            return evaluation
        needs_part = (
            evaluation.validation_dataset
            or evaluation.group
            or evaluation.time
            or self.pruning
            or self.strategy.name == "hyperband"
            or self.refit is False
        )
        is_possible = rows in AUTO_CV_ROWS and (rarest is None or rarest > evaluation.folds)
        suits = self.network == "mlp" and is_possible and not needs_part
        return replace(evaluation, method="cv" if suits else "holdout")

    def with_length(self, rows: float) -> Self:
        """Return the spec with the epochs and the patience that it leaves open decided.

        `rows` is about how many a training learns from. The trials with the smallest batches get
        the steps that `models.networks.steps` aims at.
        """
        budget, rule = self.budget, self.early_stopping
        if budget.epochs is None:
            batch = min(map(int, self.space.parameter("batch_size").options() or ()))
            budget = replace(budget, epochs=default_epochs(self.network, rows, batch))
        if rule is not None and rule.patience is None:
            rule = replace(rule, patience=default_patience(budget.epochs))
        return replace(self, budget=budget, early_stopping=rule)

    def data(self, dataset: str, artifacts_root: str) -> DataRef:
        """Return which rows of the stored `dataset` the trials train on."""
        return DataRef(
            artifacts_root=artifacts_root,
            dataset=dataset,
            target=self.target,
            task=self.task,
            evaluation=self.evaluation,
            seed=self.seed,
            features=self.features,
            class_weight=self.class_weight,
            sample_weight=self.sample_weight,
            allow_negative=self.allow_negative,
            positive_class=self.objective.positive_class,
        )


def check_trials(trials: int, limit: int | None, path: str = "budget.max_trials") -> None:
    """Raise Invalid at `path` for a job of more trials than the service allows."""
    if limit is not None and trials > limit:
        raise Invalid.at(
            path,
            f"The job would have {trials:,} trials, more than the {limit:,} of"
            " LUTHIER_MAX_TRIALS_PER_JOB.",
        )


def check_promotion(request: JobSpec) -> None:
    """Raise Forbidden for a promotion that only those may ask for who may move aliases."""
    asked = {"promote": request.promote is Promote.ALWAYS, "breaking": request.breaking}
    if not actor_may_promote() and any(asked.values()):
        text = "The key lacks the scope `promote`, which this needs."
        raise Forbidden({path: [text] for path, is_asked in asked.items() if is_asked})
