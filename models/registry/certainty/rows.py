"""Calibration rows: answers for rows that the networks which gave them did not learn from."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.data.encoding.preprocessing import TargetEncoder
from models.data.preparation.tasks import Task
from models.errors import ArtifactError
from models.registry.certainty.conformal import conformal_scores, kept_scores
from models.registry.documents import Document
from models.registry.members import Members
from models.store.artifacts import Artifacts
from models.trials.data import LoadedData
from models.trials.metrics import class_probabilities
from models.trials.run import load_outputs
from models.trials.spec import DataRef, RunReport

Array = np.ndarray[Any, Any]

MIN_ROWS = 10
EVERY_ROW = "Every row was learned from: none is left to calibrate on."
NOT_STORED = "The search has not kept its outputs for the rows that it validated on."
NOT_FINITE = "An output for the rows that the search validated on is not finite."


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationRows:
    """The truth of some rows, and the answers of a version's networks of the search.

    Answers are the weighted mean over the networks: predictions (rows, 1) in the target's own
    units, or probabilities (rows, classes). Without rows, `note` says why.
    """

    truth: Array  # float64 in own units, or class numbers, (rows,)
    answers: Array  # float64
    lowest: float | None = None  # below which no answer lies
    note: str | None = None


def calibration_rows(data: LoadedData, ref: DataRef, members: Members) -> CalibrationRows:
    """Return the rows that the search validated on, with the outputs that it has stored.

    With method `cv` they are all rows but the test rows, each answered by the networks of the fold
    that held it out. After a refit the served networks have learned from more rows than those that
    answer here.
    """
    validated = [fold.validation for fold in data.split.folds]
    source = data.dataset
    if data.validation_dataset is not None:
        source = data.validation_dataset
        validated = [data.rows_of(source)]
    rows = sum(map(len, validated))
    if not rows:
        return _none(EVERY_ROW)
    if rows < MIN_ROWS:
        return _none(f"{rows} rows are too few to calibrate on: {MIN_ROWS} are needed.")
    outputs = _mean_outputs(members.sources, Artifacts(ref.artifacts_root))
    truths: list[Array] = []
    answers: list[Array] = []
    encoder = None
    for number, (fold, held) in enumerate(zip(data.split.folds, validated, strict=True)):
        found = outputs.get(number)
        if found is None or len(found) != len(held):
            return _none(NOT_STORED)
        encoder = TargetEncoder.fit(
            data.dataset, fold.train, ref.target, ref.task, ref.allow_negative
        )
        values = source.values[ref.target][held]
        if ref.task is Task.REGRESSION:
            truths.append(values.astype(np.float64))
            answers.append(encoder.decode(found[:, 0])[:, None])
        else:
            truths.append(encoder.encode(values))
            answers.append(class_probabilities(found))
    answered = np.concatenate(answers)
    if not np.isfinite(answered).all():
        return _none(NOT_FINITE)
    is_clipped = encoder is not None and encoder.is_clipped
    return CalibrationRows(np.concatenate(truths), answered, 0.0 if is_clipped else None)


def calibration_document(rows: CalibrationRows) -> Document:
    """Return calibration.json; see `models.registry.documents.CalibrationSchema`."""
    scores: list[float] = []
    if len(rows.truth):
        is_regression = rows.answers.shape[1] == 1
        scores = kept_scores(conformal_scores(rows.truth, rows.answers, is_regression))
    return {
        "rows": len(rows.truth),
        "note": rows.note,
        "scores": scores,
        "lowest": rows.lowest,
    }


def _none(note: str) -> CalibrationRows:
    return CalibrationRows(np.empty(0), np.empty((0, 1)), note=note)


def _mean_outputs(
    sources: Sequence[tuple[RunReport, float]], artifacts: Artifacts
) -> dict[int, Array]:
    """Return the weighted mean of the stored outputs, (rows, units), by fold.

    Nothing is returned unless those of every run are stored and have the same shape.
    """
    sums: dict[int, Array] = {}
    shares: dict[int, float] = defaultdict(float)
    for run, share in sources:
        try:
            outputs = load_outputs(artifacts, run.weights)
        except ArtifactError:
            outputs = None
        if outputs is None:
            return {}
        weighted = share * outputs.astype(np.float64)
        known = sums.setdefault(run.fold, np.zeros_like(weighted))
        if known.shape != weighted.shape:
            return {}
        known += weighted
        shares[run.fold] += share
    return {fold: total / shares[fold] for fold, total in sums.items()}
