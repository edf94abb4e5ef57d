"""Run one trial: the entry point in a trial process."""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.store.artifacts import Artifacts
from models.trials.data import PreparedData, prepare
from models.trials.peak_memory import PeakMemory
from models.trials.scoring import combine, diverged, report_run
from models.trials.spec import Failure, FailureKind, TrialResult, TrialSpec
from models.trials.trainers.base import Report, Run, RunResult, Trainer, TrainingData
from models.trials.weights import load_weights, save_weights, weights_name

logger = logging.getLogger(__name__)


def run_trial(spec: TrialSpec, report: Report | None = None) -> TrialResult:
    """Train and score one trial with the trainer that suits it; what goes wrong is in the result.

    `report` is told of every epoch, and ends the trial by answering True. The process should be
    one that `prepare_process` made ready.
    """
    # The parent sends this function by name and so imports this file; TensorFlow stays out of it.
    from models.trials.trainers.choice import choose_trainer

    return run_trial_with(choose_trainer(spec.network, spec.values), spec, report)


def run_trial_with(trainer: Trainer, spec: TrialSpec, report: Report | None = None) -> TrialResult:
    """Train every fold and execution of a trial, combine the scores and store the best weights.

    A trial with a `parent` goes on, run by run, from the best weights of the parent, which is
    trained again if they are gone; the optimizer's own state starts anew. Whatever goes wrong
    becomes the result's `failure`. A trial that is stopped is scored by the runs it had finished,
    or by the best epoch of its first.
    """
    try:
        plan = plan_trial(spec)
        memory = PeakMemory(report)
        results = trainer.train(plan.runs, plan.training, memory)
        return replace(score_trial(plan, results, trainer.name), memory_bytes=memory.bytes)
    except Exception as error:
        return failed_by(error, spec)


def train_if_missing(spec: TrialSpec) -> TrialResult | None:
    """Train a scored trial once more if not all of its weights are stored; its result then.

    A trial that took over the result of an equal one has weights only if the other kept them.
    """
    artifacts = Artifacts(spec.data.artifacts_root)
    names = [
        weights_name(spec.weights, fold, execution)
        for fold in range(len(prepare(spec.data).folds))
        for execution in range(spec.executions)
    ]
    if all(artifacts.exists(name) for name in names):
        return None
    return run_trial(spec)


@dataclass(frozen=True, slots=True, eq=False)
class TrialPlan:
    """What is to be trained for a trial."""

    spec: TrialSpec
    data: PreparedData
    runs: list[Run]

    @property
    def training(self) -> list[TrainingData]:
        """The rows of every fold."""
        return [fold.training for fold in self.data.folds]


def plan_trial(spec: TrialSpec) -> TrialPlan:
    """Make ready what a trial is trained with; its parent is trained first if need be."""
    if spec.epochs <= spec.initial_epoch:
        raise ValueError(f"No epoch lies between {spec.initial_epoch} and {spec.epochs}.")
    data = prepare(spec.data)
    if spec.parent is not None:
        train_if_missing(spec.parent)
    return TrialPlan(spec, data, _plan_runs(spec, data, Artifacts(spec.data.artifacts_root)))


def score_trial(plan: TrialPlan, results: Sequence[RunResult], trainer: str) -> TrialResult:
    """Combine the scores of a trial that `trainer` trained, and store its weights."""
    spec, data, runs = plan.spec, plan.data, plan.runs
    if results[-1].diverged:
        return replace(diverged(results, runs), trainer=trainer)
    is_stopped = results[-1].stopped
    if is_stopped and len(results) > 1:
        # A run that had just begun would spoil the mean of those that were finished.
        results = results[:-1]
    names = [weights_name(spec.weights, run.fold, run.execution) for run in runs]
    reports = [
        report_run(run, result, data.folds[run.fold], spec.objective, name)
        for run, result, name in zip(runs, results, names, strict=False)
    ]
    combined = combine(reports, results, spec.objective, data.reference_loss)
    if _may_win(spec, combined):
        artifacts = Artifacts(spec.data.artifacts_root)
        for name, result in zip(names, results, strict=False):
            save_weights(artifacts, name, result.weights)
    return replace(combined, stopped=is_stopped, trainer=trainer)


def failed_by(error: Exception, spec: TrialSpec) -> TrialResult:
    """The result of a trial that an error ended."""
    if isinstance(error, MemoryError):
        return TrialResult(
            failure=Failure(FailureKind.OUT_OF_MEMORY, f"Not enough memory: {error}")
        )
    logger.error("Trial %s of job %s failed.", spec.number, spec.job, exc_info=error)
    return TrialResult(failure=Failure(FailureKind.ERROR, f"{type(error).__name__}: {error}"))


def _plan_runs(spec: TrialSpec, data: PreparedData, artifacts: Artifacts) -> list[Run]:
    return [
        Run(
            fold=fold,
            execution=execution,
            seed=_run_seed(spec, fold, execution),
            network=spec.network,
            values=spec.values,
            epochs=spec.epochs,
            initial_epoch=spec.initial_epoch,
            initial_weights=(
                None
                if spec.parent is None
                else load_weights(artifacts, weights_name(spec.parent.weights, fold, execution))
            ),
            early_stopping=spec.early_stopping,
        )
        for fold in range(len(data.folds))
        for execution in range(spec.executions)
    ]


def _run_seed(spec: TrialSpec, fold: int, execution: int) -> int:
    """A seed below 2**30 of its own for each run and each part of a continued training.

    It follows from the values too, so that the trials of a job do not share the luck of one order
    of rows, and equal trials are still equal in every job.
    """
    values = hashlib.sha256(json.dumps(dict(spec.values), sort_keys=True).encode()).digest()
    sequence = np.random.SeedSequence(
        [spec.seed, fold, execution, spec.initial_epoch, int.from_bytes(values[:8])]
    )
    return int(sequence.generate_state(1)[0]) >> 2


def _may_win(spec: TrialSpec, result: TrialResult) -> bool:
    if spec.to_beat is None or result.score is None:
        return True
    return not spec.objective.is_better(spec.to_beat, result.score)
