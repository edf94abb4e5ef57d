"""Splits of the rows into training, validation and test."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

import numpy as np

from models.data.columns import ColumnType
from models.data.dataset import Dataset
from models.data.datetimes import parse_iso
from models.data.preparation.parts import ByClass, ByGroup, ByTime, Divider, Division, Rows
from models.data.preparation.tasks import Task, check_column, has_value
from models.errors import Invalid

MIN_ROWS = 10  # below this nothing is held out
MAX_LISTED = 10  # classes named in a message

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The evaluation of trials; raises Invalid under `evaluation` for contradictory values."""

    method: Literal["auto", "holdout", "cv", "train"] = "holdout"  # auto: decided by a submission
    validation_fraction: float = 0.2  # of all rows; used by holdout
    test_fraction: float = 0.1  # of all rows, never seen while tuning; 0 for none
    folds: int = 5  # used by cv
    validation_dataset: str | None = None  # a dataset to validate on instead; holdout only
    group: str | None = None  # a column; rows with the same value are in the same part
    time: str | None = None  # a column; a part is later than what is trained on
    test_dataset: str | None = None  # a dataset to test on instead of a test part
    seed: int | None = None  # of the split; None: the job's

    def __post_init__(self) -> None:
        if self.method not in ("auto", "holdout", "cv", "train"):
            _refuse("method", f"{self.method!r} is not one of auto, holdout, cv, train.")
        if not 0 < self.validation_fraction < 1:
            _refuse("validation_fraction", "Must lie between 0 and 1.")
        if not 0 <= self.test_fraction < 1:
            _refuse("test_fraction", "Must be 0 or more and less than 1.")
        if self.validation_fraction + self.test_fraction >= 1 and self.may_hold_out:
            _refuse("test_fraction", "Validation and test fractions leave no row to train on.")
        if self.folds < 2:
            _refuse("folds", "Must be at least 2.")
        if self.validation_dataset is not None and not self.may_hold_out:
            _refuse("validation_dataset", f"Cannot be used with method {self.method!r}.")
        if self.test_dataset is not None and self.test_fraction > 0:
            _refuse("test_fraction", "Must be 0 with a test_dataset: its rows are the test.")
        if self.group is not None and self.time is not None:
            _refuse("time", "Give either group or time.")

    @property
    def may_hold_out(self) -> bool:
        """Whether one part is held out to validate on, or may be."""
        return self.method in ("auto", "holdout")

    @property
    def parts(self) -> int:
        """Parts, the test apart, that each class needs a row in."""
        if self.method == "train" or self.validation_dataset is not None:
            return 1
        return self.folds if self.method == "cv" else 2

    def training_rows(self, rows: int) -> float:
        """Return about how many of a dataset's rows one training learns from."""
        share = 1 - self.test_fraction
        if self.method == "cv":
            share *= 1 - 1 / self.folds
        elif self.parts > 1:
            share -= self.validation_fraction
        return share * rows

    def seed_of(self, job_seed: int) -> int:
        """Return the seed of the split of a job with this seed."""
        return job_seed if self.seed is None else self.seed


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
    rows: Rows  # ascending: those in any part; the others lack the target, group or time
    rare: tuple[str, ...] = ()  # classes, as text, that some part lacks by necessity

    @property
    def training(self) -> Rows:
        """Every row but the test rows, ascending."""
        rest: Rows = np.setdiff1d(self.rows, self.test, assume_unique=True)
        return rest


def split_dataset(
    dataset: Dataset, target: str, task: Task, evaluation: Evaluation, seed: int
) -> Split:
    """Split a dataset by its target and, where `evaluation` names one, its group or time column.

    Raises Invalid at `evaluation.group` and `evaluation.time` for a column that cannot be used,
    and what `split` raises.
    """
    groups = times = None
    if evaluation.group is not None:
        groups = _group_values(dataset, evaluation.group, target)
    if evaluation.time is not None:
        times = _moments(dataset, evaluation.time, target)
    return split(dataset.values[target], task, evaluation, seed, groups, times)


def split(
    y: Array,
    task: Task,
    evaluation: Evaluation,
    seed: int,
    groups: Array | None = None,
    times: Array | None = None,
) -> Split:
    """Split the rows of the target values `y`, (rows,), as held in the dataset.

    `groups`, (rows,) of any values, stay whole; `times`, (rows,) float64, order the parts. Rows
    without a target, group or time are in no part. Without times, parts are stratified by class,
    and the rows of classes that are too rare for a part are trained on. Except for such classes,
    the test part depends only on `y`, `task`, `groups`, `times`, the seed and `test_fraction`.
    With method `train` and fewer than 10 rows nothing is held out.

    Raises Invalid at `evaluation` when there are too few rows, or if fewer than two classes have
    enough rows for every part.
    """
    present = has_value(y)
    for column in (groups, times):
        present &= True if column is None else has_value(column)
    rows = np.flatnonzero(present)
    if not len(rows):
        raise Invalid.at("evaluation", "No row has all that the split needs.")
    labels, classes = _labelled(y, rows, task)
    divider: Divider = ByClass(classes)
    if groups is not None:
        divider = ByGroup(_group_numbers(groups, rows), classes)
    elif times is not None:
        divider = ByTime(times)
    if len(rows) < MIN_ROWS and evaluation.method != "train":
        raise Invalid.at(
            "evaluation",
            f"{len(rows)} rows are too few to hold some out: {MIN_ROWS} are needed."
            " Use method 'train' to train and score on all rows.",
        )
    parts = _Parts(divider, labels, classes, evaluation, evaluation.seed_of(seed))
    return parts.divide(rows)


