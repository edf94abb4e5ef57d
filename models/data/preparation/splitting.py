"""Splits of the rows into training, validation and test."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from models.data.preparation.tasks import Task
from models.errors import Invalid

MIN_ROWS = 10  # below this nothing is held out

Rows = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The evaluation of trials; raises Invalid under `evaluation` for contradictory values."""

    method: Literal["holdout", "cv", "train"] = "holdout"
    validation_fraction: float = 0.2  # of all rows; used by holdout
    test_fraction: float = 0.1  # of all rows, never seen while tuning; 0 for none
    folds: int = 5  # used by cv
    validation_dataset: str | None = None  # a dataset to validate on instead; holdout only

    def __post_init__(self) -> None:
        if self.method not in ("holdout", "cv", "train"):
            _refuse("method", f"{self.method!r} is not one of holdout, cv, train.")
        if not 0 < self.validation_fraction < 1:
            _refuse("validation_fraction", "Must lie between 0 and 1.")
        if not 0 <= self.test_fraction < 1:
            _refuse("test_fraction", "Must be 0 or more and less than 1.")
        if self.validation_fraction + self.test_fraction >= 1 and self.method == "holdout":
            _refuse("test_fraction", "Validation and test fractions leave no row to train on.")
        if self.folds < 2:
            _refuse("folds", "Must be at least 2.")
        if self.validation_dataset is not None and self.method != "holdout":
            _refuse("validation_dataset", f"Cannot be used with method {self.method!r}.")


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """Row numbers of one training and its validation."""

    train: Rows  # in shuffled order
    validation: Rows  # ascending; empty for method `train` and with a validation dataset


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Row numbers held out for the final test, and the folds over the others."""

    test: Rows  # ascending; may be empty
    folds: tuple[Fold, ...]  # one, or as many as `Evaluation.folds` for method `cv`


def split(y: np.ndarray[Any, Any], task: Task, evaluation: Evaluation, seed: int) -> Split:
    """Split the rows of the target values `y`, (rows,), as held in the dataset.

    Parts are stratified by class. The test part depends only on `y`, `task`, `seed` and
    `test_fraction`. With method `train` and fewer than 10 rows nothing is held out.
    Raises Invalid at `evaluation` when there are too few rows, or too few of a class.
    """
    classes = np.zeros(len(y), dtype=np.int64)
    if task is not Task.REGRESSION:
        labels, classes = np.unique(y, return_inverse=True)
        _check_class_sizes(labels, np.bincount(classes), evaluation, len(y))
    if len(y) < MIN_ROWS and evaluation.method != "train":
        raise Invalid.at(
            "evaluation",
            f"{len(y)} rows are too few to hold some out: {MIN_ROWS} are needed."
            " Use method 'train' to train and score on all rows.",
        )
    test = _test_rows(classes, evaluation.test_fraction, seed)
    rest = np.setdiff1d(np.arange(len(y)), test, assume_unique=True)
    folds = _folds(classes, rest, evaluation, np.random.default_rng([seed, 1]))
    if task is not Task.REGRESSION:
        _check_training(labels, classes, folds)
    return Split(test, folds)


def _folds(
    classes: Rows, rest: Rows, evaluation: Evaluation, generator: np.random.Generator
) -> tuple[Fold, ...]:
    if evaluation.method == "train" or evaluation.validation_dataset is not None:
        return (Fold(generator.permutation(rest), np.empty(0, dtype=np.int64)),)
    ordered = _by_class(classes, rest, generator)
    if evaluation.method == "cv":
        if evaluation.folds > len(rest):
            _refuse("folds", f"{len(rest)} rows cannot make {evaluation.folds} folds.")
        numbers = np.arange(len(rest)) % evaluation.folds
        marks = [numbers == number for number in range(evaluation.folds)]
    else:
        count = max(1, round(len(classes) * evaluation.validation_fraction))
        if count >= len(rest):
            _refuse("validation_fraction", f"Leaves none of {len(classes)} rows to train on.")
        marks = [_evenly(len(rest), count, generator)]
    return tuple(
        Fold(generator.permutation(ordered[~mark]), np.sort(ordered[mark])) for mark in marks
    )


def _test_rows(classes: Rows, fraction: float, seed: int) -> Rows:
    if fraction == 0 or len(classes) < MIN_ROWS:
        return np.empty(0, dtype=np.int64)
    generator = np.random.default_rng([seed, 0])
    ordered = _by_class(classes, np.arange(len(classes)), generator)
    count = max(1, round(len(classes) * fraction))
    return np.sort(ordered[_evenly(len(classes), count, generator)])


def _by_class(classes: Rows, rows: Rows, generator: np.random.Generator) -> Rows:
    shuffled = generator.permutation(rows)
    ordered: Rows = shuffled[np.argsort(classes[shuffled], kind="stable")]
    return ordered


def _evenly(length: int, count: int, generator: np.random.Generator) -> np.ndarray[Any, Any]:
    """Mark exactly `count` of `length` places at equal distances (systematic sampling).

    If rows are ordered by class, each class gets its share, rounded up or down.
    """
    steps = np.arange(length + 1) * count + generator.integers(length)
    return np.diff(steps // length) > 0


def _check_class_sizes(
    labels: np.ndarray[Any, Any], counts: Rows, evaluation: Evaluation, rows: int
) -> None:
    if evaluation.method == "train" or evaluation.validation_dataset is not None:
        parts = 1
    else:
        parts = evaluation.folds if evaluation.method == "cv" else 2
    needed = parts + (evaluation.test_fraction > 0 and rows >= MIN_ROWS)
    smallest = int(np.argmin(counts))
    if counts[smallest] < needed:
        raise Invalid.at(
            "evaluation",
            f"Class {_shown(labels[smallest])} has {counts[smallest]} of the {needed} rows that"
            f" method {evaluation.method!r} needs of every class.",
        )


def _check_training(labels: np.ndarray[Any, Any], classes: Rows, folds: tuple[Fold, ...]) -> None:
    for fold in folds:
        counts = np.bincount(classes[fold.train], minlength=len(labels))
        if not counts.all():
            name = _shown(labels[int(np.argmin(counts))])
            raise Invalid.at(
                "evaluation", f"No row of class {name} is left to train on; hold out fewer rows."
            )


def _shown(label: Any) -> str:
    return repr(label) if isinstance(label, str) else f"{label:g}"


def _refuse(field: str, message: str) -> None:
    raise Invalid.at(f"evaluation.{field}", message)
