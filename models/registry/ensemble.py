"""The members of an ensemble, chosen greedily among the best trials of a job.

The method is that of Caruana et al., Ensemble selection from libraries of models, ICML 2004: the
network is picked, with replacement, that makes the mean of all picks best on the rows that the
trials were validated on.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from models.errors import ArtifactError
from models.registry.documents import Document
from models.registry.export import Candidate
from models.store.artifacts import Artifacts
from models.trials.data import PreparedFold
from models.trials.run import load_outputs
from models.trials.scoring import run_metrics
from models.trials.spec import Objective

MIN_ROWS = 10  # to validate on, of each fold, below which there is no choice
MAX_ROWS = 10_000  # of each fold that the choice looks at

Array = np.ndarray[Any, Any]
Outputs = tuple[Array, ...]  # of one candidate, a (rows, units) for each fold


@dataclass(frozen=True, slots=True)
class Choice:
    """The picks, and the scores on the rows that they were chosen on.

    A pick is a place in the list of candidates; the first candidate is the job's best trial.
    """

    picks: tuple[int, ...]
    rows: int  # all folds together
    score: float | None  # of the mean of the picks; None where nothing was compared
    # The mean score on rows that the picks of a half were not chosen on, and that of the candidate
    # that was best on the same half.
    unseen_score: float | None = None
    unseen_single: float | None = None

    def document(self) -> Document:
        """Return the evidence of the choice, for JSON."""
        unseen = {"score": self.unseen_score, "single": self.unseen_single}
        return {"rows": self.rows, "score": self.score, "unseen": unseen}


def choose_members(
    candidates: Sequence[Candidate],
    folds: Sequence[PreparedFold],
    artifacts: Artifacts,
    picks: int,
) -> Choice:
    """Pick up to `picks` members; the first candidate alone unless more are better.

    Candidates whose outputs for the validation rows are not stored are left out. Whether more are
    better is asked on rows that they were not chosen on: each half of the rows judges what is
    chosen on the other.
    """
    alone = Choice((0,), 0, None)
    if picks == 1 or len(candidates) == 1:
        return alone
    stored = [_stored_outputs(candidate, folds, artifacts) for candidate in candidates]
    known = [place for place, outputs in enumerate(stored) if outputs is not None]
    fewest = min(len(fold.validation_truth) for fold in folds)
    if len(known) < 2 or stored[0] is None or fewest < MIN_ROWS:
        return alone
    objective = candidates[0].trial.objective
    judge = _Judge(objective, folds, [outputs for outputs in stored if outputs is not None])
    halves = judge.halves()
    several, single = (
        fmean(judge.loss(judge.pick(seen, count), rest) for seen, rest in (halves, halves[::-1]))
        for count in (picks, 1)
    )
    chosen = judge.pick(judge.rows, picks)
    if len(set(chosen)) == 1 or not several < single:
        chosen = [0]
    sign = 1.0 if objective.is_minimized else -1.0
    return Choice(
        picks=tuple(known[each] for each in chosen),
        rows=sum(map(len, judge.rows)),
        score=_finite(sign * judge.loss(chosen, judge.rows)),
        unseen_score=_finite(sign * several),
        unseen_single=_finite(sign * single),
    )


def _finite(figure: float) -> float | None:
    return figure if math.isfinite(figure) else None


class _Judge:
    """Measures means of candidates on some of the validation rows."""

    def __init__(
        self, objective: Objective, folds: Sequence[PreparedFold], outputs: Sequence[Outputs]
    ) -> None:
        self._objective, self._folds, self._outputs = objective, folds, outputs
        self.rows = [_some_rows(len(fold.validation_truth)) for fold in folds]

    def halves(self) -> tuple[list[Array], list[Array]]:
        """Return every other row of a random order, and the rest."""
        orders = [np.random.default_rng(fold).permutation(r) for fold, r in enumerate(self.rows)]
        return [np.sort(order[::2]) for order in orders], [np.sort(order[1::2]) for order in orders]

    def loss(self, picks: Sequence[int], rows: Sequence[Array]) -> float:
        """Return the objective's loss of a mean, averaged over the folds; inf if undefined."""
        return self._loss(self._sum(picks, rows), len(picks), rows)

    def pick(self, rows: Sequence[Array], count: int) -> list[int]:
        """Return `count` picks, best first; of equal ones the first candidate is taken."""
        picks: list[int] = []
        total: list[Array] = [np.zeros(1, np.float32)] * len(rows)
        while len(picks) < count:
            sums = [self._plus(total, place, rows) for place in range(len(self._outputs))]
            losses = [self._loss(each, len(picks) + 1, rows) for each in sums]
            best = int(np.argmin(losses))
            picks.append(best)
            total = sums[best]
        return picks

    def _plus(self, total: list[Array], place: int, rows: Sequence[Array]) -> list[Array]:
        outputs = self._outputs[place]
        return [s + each[r] for s, each, r in zip(total, outputs, rows, strict=True)]

    def _sum(self, picks: Sequence[int], rows: Sequence[Array]) -> list[Array]:
        total: list[Array] = [np.zeros(1, np.float32)] * len(rows)
        for place in picks:
            total = self._plus(total, place, rows)
        return total

    def _loss(self, total: list[Array], count: int, rows: Sequence[Array]) -> float:
        scores = [
            run_metrics(fold, each / count, fold.validation_truth[r])[self._objective.metric]
            for fold, each, r in zip(self._folds, total, rows, strict=True)
        ]
        known = [score for score in scores if score is not None]
        return self._objective.loss(fmean(known) if known else None)


def _stored_outputs(
    candidate: Candidate, folds: Sequence[PreparedFold], artifacts: Artifacts
) -> Outputs | None:
    """Return the mean over the executions of each fold; None unless every run is stored."""
    by_fold: dict[int, list[Array]] = {}
    for run in candidate.result.folds:
        try:
            outputs = load_outputs(artifacts, run.weights)
        except ArtifactError:
            return None
        if outputs is None or len(outputs) != len(folds[run.fold].validation_truth):
            return None
        by_fold.setdefault(run.fold, []).append(outputs)
    if len(by_fold) != len(folds):
        return None
    return tuple(np.mean(by_fold[number], axis=0) for number in range(len(folds)))


def _some_rows(count: int) -> Array:
    return np.linspace(0, count - 1, min(count, MAX_ROWS)).astype(np.int64)
