"""Plain values of one trial that travel between processes: objective, specification, result."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from statistics import pstdev
from typing import Literal

from models.data.preparation.splitting import Evaluation
from models.data.preparation.tasks import Task
from models.data.preparation.weighting import ClassWeight
from models.errors import Invalid
from models.space.hyperparameters import TrialValues

Direction = Literal["min", "max"]

_REGRESSION: Mapping[str, Direction] = {
    "loss": "min",
    "mse": "min",
    "mae": "min",
    "rmse": "min",
    "r2": "max",
}
_CLASSIFICATION: Mapping[str, Direction] = {
    "loss": "min",
    "accuracy": "max",
    "balanced_accuracy": "max",
    "precision": "max",
    "recall": "max",
    "f1": "max",
    "auc": "max",
    "log_loss": "min",
}
# Metrics of the network itself, known for every task; see `models.trials.scoring`.
NETWORK_METRICS: Mapping[str, Direction] = {"parameters": "min", "latency_ms": "min"}
# Metrics of a trial's answers on rows.
METRICS: Mapping[Task, Mapping[str, Direction]] = {
    Task.REGRESSION: _REGRESSION,
    Task.BINARY: _CLASSIFICATION,
    Task.MULTICLASS: _CLASSIFICATION,
}


# Of two classes, that a threshold may be chosen for; the others are best where all rows, or hardly
# any, are of one class.
THRESHOLD_METRICS = ("accuracy", "balanced_accuracy", "f1")
CLASS_METRICS = ("precision", "recall", "f1")  # that count the rows of one class, or of each


@dataclass(frozen=True, slots=True)
class Objective:
    """A metric of a trial, and whether less or more of it is better.

    A score may be None, for a trial that has none.
    """

    metric: str  # without "val_"
    direction: Direction
    # The class, by `label_name`, that precision, recall and f1 count. None: the second of two
    # classes in order, the mean over more than two; so it is in jobs of versions before 0.3.
    positive_class: str | None = None

    @property
    def is_minimized(self) -> bool:
        """Whether smaller scores are better."""
        return self.direction == "min"

    def is_better(self, score: float | None, other: float | None) -> bool:
        """Return whether the first score is better; any score is better than none."""
        return self.loss(score) < self.loss(other)

    def best(self, *scores: float | None) -> float | None:
        """Return the best of some scores, at least one; None if all are None."""
        return min(scores, key=self.loss)

    def loss(self, score: float | None) -> float:
        """Return a number that is smaller for better scores: a key to sort by; inf for None."""
        if score is None:
            return math.inf
        return score if self.is_minimized else -score


_MOST = 1e9  # of an excess, which an undefined metric has
_LEAST = 1e-12  # of the excess of a metric beyond its bound, however near


@dataclass(frozen=True, slots=True)
class Constraint:
    """Bounds of a metric; a trial beyond one is never the winner."""

    metric: str  # without "val_"
    min: float | None = None
    max: float | None = None

    def __str__(self) -> str:
        """Write the constraint as in `0.8 <= recall`."""
        low = "" if self.min is None else f"{self.min:g} <= "
        return low + self.metric + ("" if self.max is None else f" <= {self.max:g}")

    def excess(self, value: float | None) -> float:
        """Return how far a value lies beyond its bound, as a share of the bound; else 0.

        A bound of 0 counts as 1. The excess of an undefined value is the largest, 1e9.
        """
        if value is None:
            return _MOST
        for bound, beyond in self._beyond(value):
            if beyond > 0:
                return min(_MOST, max(_LEAST, beyond / (abs(bound) or 1.0)))
        return 0.0

    def describe(self, value: float | None) -> str:
        """Say how a value that breaks the constraint does so."""
        if value is None:
            return f"{self.metric} is undefined"
        side, bound = (
            ("above", self.max)
            if self.max is not None and value > self.max
            else ("below", self.min)
        )
        return f"{self.metric} is {value:.6g}, {side} {bound:.6g}"

    def _beyond(self, value: float) -> Iterator[tuple[float, float]]:
        if self.max is not None:
            yield self.max, value - self.max
        if self.min is not None:
            yield self.min, self.min - value


def resolve_metric(task: Task, metric: str, path: str) -> str:
    """Return the name of a metric without `val_`; raises Invalid at `path` for an unknown one."""
    known = {**METRICS[task], **NETWORK_METRICS}
    name = metric.removeprefix("val_")
    if name not in known:
        raise Invalid.at(
            path, f"{metric!r} is not a metric of a {task} task; use one of: {', '.join(known)}."
        )
    return name


def resolve_objective(
    task: Task,
    metric: str = "val_loss",
    direction: str | None = None,
    positive_class: str | None = None,
    path: str = "objective",
) -> Objective:
    """Return the objective that a metric's name means, with or without `val_`.

    The direction follows from the metric. A `direction` that does not agree is refused, since the
    worst trial would win. Raises Invalid at `<path>.metric` or `<path>.direction`.
    """
    name = resolve_metric(task, metric, f"{path}.metric")
    better = {**METRICS[task], **NETWORK_METRICS}[name]
    if direction not in (None, better):
        raise Invalid.at(
            f"{path}.direction",
            f"{direction!r} would choose the worst trial: {name} is better at its {better}imum.",
        )
    return Objective(name, better, positive_class)


@dataclass(frozen=True, slots=True)
class DataRef:
    """The stored rows of a trial and how they are divided. Equal refs mean equal data."""

    artifacts_root: str  # folder or fsspec URL that holds the datasets
    dataset: str  # id of the stored dataset
    target: str  # column to predict
    task: Task
    evaluation: Evaluation
    seed: int  # of the division into parts
    features: tuple[str, ...] | None = None  # columns to learn from; None is all that are suitable
    class_weight: ClassWeight | None = None  # of training rows, by their class
    sample_weight: str | None = None  # column with the weights of training rows; no feature
    allow_negative: bool = False  # predicted numbers, where the dataset has no negative target
    positive_class: str | None = None  # of metrics; see `Objective`


@dataclass(frozen=True, slots=True)
class EarlyStopping:
    """End a run after `patience` epochs in a row in which the monitored metric was not better."""

    patience: int = 10
    min_delta: float = 0.0  # smallest improvement that counts, in the metric's own units
    metric: str | None = None  # without "val_"; None: the objective's
    start_from_epoch: int = 0  # so many epochs count neither for the patience nor as the best


@dataclass(frozen=True, slots=True)
class TrialSpec:
    """One trial, ready to be run in any process."""

    job: str
    number: int  # of the trial in its job
    network: str
    values: TrialValues
    data: DataRef
    objective: Objective
    epochs: int  # where training ends, counted from the start, a parent's epochs included
    seed: int
    weights: str  # artifact folder that the best weights are written to
    initial_epoch: int = 0  # epochs that the parent trained
    executions: int = 1
    early_stopping: EarlyStopping | None = None
    parent: "TrialSpec | None" = None  # the trial whose best weights this one continues
    # The score of another trial: the weights of a worse one are not written.
    to_beat: float | None = None
    other_objectives: tuple[Objective, ...] = ()  # beside the first
    constraints: tuple[Constraint, ...] = ()

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """Every objective; the first one ranks the trials."""
        return (self.objective, *self.other_objectives)

    @property
    def needs_latency(self) -> bool:
        """Whether the latency of its network is measured."""
        return needs_latency(self.objectives, self.constraints)


def needs_latency(objectives: Iterable[Objective], constraints: Iterable[Constraint]) -> bool:
    """Return whether an objective or a constraint is about `latency_ms`."""
    measured = {each.metric for each in objectives} | {each.metric for each in constraints}
    return "latency_ms" in measured


def weights_name(folder: str, fold: int, execution: int) -> str:
    """Return the name of the artifact with the best weights of one run of a trial."""
    return f"{folder}/weights-{fold}-{execution}.npz"


class FailureKind(StrEnum):
    """The kind of failure for which a trial has no score."""

    DIVERGED = "diverged"
    OUT_OF_MEMORY = "out_of_memory"
    TIMEOUT = "timeout"
    LOST = "lost"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Failure:
    """The failure of a trial without a score, with a text for the user."""

    kind: FailureKind
    message: str


@dataclass(frozen=True, slots=True)
class RunReport:
    """One run of a trial: one fold, one execution."""

    fold: int  # from 0
    execution: int  # from 0
    seed: int
    score: float | None  # the objective
    metrics: Mapping[str, float | None]  # on the validation rows, in the target's own units
    training_loss: float  # with the best weights and without dropout, in own units
    best_epoch: int
    epochs: int  # where the run ended
    seconds: float
    weights: str  # artifact name of the best weights


@dataclass(frozen=True, slots=True)
class TrialResult:
    """The result of a trial. Epochs are counted from 1, a parent's epochs included."""

    score: float | None = None  # mean of the objective over the runs; None if the trial failed
    spread: float | None = None  # its standard deviation over the runs, 0 for one run
    # Means over the runs, and those of NETWORK_METRICS that are known.
    metrics: Mapping[str, float | None] | None = None
    folds: tuple[RunReport, ...] = ()  # by fold, then execution
    history: Mapping[str, list[float | None]] | None = None  # per epoch, mean over the runs
    seconds: float = 0.0  # of training, all runs
    parameters: int = 0  # trained and untrained numbers of one network
    best_epoch: int | None = None  # mean over the runs, rounded
    epochs: int = 0  # the longest run's
    overfit_gap: float | None = None  # validation loss minus training loss, mean over the runs
    overfit: bool | None = None  # the rule is `models.trials.scoring.is_overfit`
    weights: tuple[str, ...] = ()  # artifact names, by fold, then execution
    trainer: str | None = None  # `numpy` or `keras`; None if nothing was trained
    failure: Failure | None = None
    stopped: bool = False  # pruned; the score is that of its best epoch so far
    memory_bytes: int = 0  # largest resident memory of its process at the end of an epoch
    scores: Mapping[str, float] | None = None  # by metric, of several objectives
    # The excess of each constraint that it breaks, by metric.
    violations: Mapping[str, float] = field(default_factory=dict)

    @property
    def violation(self) -> float:
        """The sum of all excesses; 0 if it keeps every constraint."""
        return sum(self.violations.values())


