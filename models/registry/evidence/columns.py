"""What a version's answers depend on: the importance of its columns, and partial dependence.

Both look at raw columns through the answers that are served, on held-out rows. The importance of
hyperparameters for a search is another thing; see `models.reports.importance`.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.data.columns import ColumnType
from models.data.dataset import Dataset
from models.data.datetimes import format_rfc3339
from models.data.preparation.parts import Rows
from models.data.preparation.splitting import numbered
from models.data.preparation.tasks import Task, has_value
from models.registry.documents import Document
from models.registry.evidence.intervals import (
    Interval,
    Resamples,
    Scoring,
    group_numbers,
    interval_of,
    rounded,
)
from models.trials.spec import Objective

Array = np.ndarray[Any, Any]

MAX_ROWS = 1000  # that are looked at
MIN_ROWS = 50  # that always are, however slow the answers
MAX_CELLS = 1_000_000  # rows × columns
MAX_COLUMNS = 50  # that are shuffled
REPEATS = 5  # shuffles of each column
MAX_SECONDS = 3.0  # of answers for the shuffles, as the first one lets expect
RESAMPLES = 300
SHOWN = 3  # columns with partial dependence
MAX_POINTS = 20  # of a number
MAX_VALUES = 10  # of a category, the most frequent
MAX_CLASSES = 10  # with a curve, the most frequent
_DEPENDENCE_ROWS = 100


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """Some held-out rows, which can be answered with a column changed."""

    dataset: Dataset  # of these rows and the features alone
    answers: Callable[[Dataset, Rows], Array]

    def answer(self, changed: str | None = None, blocks: Sequence[Array] = ()) -> list[Array]:
        """Return the answers with each of `blocks`, (rows,), in place of a column."""
        count = max(1, len(blocks))
        values = {
            name: np.concatenate(blocks if name == changed else [cells] * count)
            for name, cells in self.dataset.values.items()
        }
        table = Dataset(self.dataset.columns, values)
        return np.split(self.answers(table, np.arange(table.rows)), count)


def measure_columns(
    scoring: Scoring,
    objective: Objective,
    answers: Callable[[Dataset, Rows], Array],
    part: tuple[Dataset, Rows],
    features: Sequence[str],
    seed: int,
    group: str | None,
    target: str,
) -> Document:
    """Return `column_importance` and `partial_dependence` of a version.

    The importance of a column is what the objective loses when its cells are shuffled between rows
    (Breiman, *Random Forests*, Machine Learning 45, 2001; Fisher et al., *All models are wrong, but
    many are useful*, JMLR 20, 2019). The interval is over resamples of the rows, each scored as the
    mean of all shuffles. The rows are fewer where answers are slow.
    """
    dataset, rows = part
    if any(dataset.column(name).type is ColumnType.IMAGE for name in features):
        return nothing_of_columns(objective, "Images have no columns to shuffle.")
    generator = np.random.default_rng([seed, 4])
    most = min(MAX_ROWS, max(MIN_ROWS, MAX_CELLS // len(features)))
    rows = np.sort(generator.permutation(rows)[:most])
    started = time.perf_counter()
    base = answers(dataset, rows)
    seconds = time.perf_counter() - started
    count = min(len(features), MAX_COLUMNS)
    affordable = MAX_SECONDS / max(1e-9, seconds * REPEATS * count)
    if affordable < 1:
        kept = np.sort(
            generator.permutation(len(rows))[: max(MIN_ROWS, int(affordable * len(rows)))]
        )
        rows, base = rows[kept], base[kept]
    truth = scoring.truth(dataset.values[target][rows])
    score = scoring.metrics(truth, base)[objective.metric]
    if score is None:
        return nothing_of_columns(objective, f"{objective.metric} is undefined on these rows.")
    columns = tuple(dataset.column(name) for name in features)
    own = Dataset(columns, {name: dataset.values[name][rows] for name in features})
    table = _Table(own, answers)
    names = _most_related(own, features, base)
    groups = group_numbers(dataset, rows, group)
    draws = Resamples.draw(len(rows), seed, groups, RESAMPLES)
    before = scoring.resampled(truth, base, draws, [objective.metric])[objective.metric]
    items = []
    for name in names:
        cells = own.values[name]
        shuffled = table.answer(name, [generator.permutation(cells) for _ in range(REPEATS)])
        scores = [scoring.metrics(truth, each)[objective.metric] for each in shuffled]
        after = [
            scoring.resampled(truth, each, draws, [objective.metric])[objective.metric]
            for each in shuffled
        ]
        items.append(_item(name, objective, score, scores, before, after, draws.units))
    items = [item for item in items if item["importance"] is not None]
    items.sort(key=lambda item: -item["importance"])
    return {
        "column_importance": {
            "metric": objective.metric,
            "rows": len(rows),
            "repeats": REPEATS,
            "columns": len(features),
            "note": draws.note if len(names) == len(features) else _unmeasured(names, features),
            "items": items,
        },
        "partial_dependence": _dependence(scoring, table, items),
    }


def nothing_of_columns(objective: Objective, reason: str) -> Document:
    """Return the same without any column, and why."""
    known = {"metric": objective.metric, "rows": 0, "repeats": 0, "columns": 0}
    return {
        "column_importance": {**known, "note": reason, "items": []},
        "partial_dependence": [],
    }


def _item(
    name: str,
    objective: Objective,
    score: float,
    scores: Sequence[float | None],
    before: Array,
    after: Sequence[Array],
    units: int,
) -> Document:
    known = [each for each in scores if each is not None]
    lost = [objective.loss(each) - objective.loss(score) for each in known]
    sign = 1 if objective.is_minimized else -1
    interval: Interval | None = None
    if known and units > 1:
        interval = interval_of(sign * (np.mean(after, axis=0) - before))
    importance = rounded(float(np.mean(lost))) if lost else None
    return {"column": name, "importance": importance, "interval": interval}


def _unmeasured(names: Sequence[str], features: Sequence[str]) -> str:
    return (
        f"{len(names)} of {len(features)} columns were shuffled: those that go most with the"
        " answers."
    )


def _most_related(table: Dataset, features: Sequence[str], answers: Array) -> list[str]:
    """Return up to MAX_COLUMNS columns, by the share of the answers' variance that each explains.

    Numbers are cut at their deciles.
    """
    if len(features) <= MAX_COLUMNS:
        return list(features)
    explained = {name: _explained(table.values[name], answers) for name in features}
    return sorted(features, key=lambda name: -explained[name])[:MAX_COLUMNS]


def _explained(values: Array, answers: Array) -> float:
    present = has_value(values)
    codes = np.zeros(len(values), dtype=np.int64)
    if values.dtype == object:
        codes[present] = numbered(values[present]) + 1
    elif present.any():
        edges = np.unique(np.quantile(values[present], np.arange(1, 10) / 10))
        codes[present] = np.searchsorted(edges, values[present], side="right") + 1
    sizes = np.bincount(codes)
    with np.errstate(over="ignore"):
        around = answers - answers.mean(axis=0)
        between = sum(
            np.bincount(codes, column) ** 2 @ (1 / np.maximum(1, sizes)) for column in around.T
        )
        # Every group of a random division explains as much as one row.
        return float(between - np.count_nonzero(sizes) * (around**2).sum() / len(answers))


def _dependence(scoring: Scoring, table: _Table, items: Sequence[Document]) -> list[Document]:
    """Return the mean answer for values of the most important columns (Friedman, *Greedy function
    approximation*, Annals of Statistics 29, 2001)."""
    places = np.linspace(0, table.dataset.rows - 1, min(table.dataset.rows, _DEPENDENCE_ROWS))
    rows = places.astype(np.int64)
    fewer = {name: cells[rows] for name, cells in table.dataset.values.items()}
    few = _Table(Dataset(table.dataset.columns, fewer), table.answers)
    found: list[Document] = []
    for item in items:
        column = table.dataset.column(item["column"])
        grid = _grid(column.type, table.dataset.values[column.name])
        if len(grid) > 1 and len(found) < SHOWN:
            blocks = [_constant(value, len(rows)) for value in grid]
            means = np.array([each.mean(axis=0) for each in few.answer(column.name, blocks)])
            if np.isfinite(means).all():
                found.append(
                    {
                        "column": column.name,
                        "type": column.type.value,
                        "rows": len(rows),
                        "values": [_shown(column.type, value) for value in grid],
                        **_curves(scoring, means),
                    }
                )
    return found


def _grid(kind: ColumnType, values: Array) -> list[Any]:
    """Return the values of a column to look at; none for a text."""
    present = values[has_value(values)]
    if kind is ColumnType.TEXT or not len(present):
        return []
    if kind is ColumnType.CATEGORY:
        return [value for value, _ in Counter(sorted(present)).most_common(MAX_VALUES)]
    distinct: Array = np.unique(present)
    if len(distinct) > MAX_POINTS:
        # Values of the column, since halves of counts would mean nothing.
        shares = np.linspace(0.02, 0.98, MAX_POINTS)
        distinct = np.unique(np.quantile(present, shares, method="nearest"))
    return list(distinct.tolist())


def _constant(value: Any, rows: int) -> Array:
    if isinstance(value, str):
        cells = np.empty(rows, dtype=object)
        cells[:] = value
        return cells
    return np.full(rows, value)


def _curves(scoring: Scoring, means: Array) -> Document:
    """Return `predictions` by value, or `probabilities` by class name and value."""
    if scoring.task is Task.REGRESSION:
        return {"predictions": [rounded(value) for value in means[:, 0].tolist()]}
    classes = scoring.encoder.classes
    places = list(range(len(classes)))
    if len(classes) == 2:
        places = [1 if scoring.positive is None else scoring.positive]
    elif len(classes) > MAX_CLASSES:
        places = sorted(np.argsort(-means.mean(axis=0), kind="stable")[:MAX_CLASSES].tolist())
    curves = means[:, places].T.tolist()
    return {
        "classes": [classes[place] for place in places],
        "probabilities": [[rounded(value) for value in curve] for curve in curves],
    }


def _shown(kind: ColumnType, value: Any) -> Any:
    """Return a cell as a request would send it."""
    if kind is ColumnType.BOOLEAN:
        return bool(value)
    if kind is ColumnType.DATETIME:
        return format_rfc3339(value)
    return value
