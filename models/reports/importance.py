"""The importance of each hyperparameter for the scores of a job's trials."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from models.errors import Conflict
from models.jobs.model import Outcome
from models.space.hyperparameters import Value

Array = np.ndarray[Any, Any]

METHOD = "out-of-bag permutation importance of a random forest over the ranks of the scores"
MIN_TRIALS = 10
ENOUGH_TRIALS = 30  # below this the ranking comes with a warning
MAX_TRIALS = 1000  # that the forest learns from; of more, those at equal distances
POOR_R2 = 0.2  # a forest that explains less of the ranks comes with a warning
TREES = 200
REPEATS = 10  # shuffles of each hyperparameter
MAX_SHUFFLED_ROWS = 20_000  # over the repeats of one hyperparameter
EPOCHS = "epochs"  # stands beside the hyperparameters where a strategy varies it


@dataclass(frozen=True, slots=True)
class HyperparameterImportance:
    """The influence of one hyperparameter on the scores."""

    hyperparameter: str
    importance: float  # out-of-bag R² lost when its values are shuffled; about 0 if it is idle
    spread: float  # standard deviation over the shuffles
    share: float  # of the sum of all importances above 0


@dataclass(frozen=True, slots=True)
class Importance:
    """Every hyperparameter that differed between trials, the most important first."""

    trials: int  # that the forest learned from
    oob_r2: float | None  # how well the forest predicts ranks; None where all scores are equal
    warning: str | None  # why the ranking may mean little
    items: tuple[HyperparameterImportance, ...]
    method: str = METHOD


@dataclass(frozen=True)
class Column:
    """The values of one hyperparameter, or of one layer's part of it, in each trial."""

    name: str  # of the hyperparameter, with _1, _2, … for the layers
    hyperparameter: str
    values: tuple[Value | None, ...]  # None where it had no effect

    @cached_property
    def numbers(self) -> bool:
        """Whether the values are numbers, not choices; booleans are choices."""
        return not any(isinstance(value, bool | str) for value in self.values)

    @cached_property
    def distinct(self) -> list[Value]:
        """Every value once, in order."""
        return sorted({v for v in self.values if v is not None}, key=_order)


def importance_of(outcomes: Sequence[Outcome]) -> Importance:
    """Rank the hyperparameters of a job's trials that have a score.

    A random forest learns to predict a trial's rank from its values. The importance of a
    hyperparameter is the out-of-bag R² that is lost when its values are shuffled between trials
    (Breiman, Random Forests, Machine Learning 45, 2001, section 10). Ranks are used because a
    few trials that nearly diverged would otherwise be all that is explained. The columns of one
    hyperparameter, a layer or a choice each, are shuffled together. Shuffling also makes
    combinations that no trial had, so of two correlated hyperparameters neither may look
    important. Trials that reused a result of their job are left out: the forest would meet its
    own training trials again.

    Raises Conflict for fewer than MIN_TRIALS such trials and if their values are all alike.
    """
    scored = [item for item in outcomes if item.score is not None and not item.is_repeat]
    if len(scored) < MIN_TRIALS:
        raise Conflict(
            f"Importance needs {MIN_TRIALS} different trials that have a score;"
            f" there are {len(scored)}."
        )
    used = _spaced(scored)
    columns = varying_columns(used)
    if not columns:
        raise Conflict("The trials all had the same values: there is nothing to rank.")
    groups = _tables(columns)
    oob_r2, losses = _shuffled_losses(list(groups.values()), [item.score or 0.0 for item in used])
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


def varying_columns(outcomes: Sequence[Outcome]) -> list[Column]:
    """Return the columns that differ between trials, in the order of the trials' values.

    A hyperparameter that has a list of values in any trial has a column a layer; a single value
    then stands for every layer of its trial. The epochs asked for are a column if they differ.
    """
    names = dict.fromkeys(name for item in outcomes for name in item.values)
    columns = [column for name in names for column in _columns(name, outcomes)]
    columns.append(Column(EPOCHS, EPOCHS, tuple(item.epochs for item in outcomes)))
    return [column for column in columns if len(set(map(repr, column.values))) > 1]