class _Parts:
    """The division of the rows of one dataset; classes that are too rare are held back."""

    def __init__(
        self,
        divider: Divider,
        labels: Array,
        classes: Rows,
        evaluation: Evaluation,
        seed: int,
    ) -> None:
        self._divider = divider
        self._labels = labels  # empty for a regression
        self._classes = classes
        self._evaluation = evaluation
        self._seed = seed
        # Time alone says which row is in which part.
        self._stratified = len(labels) > 0 and not isinstance(divider, ByTime)

    def divide(self, rows: Rows) -> Split:
        evaluation = self._evaluation
        rare: set[int] = set()
        if self._stratified:
            rare |= self._check_classes(rows)
        test = np.empty(0, dtype=np.int64)
        if evaluation.test_fraction > 0 and len(rows) >= MIN_ROWS:
            test, untested = self._test(rows)
            rare |= untested
        rest = np.setdiff1d(rows, test, assume_unique=True)
        folds, unvalidated = self._folds(rows, rest, rare)
        rare |= unvalidated
        if isinstance(self._divider, ByTime) and len(self._labels):
            rare |= self._unknown_in_the_past(folds)
        names = tuple(label_text(self._labels[number]) for number in sorted(rare))
        return Split(np.sort(test), folds, rows, names)

    def _check_classes(self, rows: Rows) -> set[int]:
        """Return the classes that are too rare for every part; Invalid if one class is left."""
        evaluation, counts = self._evaluation, self._units_by_class(rows)
        needed = evaluation.parts + (evaluation.test_fraction > 0 and len(rows) >= MIN_ROWS)
        rare = {number for number, count in enumerate(counts) if count < needed}
        if len(self._labels) - len(rare) < 2:
            listed = sorted(rare)[:MAX_LISTED]
            named = ", ".join(
                f"class {label_text(self._labels[number])} has {counts[number]}"
                for number in listed
            )
            more = len(rare) - len(listed)
            unit = self._divider.unit
            raise Invalid.at(
                "evaluation",
                f"{named[:1].upper()}{named[1:]}{f' and {more} more have fewer' if more else ''} of"
                f" the {needed} {unit} that method {evaluation.method!r} needs of a class; fewer"
                " than two classes have enough.",
            )
        return rare

    def _test(self, rows: Rows) -> tuple[Rows, set[int]]:
        generator = np.random.default_rng([self._seed, 0])
        count = max(1, round(len(rows) * self._evaluation.test_fraction))
        # One row of each class to train on, and one to validate on.
        left = 1 if self._evaluation.parts == 1 else 2
        [(_, test)], pinned = self._draw(
            rows,
            lambda free: [self._divider.hold_out(free, min(count, len(free)), generator)],
            self._rarer_than(left + 1, rows),
            left,
        )
        return test, pinned

    def _folds(self, rows: Rows, rest: Rows, rare: set[int]) -> tuple[tuple[Fold, ...], set[int]]:
        evaluation, divider = self._evaluation, self._divider
        generator = np.random.default_rng([self._seed, 1])
        if evaluation.parts == 1:
            return (Fold(generator.permutation(rest), np.empty(0, dtype=np.int64)),), set()
        count = max(1, round(len(rows) * evaluation.validation_fraction))
        if evaluation.method == "holdout" and count >= len(rest):
            _refuse("validation_fraction", f"Leaves none of {len(rows)} rows to train on.")

        def draw(free: Rows) -> list[Division]:
            if evaluation.method == "cv":
                return divider.folds(free, evaluation.folds, generator)
            return [divider.hold_out(free, min(count, len(free)), generator)]

        drawn, pinned = self._draw(rest, draw, rare | self._rarer_than(2, rest), 1)
        return (
            tuple(Fold(generator.permutation(train), np.sort(held)) for train, held in drawn),
            pinned,
        )

    def _draw(
        self,
        rows: Rows,
        draw: Callable[[Rows], list[Division]],
        pinned: set[int],
        least: int,
    ) -> tuple[list[Division], set[int]]:
        """Divide `rows` so that each class keeps `least` rows, or all, in every training.

        The units that hold a row of the classes `pinned` are trained on. Classes that a draw took
        too many rows of are pinned, and it is drawn again. Returns all that were pinned.
        """
        if not self._stratified:
            return draw(rows), set()
        counts = self._row_counts(rows)
        while True:
            if len(self._labels) - len(pinned) < 2:
                name = label_text(self._labels[max(pinned, key=lambda number: -counts[number])])
                raise Invalid.at(
                    "evaluation",
                    f"No row of class {name} is left to train on; hold out fewer rows.",
                )
            free, back = self._apart(rows, pinned)
            if not len(free):
                raise Invalid.at("evaluation", "Rare classes leave nothing to hold out.")
            drawn = [(np.concatenate([train, back]), held) for train, held in draw(free)]
            left = np.min([self._row_counts(train) for train, _ in drawn], axis=0)
            lost = set(np.flatnonzero(left < np.minimum(least, counts)).tolist()) - pinned
            if not lost:
                return drawn, pinned
            pinned = pinned | lost

    def _apart(self, rows: Rows, pinned: set[int]) -> tuple[Rows, Rows]:
        if not pinned:
            return rows, np.empty(0, dtype=np.int64)
        units = self._divider.units(rows)
        back = np.isin(units, units[np.isin(self._classes[rows], list(pinned))])
        return rows[~back], rows[back]

    def _rarer_than(self, needed: int, rows: Rows) -> set[int]:
        if not self._stratified:
            return set()
        return set(np.flatnonzero(self._units_by_class(rows) < needed).tolist())

    def _row_counts(self, rows: Rows) -> Rows:
        return np.bincount(self._classes[rows], minlength=len(self._labels))

    def _units_by_class(self, rows: Rows) -> Rows:
        if isinstance(self._divider, ByClass):
            return self._row_counts(rows)
        labels = len(self._labels)
        pairs, _ = np.unique(
            self._divider.units(rows) * labels + self._classes[rows], return_counts=True
        )
        return np.bincount(pairs % labels, minlength=labels)

    def _unknown_in_the_past(self, folds: Sequence[Fold]) -> set[int]:
        """Return the classes that a training part lacks; Invalid if it has one class only."""
        unknown: set[int] = set()
        for fold in folds:
            absent = np.flatnonzero(self._row_counts(fold.train) == 0).tolist()
            if len(self._labels) - len(absent) < 2:
                _refuse("time", "The earliest rows, which are trained on, have one class only.")
            unknown |= set(absent)
        return unknown


