"""The score of a trial from the results of its runs."""

from collections.abc import Sequence
from statistics import fmean

import numpy as np

from models.data.preparation.tasks import Task
from models.trials.data import PreparedFold
from models.trials.metrics import (
    Array,
    Metrics,
    class_metrics,
    class_probabilities,
    regression_metrics,
)
from models.trials.spec import (
    Failure,
    FailureKind,
    Objective,
    RunReport,
    TrialResult,
    TrialSpec,
    scored_by,
)
from models.trials.trainers.base import Run, RunResult, mean_history

# A trial is overfit when both the ratio and the share below are exceeded.
OVERFIT_RATIO = 1.5
OVERFIT_SHARE = 0.05


def run_metrics(fold: PreparedFold, outputs: Array, truth: Array) -> Metrics:
    """Return the metrics of a network's outputs for rows with the target values `truth`."""
    task = fold.training.outputs.task
    if task is Task.REGRESSION:
        return regression_metrics(truth.astype(np.float64), fold.encoder.decode(outputs[:, 0]))
    positive = fold.training.positive_class
    return class_metrics(fold.encoder.encode(truth), class_probabilities(outputs), task, positive)


def report_run(
    run: Run,
    result: RunResult,
    fold: PreparedFold,
    objective: Objective,
    weights: str,
    network_metrics: Metrics | None = None,
) -> RunReport:
    """Score one run that did not diverge; `network_metrics` are the same for every run."""
    own = run_metrics(fold, result.validation_outputs, fold.validation_truth)
    metrics = {**own, "parameters": float(result.parameters), **(network_metrics or {})}
    training = run_metrics(fold, result.training_outputs, fold.training_truth)
    training_loss = training["loss"]
    assert training_loss is not None
    return RunReport(
        fold=run.fold,
        execution=run.execution,
        seed=run.seed,
        score=metrics[objective.metric],
        metrics=metrics,
        training_loss=training_loss,
        best_epoch=result.best_epoch,
        epochs=result.epochs,
        seconds=result.seconds,
        weights=weights,
    )


def combine(
    reports: Sequence[RunReport],
    results: Sequence[RunResult],
    spec: TrialSpec,
    reference_loss: float | None,
) -> TrialResult:
    """Return the trial's result: means over its runs, and the spread of its score.

    A metric that is undefined in some runs is the mean over the others. `reference_loss` is that
    of `is_overfit`, None where training and validation rows are the same.
    """
    metrics = {name: _mean([r.metrics[name] for r in reports]) for name in reports[0].metrics}
    validation_loss = metrics["loss"]
    training_loss = fmean(report.training_loss for report in reports)
    assert validation_loss is not None
    gap = None if reference_loss is None else validation_loss - training_loss
    found = TrialResult(
        metrics=metrics,
        folds=tuple(reports),
        history=mean_history([result.history for result in results]),
        seconds=sum(result.seconds for result in results),
        parameters=results[0].parameters,
        best_epoch=round(fmean(report.best_epoch for report in reports)),
        epochs=max(result.epochs for result in results),
        overfit_gap=gap,
        overfit=(
            None
            if reference_loss is None
            else is_overfit(validation_loss, training_loss, reference_loss)
        ),
        weights=tuple(report.weights for report in reports),
    )
    return scored_by(found, spec.objectives, spec.constraints)


def diverged(results: Sequence[RunResult], runs: Sequence[Run]) -> TrialResult:
    """Return the result of a trial whose last trained run diverged; no run is scored."""
    run, result = runs[len(results) - 1], results[-1]
    return TrialResult(
        history=mean_history([result.history]),
        seconds=sum(each.seconds for each in results),
        parameters=result.parameters,
        epochs=result.epochs,
        failure=Failure(
            FailureKind.DIVERGED,
            f"The loss or the predictions stopped being finite in epoch {result.epochs}"
            f" of fold {run.fold}, execution {run.execution}.",
        ),
    )


def is_overfit(validation_loss: float, training_loss: float, reference_loss: float) -> bool:
    """Return whether a network fits its training rows much better than others.

    It does if the validation loss is above 1.5 times the training loss, and above it by more than
    5% of `reference_loss`, the loss of always predicting the training rows' mean or class shares.
    The second condition spares networks whose losses are both nearly 0.
    """
    return (
        validation_loss > OVERFIT_RATIO * training_loss
        and validation_loss - training_loss > OVERFIT_SHARE * reference_loss
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