def _columns(name: str, outcomes: Sequence[Outcome]) -> list[Column]:
    cells = [item.values.get(name) for item in outcomes]
    layers = max((len(cell) for cell in cells if isinstance(cell, list)), default=0)
    if layers == 0:
        return [Column(name, name, tuple(cells))]
    rows = [
        cell if isinstance(cell, list) else [cell] * _layers(item, layers)
        for item, cell in zip(outcomes, cells, strict=True)
    ]
    return [
        Column(
            f"{name}_{layer + 1}",
            name,
            tuple(row[layer] if layer < len(row) else None for row in rows),
        )
        for layer in range(layers)
    ]


def _layers(outcome: Outcome, otherwise: int) -> int:
    found = outcome.values.get("num_layers", otherwise)
    return found if isinstance(found, int) else otherwise


def _order(value: Value) -> tuple[str, float, str]:
    if isinstance(value, str):
        return ("text", 0.0, value)
    return ("boolean" if isinstance(value, bool) else "number", float(value), "")


def _tables(columns: Sequence[Column]) -> dict[str, Array]:
    """Return each hyperparameter's columns as floats (trials, width), NaN if it had no effect."""
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
    places = np.linspace(0, len(outcomes) - 1, min(len(outcomes), MAX_TRIALS)).astype(np.int64)
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


def _shuffled_losses(
    tables: Sequence[Array], scores: Sequence[float]
) -> tuple[float | None, Array]:
    """Return the out-of-bag R² of a forest that predicts the ranks of `scores`, and its losses.

    Each of `tables`, shape (trials, width), may hold NaN. The losses have shape (tables, repeats):
    the R² lost when the rows of that table alone are shuffled. If all scores are equal, the R² is
    None and the losses are 0. The same input gives the same answer.
    """
    # scikit-learn costs a second and 100 MB, which a process that only predicts never needs.
    from scipy.stats import rankdata
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.metrics import r2_score

    x = np.concatenate(tables, axis=1).astype(np.float32)
    # From 0 to 1; equal scores share the mean of their ranks.
    y = (rankdata(scores) - 1) / max(1, len(scores) - 1)
    repeats = max(1, min(REPEATS, MAX_SHUFFLED_ROWS // len(y)))
    if np.ptp(y) == 0:
        return None, np.zeros((len(tables), repeats))
    forest = RandomForestRegressor(TREES, random_state=0).fit(x, y)
    outside = _out_of_bag(forest, len(y))
    known = outside.any(axis=0)

    def r2_of(answers: Array) -> float:
        return float(r2_score(y[known], answers[known]))

    r2 = r2_of(_predict(forest, outside, x[None])[0])
    generator = np.random.default_rng(0)
    losses, first = [], 0
    for table in tables:
        width = table.shape[1]
        shuffled = np.repeat(x[None], repeats, axis=0)
        for copy in shuffled:
            order = generator.permutation(len(y))
            copy[:, first : first + width] = copy[order, first : first + width]
        answers = _predict(forest, outside, shuffled)
        losses.append([r2 - r2_of(answer) for answer in answers])
        first += width
    return r2, np.array(losses)


def _out_of_bag(forest: Any, rows: int) -> Array:
    """Return whether a tree did not learn from a row, shape (trees, rows)."""
    outside = np.ones((len(forest.estimators_), rows), dtype=bool)
    for tree, learned in enumerate(forest.estimators_samples_):
        outside[tree, learned] = False
    return outside


def _predict(forest: Any, outside: Array, x: Array) -> Array:
    """Return the mean of the trees that did not learn from a row; x is (repeats, rows, columns)."""
    repeats, rows, columns = x.shape
    total = np.zeros((repeats, rows))
    for tree, mask in zip(forest.estimators_, outside, strict=True):
        # The forest has checked the values already; every tree would do so again.
        answers = tree.predict(x[:, mask].reshape(-1, columns), check_input=False)
        total[:, mask] += answers.reshape(repeats, -1)
    mean: Array = total / np.maximum(1, outside.sum(axis=0))
    return mean
