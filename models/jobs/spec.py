"""What a tuning job was asked to do, fully decided: no defaults are left to fill in."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from models.data.preparation.splitting import Evaluation
from models.data.preparation.tasks import Task
from models.data.preparation.weighting import (
    ClassWeight,
    class_weight_from_json,
    class_weight_to_json,
)
from models.errors import Invalid
from models.jobs.pruning import Pruning, pruning_from_json, pruning_to_json
from models.oracles.strategy import Strategy, strategy_from_json, strategy_to_json
from models.space.schema import load_space
from models.space.space import SearchSpace
from models.trials.objective import Objective
from models.trials.spec import DataRef, EarlyStopping


@dataclass(frozen=True, slots=True)
class Budget:
    """When a search ends; whichever limit is met first."""

    epochs: int  # passes over the training rows for one trial
    max_trials: int | None = None  # None: as many as the strategy plans
    max_seconds: float | None = None  # of searching, over all workers that took part
    max_failed_trials: int = 10
    target: float | None = None  # a score that is good enough


@dataclass(frozen=True, slots=True)
class NarrowFrom:
    """The ended job whose best trials bound the search space."""

    job: str
    top: float = 0.2  # share of its scored trials that count as the best


@dataclass(frozen=True, slots=True)
class JobSpec:
    """One tuning run: dataset, search space, strategy, objective and budget."""

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
    executions: int
    early_stopping: EarlyStopping | None
    parallelism: int | None  # trials at once; None: as many as the worker has slots
    seed: int
    refit: bool  # retrain the winner on training and validation rows together
    reuse: bool = True  # take over results of equal trials of other jobs
    narrow_from: NarrowFrom | None = None  # where `space` comes from
    pruning: Pruning | None = None  # which trials are stopped as hopeless
    class_weight: ClassWeight | None = None  # of training rows, by their class
    sample_weight: str | None = None  # column with the weights of training rows

    def data(self, dataset: str, artifacts_root: str) -> DataRef:
        """Which rows of the stored `dataset` the trials train on."""
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
        )

    def to_document(self) -> dict[str, Any]:
        """The JSON form that `from_document` reads back to an equal spec."""
        document = {name: getattr(self, name) for name in _PLAIN}
        return document | {
            "features": self.features and list(self.features),
            "executions_per_trial": self.executions,
            "task": str(self.task),
            "search_space": self.space.document(),
            "strategy": strategy_to_json(self.strategy),
            "objective": asdict(self.objective),
            "budget": asdict(self.budget),
            "evaluation": asdict(self.evaluation),
            "early_stopping": self.early_stopping and asdict(self.early_stopping),
            "narrow_from": self.narrow_from and asdict(self.narrow_from),
            "pruning": pruning_to_json(self.pruning),
            "class_weight": class_weight_to_json(self.class_weight),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "JobSpec":
        """Read what `to_document` wrote."""
        stopping = document["early_stopping"]
        narrowed = document.get("narrow_from")
        return cls(
            **{name: document[name] for name in _PLAIN if name in document},
            features=document["features"] and tuple(document["features"]),
            executions=document["executions_per_trial"],
            task=Task(document["task"]),
            space=load_space(document["search_space"], document["network"]),
            strategy=strategy_from_json(document["strategy"]),
            objective=Objective(**document["objective"]),
            budget=Budget(**document["budget"]),
            evaluation=Evaluation(**document["evaluation"]),
            early_stopping=EarlyStopping(**stopping) if stopping else None,
            narrow_from=NarrowFrom(**narrowed) if narrowed else None,
            pruning=pruning_from_json(document.get("pruning")),
            class_weight=class_weight_from_json(document.get("class_weight")),
        )


_PLAIN = (
    "model",
    "dataset",
    "target",
    "network",
    "parallelism",
    "seed",
    "refit",
    "reuse",
    "sample_weight",
)


def check_trials(trials: int, limit: int | None, path: str = "budget.max_trials") -> None:
    """Raise Invalid at `path` for a job of more trials than the service allows."""
    if limit is not None and trials > limit:
        raise Invalid.at(
            path,
            f"The job would have {trials:,} trials, more than the {limit:,} of"
            " LUTHIER_MAX_TRIALS_PER_JOB.",
        )