def numbered(values: Array) -> Rows:
    """Return a number from 0 for each of the present `values`, (rows,), equal for equal ones."""
    if values.dtype != object:
        return np.unique(values, return_inverse=True)[1]
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(value, len(numbers)) for value in values], np.int64)


def label_text(label: Any) -> str:
    """Return a class as a message shows it."""
    return repr(label) if isinstance(label, str) else f"{label:g}"


def _labelled(y: Array, rows: Rows, task: Task) -> tuple[Array, Rows]:
    """Return the labels, sorted, and class numbers for all of `y`; those outside `rows` are 0."""
    classes = np.zeros(len(y), dtype=np.int64)
    if task is Task.REGRESSION:
        return np.empty(0), classes
    labels, classes[rows] = np.unique(y[rows], return_inverse=True)
    if len(labels) < 2:
        raise Invalid.at("evaluation", "The rows that can be used have fewer than two classes.")
    return labels, classes


def _group_numbers(groups: Array, rows: Rows) -> Rows:
    found = np.zeros(len(groups), dtype=np.int64)
    found[rows] = numbered(groups[rows])
    return found


def _group_values(dataset: Dataset, name: str, target: str) -> Array:
    path = "evaluation.group"
    column = check_column(dataset, name, path)
    if name == target:
        raise Invalid.at(path, f"{name!r} is the target.")
    if column.type is ColumnType.IMAGE:
        raise Invalid.at(path, f"{name!r} is an image; a group is a value.")
    return dataset.values[name]


def _moments(dataset: Dataset, name: str, target: str) -> Array:
    """Return the values of a time column, (rows,) float64; texts are read as numbers or dates."""
    path = "evaluation.time"
    column = check_column(dataset, name, path)
    if name == target:
        raise Invalid.at(path, f"{name!r} is the target.")
    values = dataset.values[name]
    if column.type in (ColumnType.NUMBER, ColumnType.DATETIME):
        return values
    if column.type is not ColumnType.IGNORED:
        raise Invalid.at(path, f"{name!r} is of type {column.type}; time is a datetime or number.")
    for read in (float, parse_iso):
        try:
            return np.array([np.nan if text is None else read(text) for text in values])
        except ValueError:
            continue
    raise Invalid.at(
        path,
        f"{name!r} is ignored, and its texts are neither all numbers nor all ISO 8601 dates."
        " Give the column the type datetime or number.",
    )


def _refuse(field: str, message: str) -> NoReturn:
    raise Invalid.at(f"evaluation.{field}", message)
