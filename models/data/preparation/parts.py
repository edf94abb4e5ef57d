"""Rows drawn for the parts of a split: evenly by class, as whole groups, or by time."""

import heapq
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from models.errors import Invalid

Array = np.ndarray[Any, Any]
Rows = np.ndarray[Any, np.dtype[np.int64]]
Division = tuple[Rows, Rows]  # rows to train on, and rows held out; neither is sorted


class Divider(Protocol):
    """A way to divide rows, given by their numbers in the dataset."""

    unit: str  # what is never divided, in the plural

    def hold_out(self, rows: Rows, count: int, generator: np.random.Generator) -> Division:
        """Hold out `count` of `rows`, or as near to it as whole units allow."""

    def folds(self, rows: Rows, number: int, generator: np.random.Generator) -> list[Division]:
        """Divide `rows` for each of `number` folds; what is held out of them is disjoint.

        Raises Invalid at `evaluation.folds` where there are too few units.
        """

    def units(self, rows: Rows) -> Rows:
        """Return a number for each of `rows`, equal for rows of the same unit."""


@dataclass(frozen=True, slots=True, eq=False)
class ByClass:
    """Single rows; each class gives its share, rounded up or down."""

    classes: Rows  # (rows of the dataset,): class numbers, all 0 for a regression
    unit = "rows"

    def hold_out(self, rows: Rows, count: int, generator: np.random.Generator) -> Division:
        """Hold out exactly `count` of `rows`."""
        ordered = self._ordered(rows, generator)
        mark = _evenly(len(rows), count, generator)
        return ordered[~mark], ordered[mark]

    def folds(self, rows: Rows, number: int, generator: np.random.Generator) -> list[Division]:
        """Deal the rows, ordered by class, to the folds in turn."""
        _check_folds(len(rows), number, self.unit)
        ordered = self._ordered(rows, generator)
        dealt = np.arange(len(rows)) % number
        return [(ordered[dealt != fold], ordered[dealt == fold]) for fold in range(number)]

    def units(self, rows: Rows) -> Rows:
        """Every row is a unit."""
        return rows

    def _ordered(self, rows: Rows, generator: np.random.Generator) -> Rows:
        shuffled = generator.permutation(rows)
        ordered: Rows = shuffled[np.argsort(self.classes[shuffled], kind="stable")]
        return ordered


@dataclass(frozen=True, slots=True, eq=False)
class ByGroup:
    """Whole groups; the most frequent class of a group counts as the group's class."""

    groups: Rows  # (rows of the dataset,): group numbers
    classes: Rows  # (rows of the dataset,): class numbers, all 0 for a regression
    unit = "groups"

    def hold_out(self, rows: Rows, count: int, generator: np.random.Generator) -> Division:
        """Hold out groups of about `count` rows together, at least one and never all.

        Groups are walked through by class. One is taken when the rows that are due make up half
        of it, so that the share of each class is off by about half a group.
        """
        groups, sizes, classes = self._described(rows)
        if len(groups) < 2:
            _refuse("group", f"{len(groups)} groups cannot be divided into two parts.")
        order = generator.permutation(len(groups))
        order = order[np.argsort(classes[order], kind="stable")]
        share, due = count / len(rows), 0.0
        taken = []
        for place in order.tolist():
            size = int(sizes[place])
            due += share * size
            if due >= size / 2:
                taken.append(place)
                due -= size
        if not taken:
            taken = [int(np.argmin(np.abs(sizes - count)))]
        mark = np.isin(self.groups[rows], groups[taken[: len(groups) - 1]])
        return rows[~mark], rows[mark]

    def folds(self, rows: Rows, number: int, generator: np.random.Generator) -> list[Division]:
        """Give each group, by class and the largest first, to the fold with the fewest rows."""
        groups, sizes, classes = self._described(rows)
        _check_folds(len(groups), number, self.unit)
        order = generator.permutation(len(groups))
        order = order[np.lexsort((-sizes[order], classes[order]))]
        dealt = np.empty(len(groups), dtype=np.int64)
        filled = [(0, fold) for fold in range(number)]
        for place in order.tolist():
            count, fold = filled[0]
            dealt[place] = fold
            heapq.heapreplace(filled, (count + int(sizes[place]), fold))
        fold_of = dealt[np.searchsorted(groups, self.groups[rows])]
        return [(rows[fold_of != fold], rows[fold_of == fold]) for fold in range(number)]

    def units(self, rows: Rows) -> Rows:
        """Return the group numbers."""
        numbers: Rows = self.groups[rows]
        return numbers

    def _described(self, rows: Rows) -> tuple[Rows, Rows, Rows]:
        """Return the groups of `rows`, ascending, with their sizes and most frequent classes."""
        labels = int(self.classes.max(initial=0)) + 1
        pairs, counts = np.unique(
            self.groups[rows] * labels + self.classes[rows], return_counts=True
        )
        groups, classes = pairs // labels, pairs % labels
        ranked = np.lexsort((counts, groups))
        last = np.append(np.flatnonzero(np.diff(groups[ranked])), len(ranked) - 1)
        sizes = np.add.reduceat(counts, np.append(0, last[:-1] + 1))
        return groups[ranked][last], sizes, classes[ranked][last]


