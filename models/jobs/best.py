"""Which of a job's trials is the best: one rule, for trials in memory and for rows.

The best trial is the completed one with the best score, the earlier of equals. A stopped trial was
scored before its end: it is the best only where none completed.
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, UnaryExpression

from models.jobs.model import Outcome, Trial, TrialState
from models.store.tables import trials
from models.trials.objective import Objective

SCORED = (TrialState.COMPLETED, TrialState.STOPPED)


def is_better(objective: Objective, trial: Trial, other: Trial | None) -> bool:
    """Return whether a scored trial is better than another one, or than none."""
    if other is None:
        return True
    if trial.state != other.state and trial.score is not None and other.score is not None:
        return trial.state == TrialState.COMPLETED
    return objective.is_better(trial.score, other.score)


def ranked(objective: Objective, completed: Iterable[Outcome]) -> list[Outcome]:
    """Return completed trials, the best first."""
    return sorted(completed, key=lambda trial: objective.loss(trial.score))


def best_first(objective: Objective) -> list[UnaryExpression[Any]]:
    """Return what rows of trials are ordered by: score, the best first, then number."""
    score = trials.c.score
    order = score.asc() if objective.is_minimized else score.desc()
    return [order.nulls_last(), trials.c.number.asc()]


def comes_after(objective: Objective, last: Trial) -> ColumnElement[bool]:
    """Return the condition that a row comes after `last` in the order of `best_first`."""
    score = trials.c.score
    later = trials.c.number > last.number
    if last.score is None:
        return score.is_(None) & later
    worse = score > last.score if objective.is_minimized else score < last.score
    return worse | ((score == last.score) & later) | score.is_(None)
