"""Which hyperparameters decided how well a job's trials did."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.errors import Conflict
from models.jobs.model import Outcome
from models.reports.varying import Column, varying_columns

Array = np.ndarray[Any, Any]

FEWEST_TRIALS = 10
ENOUGH_TRIALS = 30  # below this the ranking comes with a warning
MOST_TRIALS = 1000  # that the forest learns from; of more, those at equal distances
POOR_R2 = 0.2  # a forest that explains less of the ranks comes with a warning


@dataclass(frozen=True, slots=True)
class HyperparameterImportance:
    """How much one hyperparameter mattered."""

    hyperparameter: str
    importance: float  # out-of-bag R² lost when its values are shuffled; about 0 if it is idle
    spread: float  # standard deviation over the shuffles
    share: float  # of the sum of all importances above 0


@dataclass(frozen=True, slots=True)
class Importance:
    """Every hyperparameter that differed between trials, the most important first."""

    trials: int  # that the forest learned from
    oob_r2: float | None  # how well the forest foresees ranks; None where all scores are equal
    warning: str | None  # why the ranking may mean little
    items: tuple[HyperparameterImportance, ...]


def importance_of(outcomes: Sequence[Outcome]) -> Importance:
    """Rank the hyperparameters of a job's trials that have a score.

    A random forest learns to foresee a trial's rank from its values; a hyperparameter is as
    important as the out-of-bag R² that is lost when its values are shuffled between trials
    (Breiman, Random Forests, Machine Learning 45, 2001, section 10). Ranks are used because a
    few trials that nearly diverged would otherwise be all that is explained. The columns of one
    hyperparameter, a layer or a choice each, are shuffled together. Shuffling also makes
    combinations that no trial had, so of hyperparameters that went together neither may look
    important. Repeats that took over another trial's result are left out: the forest would meet
    its own training trials again.

    Raises Conflict for fewer than 10 such trials and where their values are all alike.
    """
    scored = [item for item in outcomes if item.score is not None and not item.is_repeat]
    if len(scored) < FEWEST_TRIALS:
        raise Conflict(
            f"Importance needs {FEWEST_TRIALS} different trials that have a score;"
            f" there are {len(scored)}."
        )
    used = _spaced(scored)
    columns = varying_columns(used)
    if not columns:
        raise Conflict("The trials all had the same values: there is nothing to rank.")
    # scikit-learn costs a second and 100 MB, which a process that only predicts never needs.
    from models.reports.forest import shuffled_losses

    groups = _tables(columns)
    oob_r2, losses = shuffled_losses(list(groups.values()), [item.score or 0.0 for item in used])
    means = losses.mean(axis=1)
    total = float(np.clip(means, 0, None).sum())
    items = [
        HyperparameterImportance(
            hyperparameter=name,
            importance=float(mean),
            spread=float(each.std()),
            share=max(0.0, float(mean)) / total if total > 0 else 0.0,
        )
        for name, mean, each in zip(groups, means, losses, strict=True)
    ]
    items.sort(key=lambda item: -item.importance)
    return Importance(len(used), oob_r2, _warning(len(used), oob_r2), tuple(items))


def _tables(columns: Sequence[Column]) -> dict[str, Array]:
    """By hyperparameter, its columns as floats (trials, width); NaN where it had no effect."""
    groups: dict[str, list[Array]] = {}
    for column in columns:
        groups.setdefault(column.hyperparameter, []).append(_table(column))
    return {name: np.concatenate(tables, axis=1) for name, tables in groups.items()}


def _table(column: Column) -> Array:
    if column.numbers:
        cells = [np.nan if value is None else float(value) for value in column.values]
        return np.array(cells)[:, None]
    choices: list[Any] = list(column.distinct)
    if None in column.values:
        choices.append(None)
    return np.array([[float(value == choice) for choice in choices] for value in column.values])


def _spaced(outcomes: list[Outcome]) -> list[Outcome]:
    places = np.linspace(0, len(outcomes) - 1, min(len(outcomes), MOST_TRIALS)).astype(np.int64)
    return [outcomes[place] for place in places]


def _warning(trials: int, oob_r2: float | None) -> str | None:
    texts = []
    if trials < ENOUGH_TRIALS:
        texts.append(f"Only {trials} trials: the ranking may change with a few more.")
    if oob_r2 is None:
        texts.append("All scores are equal: nothing mattered.")
    elif oob_r2 < POOR_R2:
        texts.append(
            f"The forest explains little of what made trials good (out-of-bag R² {oob_r2:.2f}):"
            " the ranking means little."
        )
    return " ".join(texts) or None