@dataclass(frozen=True, slots=True, eq=False)
class ByTime:
    """The latest rows are held out; rows of one moment stay together."""

    moments: Array  # (rows of the dataset,): float64, later is larger
    unit = "moments"

    def hold_out(self, rows: Rows, count: int, generator: np.random.Generator) -> Division:
        """Hold out the latest rows, as near to `count` as whole moments allow."""
        ordered, starts = self._ordered(rows)
        if len(starts) < 2:
            _refuse("time", "Every row has the same moment; nothing is later.")
        cut = starts[1:][np.argmin(np.abs(starts[1:] - (len(rows) - count)))]
        return ordered[:cut], ordered[cut:]

    def folds(self, rows: Rows, number: int, generator: np.random.Generator) -> list[Division]:
        """Expand the training window: fold i trains on the first i of number + 1 equal spans.

        The span that follows is held out, as in scikit-learn's TimeSeriesSplit.
        """
        ordered, starts = self._ordered(rows)
        _check_folds(len(starts) - 1, number, self.unit)
        wanted = len(rows) * np.arange(1, number + 1) / (number + 1)
        steps = np.arange(number)
        places = np.abs(starts[1:, np.newaxis] - wanted).argmin(axis=0) + 1
        # Every span holds a moment at least.
        places = np.maximum.accumulate(places - steps) + steps
        places = np.minimum(places, len(starts) - number + steps)
        cuts = [*starts[places].tolist(), len(rows)]
        return [(ordered[: cuts[n]], ordered[cuts[n] : cuts[n + 1]]) for n in range(number)]

    def units(self, rows: Rows) -> Rows:
        """Return the numbers of the moments, ascending with time."""
        _, numbers = np.unique(self.moments[rows], return_inverse=True)
        return numbers

    def _ordered(self, rows: Rows) -> tuple[Rows, Rows]:
        """Return `rows` by time, and the places at which the moments begin."""
        ordered = rows[np.argsort(self.moments[rows], kind="stable")]
        later = np.flatnonzero(np.diff(self.moments[ordered]) > 0) + 1
        return ordered, np.append(0, later)


def _evenly(length: int, count: int, generator: np.random.Generator) -> Array:
    """Mark exactly `count` of `length` places at equal distances (systematic sampling)."""
    steps = np.arange(length + 1) * count + generator.integers(length)
    return np.diff(steps // length) > 0


def _check_folds(units: int, number: int, unit: str) -> None:
    if number > units:
        if unit == "moments":
            _refuse("folds", f"{units + 1} moments cannot make {number} folds and a first past.")
        _refuse("folds", f"{units} {unit} cannot make {number} folds.")


def _refuse(field: str, message: str) -> None:
    raise Invalid.at(f"evaluation.{field}", message)
