"""A version on the rows that neither training nor search saw."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from models.data.dataset import Dataset
from models.data.preparation.parts import Rows
from models.data.preparation.tasks import Task
from models.registry.documents import Document
from models.registry.evidence.baselines import Baseline, Part, train_baselines
from models.registry.evidence.columns import measure_columns, nothing_of_columns
from models.registry.evidence.comparison import (
    TreesComparison,
    compare_with_trees,
    measured_by,
)
from models.registry.evidence.document import held_out_document, nothing_held_out
from models.registry.evidence.intervals import (
    CONFIDENCE,
    Intervals,
    Resamples,
    Scoring,
    group_numbers,
)
from models.trials.data import LoadedData, PreparedFold
from models.trials.metrics import Metrics
from models.trials.spec import TrialSpec

Array = np.ndarray[Any, Any]
Answers = Callable[[Dataset, Rows], Array]
"""Answers of a version: predictions (rows, 1) in own units, or probabilities (rows, classes)."""

NO_ROWS = "No rows were held out for a test."


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Metrics on rows that neither training nor search saw; None without such rows."""

    rows: int
    metrics: Metrics | None
    intervals: Intervals | None
    baseline: Metrics | None  # of always giving the training rows' mean or class shares
    answers: Document  # the content of held_out.json
    truth: Array  # numbers in own units, or class numbers, (rows,)
    served: Array  # the answers
    evidence: Document  # what evidence.json says of these rows


def measure_held_out(
    trial: TrialSpec,
    data: LoadedData,
    fold: PreparedFold,
    learned: Part,
    answers: Answers,
    threshold: float | None = None,
) -> HeldOut:
    """Score the answers that will be served on the test rows of `data`, beside baselines.

    The baselines learn from the rows `learned`, as the version did; the trivial one predicts the
    mean of the rows that `fold` was trained on, or their class shares. Of two classes, labels are
    those from `threshold` on. The comparison with trees is without it, as they have none.
    """
    dataset, rows = data.test_part()
    target = trial.data.target
    if not len(rows):
        nothing = nothing_held_out(fold, target)
        return HeldOut(0, None, None, None, nothing, np.empty(0), np.empty((0, 1)), _nothing(trial))
    plain = Scoring(fold.encoder, fold.training.positive_class)
    scoring = replace(plain, threshold=threshold)
    values = dataset.values[target][rows]
    truth = scoring.truth(values)
    served = answers(dataset, rows)
    groups = group_numbers(dataset, rows, trial.data.evaluation.group)
    draws = Resamples.draw(len(rows), trial.data.seed, groups)
    metrics, intervals = scoring.metrics(truth, served), scoring.intervals(truth, served, draws)
    trivial = _guess(fold, len(rows))
    linear, trees = train_baselines(data, trial.data, learned, (dataset, rows))
    objective = measured_by(trial.data.task, trial.objective)
    compared = compare_with_trees(plain, objective, truth, served, trees, draws, len(learned[1]))
    evidence = {
        "test": {
            "rows": len(rows),
            "metrics": metrics,
            "intervals": intervals,
            "confidence": CONFIDENCE,
            "resamples": len(draws.counts),
            "resampled": "groups" if draws.is_grouped else "rows",
            "units": draws.units,
            "note": draws.note,
        },
        "baseline": {
            "predicts": predicts(trial),
            "metrics": plain.metrics(truth, trivial),
            "intervals": plain.intervals(truth, trivial, draws),
        },
        "baselines": {
            name: _baseline_document(each, plain, truth, draws)
            for name, each in (("linear", linear), ("trees", trees))
        },
        **_compared_document(compared),
        **measure_columns(
            scoring,
            objective,
            answers,
            (dataset, rows),
            data.features,
            trial.data.seed,
            trial.data.evaluation.group,
            target,
        ),
    }
    return HeldOut(
        rows=len(rows),
        metrics=metrics,
        intervals=intervals,
        baseline=evidence["baseline"]["metrics"],
        answers=held_out_document(fold, target, rows, values, served)
        | {"test_dataset": None if data.test_dataset is None else data.test_dataset.digest()}
        | {"threshold": threshold, "positive": plain.positive},
        truth=truth,
        served=served,
        evidence=evidence,
    )


def predicts(trial: TrialSpec) -> str:
    """Name what the trivial baseline predicts."""
    return "mean" if trial.data.task is Task.REGRESSION else "majority"


def _nothing(trial: TrialSpec) -> Document:
    return {
        "test": {"rows": 0, "metrics": None, "intervals": None, "note": NO_ROWS},
        "baseline": {"predicts": predicts(trial), "metrics": None, "intervals": None},
        "baselines": None,
        **_compared_document(TreesComparison(None, NO_ROWS)),
        **nothing_of_columns(measured_by(trial.data.task, trial.objective), NO_ROWS),
    }


def _baseline_document(
    baseline: Baseline, scoring: Scoring, truth: Array, draws: Resamples
) -> Document:
    answers = baseline.answers
    return {
        "model": baseline.model,
        "metrics": None if answers is None else scoring.metrics(truth, answers),
        "intervals": None if answers is None else scoring.intervals(truth, answers, draws),
        "rows": baseline.rows,
        "seconds": round(baseline.seconds, 3),
        "note": baseline.note,
    }


def _compared_document(compared: TreesComparison) -> Document:
    document = asdict(compared)
    claims = {name: document.pop(name) for name in ("better_than_trees", "conclusion")}
    return {**claims, "difference_from_trees": None if compared.metric is None else document}


def _guess(fold: PreparedFold, rows: int) -> Array:
    if fold.training.outputs.task is Task.REGRESSION:
        return np.full((rows, 1), fold.training_truth.astype(np.float64).mean())
    counts = np.bincount(fold.training.y_train, minlength=len(fold.encoder.classes))
    return np.tile(counts / counts.sum(), (rows, 1))
