"""Conformal intervals of a regression, and label sets of classes.

Split conformal prediction (Papadopoulos et al., Inductive confidence machines for regression, ECML
2002), for classes with the score of Sadinle et al. (Least ambiguous set-valued classifiers with
bounded error levels, JASA 2019). The score of a row is the error of its answer: the absolute error,
or 1 minus the probability of the true class. If a new row is exchangeable with the n calibration
rows, its score is at most their ceil((n + 1) * level)-th smallest with a probability of at least
`level`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from models.errors import Invalid
from models.registry.documents import Document

Array = np.ndarray[Any, Any]

MAX_SCORES = 1000  # kept in a version
LEVELS = (0.8, 0.9, 0.95)  # whose coverage is measured
# The graph rounds otherwise than what gave the scores; a label must not drop out by that.
_MARGIN = 1e-6
_LARGEST = float(np.finfo(np.float64).max)


@dataclass(frozen=True, slots=True)
class Conformal:
    """The scores of calibration rows, from the smallest to the largest.

    Of many rows about MAX_SCORES are kept, at equal distances: the j-th of m is the score of rank
    ceil(rows * j / m).
    """

    rows: int
    scores: tuple[float, ...]
    lowest: float | None = None  # below which no prediction lies
    note: str | None = None  # why there are no rows

    @classmethod
    def from_json(cls, document: Document) -> "Conformal":
        """Read what `models.registry.documents.CalibrationSchema` accepts."""
        return cls(
            document["rows"],
            tuple(document["scores"]),
            document.get("lowest"),
            document.get("note"),
        )

    def fewest(self, level: float) -> int:
        """Return how many calibration rows a level needs."""
        share = _exact(level)
        return math.ceil(share / (1 - share))

    def allows(self, level: float) -> bool:
        """Return whether the rows are enough for a level."""
        return bool(self.rows) and self.rows >= self.fewest(level)

    def score_at(self, level: float) -> float:
        """Return the score that a new row stays below with a probability of at least `level`.

        Raises Invalid at `interval` if the rows are too few.
        """
        if not self.rows:
            raise Invalid.at(
                "interval", f"This version has no intervals. {self.note or ''}".strip()
            )
        if not self.allows(level):
            raise Invalid.at(
                "interval",
                f"{level:g} needs at least {self.fewest(level):,} calibration rows, level / (1 -"
                f" level); this version has {self.rows:,}.",
            )
        rank = math.ceil((self.rows + 1) * _exact(level))
        return self.scores[(rank - 1) * len(self.scores) // self.rows]

    def bounds(self, predictions: Array, level: float) -> tuple[Array, Array]:
        """Return the lower and upper bounds of predictions, (rows,) each; raises as `score_at`."""
        width = self.score_at(level)
        lowest = -_LARGEST if self.lowest is None else self.lowest
        with np.errstate(over="ignore"):
            low, high = (predictions.astype(np.float64) + width * sign for sign in (-1, 1))
        return np.clip(low, lowest, _LARGEST), np.clip(high, lowest, _LARGEST)

    def label_sets(self, probabilities: Array, level: float) -> Array:
        """Return which classes are in the set of each row, (rows, classes) bool.

        The most probable class is always in it. Raises as `score_at`.
        """
        given = np.asarray(probabilities, dtype=np.float64)
        inside: Array = 1 - given <= self.score_at(level)
        inside[np.arange(len(given)), given.argmax(axis=1)] = True
        return inside


def conformal_scores(truth: Array, answers: Array, is_regression: bool) -> Array:
    """Return the score of each row, (rows,), ascending.

    `answers` are predictions (rows, 1), or probabilities (rows, classes) beside class numbers as
    the truth.
    """
    if is_regression:
        errors = np.abs(truth - answers[:, 0])
        margin = _MARGIN * (float(truth.std()) + float(np.median(errors)))
    else:
        errors = 1 - answers[np.arange(len(truth)), truth]
        margin = _MARGIN
    ordered: Array = np.sort(errors) * (1 + _MARGIN) + margin
    return ordered


def kept_scores(ordered: Array) -> list[float]:
    """Return those of ascending scores that a version keeps, with seven digits."""
    rows = len(ordered)
    count = min(rows, MAX_SCORES)
    ranks = [-(-rows * place // count) for place in range(1, count + 1)]
    return [float(f"{ordered[rank - 1]:.7g}") for rank in ranks]


def coverage(
    conformal: Conformal, truth: Array, answers: Array, levels: Sequence[float] = LEVELS
) -> list[Document]:
    """Measure on other rows which share of the truth lies in intervals or label sets.

    `size` is the mean width in the target's unit, or the mean number of labels. Levels that the
    calibration rows do not allow are left out.
    """
    found: list[Document] = []
    for level in filter(conformal.allows, levels):
        if answers.shape[1] == 1:
            low, high = conformal.bounds(answers[:, 0], level)
            inside, sizes = (low <= truth) & (truth <= high), high - low
        else:
            sets = conformal.label_sets(answers, level)
            inside, sizes = sets[np.arange(len(truth)), truth], sets.sum(axis=1)
        share, size = float(inside.mean()), float(f"{sizes.mean():.7g}")
        found.append({"level": level, "coverage": share, "rows": len(truth), "size": size})
    return found


def _exact(level: float) -> Fraction:
    """Return a level as it is written: 0.9 is 9 / 10, not the nearest binary number."""
    return Fraction(repr(float(level)))