def scored_by(
    result: TrialResult, objectives: Sequence[Objective], constraints: Sequence[Constraint]
) -> TrialResult:
    """Return a result scored by objectives and held against constraints.

    It fails if an objective is undefined. Raises KeyError for a metric that was not measured.
    """
    metrics = result.metrics or {}
    first = objectives[0]
    scores = {objective.metric: metrics[objective.metric] for objective in objectives}
    excesses = {each.metric: each.excess(metrics[each.metric]) for each in constraints}
    folds = tuple(replace(run, score=run.metrics[first.metric]) for run in result.folds)
    known = [run.score for run in folds if run.score is not None]
    undefined = next((name for name, score in scores.items() if score is None), None)
    if undefined is not None:
        return replace(result, folds=folds, score=None, spread=None, failure=_undefined(undefined))
    defined = {name: score for name, score in scores.items() if score is not None}
    return replace(
        result,
        folds=folds,
        score=defined[first.metric],
        spread=pstdev(known) if known else result.spread,
        scores=defined if len(objectives) > 1 else None,
        violations={name: excess for name, excess in excesses.items() if excess > 0},
    )


def _undefined(metric: str) -> Failure:
    return Failure(
        FailureKind.ERROR,
        f"{metric!r} is undefined on these validation rows: they hold too few"
        " different target values.",
    )
