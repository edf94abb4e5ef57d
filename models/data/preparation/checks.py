"""Checks of a job's data: warnings about its target, its features and its parts.

Each check looks at a sample of bounded size, so that a large table takes seconds.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.data.columns import ColumnType
from models.data.dataset import Dataset
from models.data.preparation.leaks import feature_scores
from models.data.preparation.splitting import Evaluation, Split, label_text, numbered
from models.data.preparation.tasks import Task, has_value
from models.data.warnings import DataWarning, WarningCode

LEAK_SCORE = 0.999  # R² or balanced accuracy of one feature alone, from which it is a leak
MAX_FEW_CLASSES = 50
MAX_LISTED = 50  # names in one message

_MIN_LEAK_ROWS = 50
_MAX_LEAK_ROWS = 5_000
_LEAK_CELLS = 500_000  # rows times features, from which fewer rows are looked at
_DAY = 86_400.0  # seconds
_MIN_SERIES = 20  # moments of a series
_IN_ORDER = 0.95  # share of steps in one direction
_REGULAR = 0.8  # share of steps of about the same length
_MIN_GROUPS = 10
_GROUPED = 0.5  # intraclass correlation of the target from which groups explain it
_MAX_CANDIDATES = 20  # columns whose groups are looked at
_MAX_HELD_OUT_ROWS = 5_000  # of each part, that copies are looked for of
_MAX_IMAGE_BYTES = 64 * 2**20
_MOST_TELLING = 2  # columns that all training rows are compared by first
_COPIES = 0.01  # share of the held-out rows from which a warning is due
_ROOM = 100  # times as many different rows must be possible as there are

_ID_NAME = re.compile(
    r"(?:^|[^a-z])(?:id|uuid|guid|patient|subject|participant|person|user|customer|client|member"
    r"|household|group|device|machine|sensor|session|batch|animal|plot|station)(?:[^a-z]|$)"
    r"|(?<=[a-z])I[dD]$"
)
_ID_TEXT = re.compile(r"[^\W\d]{1,12}[-_ #]?\d+|[0-9a-fA-F-]{8,}")

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class ColumnUse:
    """The columns that a job learns from, and why it does not use the others."""

    used: tuple[str, ...]
    ignored: Mapping[str, str]  # reason by name; the target is in neither


def column_use(
    dataset: Dataset, target: str, features: Sequence[str], roles: Mapping[str, str]
) -> ColumnUse:
    """Say which columns are used; `roles` gives the reason of those that serve something else."""
    ignored = {}
    for column in dataset.columns:
        if column.name == target or column.name in features:
            continue
        reason = roles.get(column.name)
        if reason is None and column.type is ColumnType.IGNORED:
            reason = column.reason or "Its type is ignored."
        ignored[column.name] = reason or "It is not named in features."
    return ColumnUse(tuple(features), ignored)


def job_warnings(
    dataset: Dataset,
    target: str,
    features: Sequence[str],
    task: Task,
    evaluation: Evaluation,
    parts: Split,
    others: Mapping[str, Dataset] | None = None,
) -> tuple[DataWarning, ...]:
    """Return what a user should know of a job's data before its scores are believed.

    `others` are the datasets to validate and test on, by their field of `evaluation`.
    """
    others = others or {}
    found = _missing(dataset, target, evaluation, others)
    found += _rare_classes(dataset, target, task, parts)
    found += _many_classes(dataset, target, task)
    found += _leaks(dataset, target, features, task, parts)
    is_random = evaluation.group is None and evaluation.time is None
    if is_random and (evaluation.parts > 1 or len(parts.test)):
        found += _series(dataset, target, parts)
        found += _entities(dataset, target, task, parts)
    found += _copies(dataset, target, features, parts, others)
    return tuple(found)


def _missing(
    dataset: Dataset, target: str, evaluation: Evaluation, others: Mapping[str, Dataset]
) -> list[DataWarning]:
    found = []
    present = has_value(dataset.values[target])
    for code, name in (
        (WarningCode.MISSING_TARGET, target),
        (WarningCode.MISSING_GROUP, evaluation.group),
        (WarningCode.MISSING_TIME, evaluation.time),
    ):
        if name is None:
            continue
        is_target = name == target
        lacking = ~has_value(dataset.values[name]) & (present | is_target)
        missing = int(lacking.sum())
        if missing:
            message = f"Left out of every part: {_rows(missing)} without a value in {name!r}."
            found.append(DataWarning(code, message, name, missing))
    for field, other in others.items():
        missing = int((~has_value(other.values[target])).sum())
        if missing:
            message = f"Left out of {field}: {_rows(missing)} without a value in {target!r}."
            found.append(DataWarning(WarningCode.MISSING_TARGET, message, target, missing))
    return found


def _rare_classes(dataset: Dataset, target: str, task: Task, parts: Split) -> list[DataWarning]:
    if task is Task.REGRESSION or not parts.rare:
        return []
    labels, counts = np.unique(dataset.values[target][parts.rows], return_counts=True)
    by_name = {label_text(label): int(count) for label, count in zip(labels, counts, strict=True)}
    named = [f"{name} ({by_name[name]})" for name in parts.rare]
    text = _listed(named)
    message = (
        f"Classes with too few rows, or with none early enough, to be in every part: {text}."
        " Their scores mean little; the rows that no part holds out are trained on."
    )
    rows = sum(by_name[name] for name in parts.rare)
    return [DataWarning(WarningCode.RARE_CLASS, message, target, rows)]


def _many_classes(dataset: Dataset, target: str, task: Task) -> list[DataWarning]:
    classes = dataset.column(target).distinct
    if task is Task.REGRESSION or classes <= MAX_FEW_CLASSES:
        return []
    message = f"The target {target!r} has {classes:,} classes."
    return [DataWarning(WarningCode.HIGH_CARDINALITY, message, target)]


def _leaks(
    dataset: Dataset, target: str, features: Sequence[str], task: Task, parts: Split
) -> list[DataWarning]:
    most = min(_MAX_LEAK_ROWS, max(_LEAK_CELLS // len(features), 500))
    rows = _sampled(parts.rows, most)
    if len(rows) < _MIN_LEAK_ROWS:
        return []
    metric = "R²" if task is Task.REGRESSION else "balanced accuracy"
    scores = feature_scores(dataset, target, features, task, rows)
    return [
        DataWarning(
            WarningCode.LEAK,
            f"{name!r} alone predicts {target!r} almost exactly ({metric} {score:.4f} on rows held"
            " out from it). If it is not known when a prediction is asked for, name it in"
            " `exclude`.",
            name,
        )
        for name, score in scores.items()
        if score >= LEAK_SCORE
    ]


def _series(dataset: Dataset, target: str, parts: Split) -> list[DataWarning]:
    found = []
    for column in dataset.columns:
        if column.type is ColumnType.DATETIME and column.name != target:
            moments = dataset.values[column.name][parts.rows]
            if np.nanmax(np.abs(moments), initial=0.0) < _DAY:
                continue  # times of day
            if _is_series(moments[~np.isnan(moments)]):
                message = (
                    f"The rows follow {column.name!r} in time. If the model will predict the"
                    f" future, give `evaluation.time: {column.name}`; a random split scores it on"
                    " moments between those it was trained on."
                )
                found.append(DataWarning(WarningCode.TIME_ORDER, message, column.name))
    return found


def _is_series(moments: Array) -> bool:
    """Return whether rows are in the order of time, or single ones at regular distances."""
    distinct = np.unique(moments)
    if len(distinct) < _MIN_SERIES:
        return False
    steps = np.diff(moments)
    if max(np.mean(steps >= 0), np.mean(steps <= 0)) >= _IN_ORDER:
        return True
    steps = np.diff(distinct)
    usual = np.median(steps)
    is_regular = np.mean(np.abs(steps - usual) <= usual / 2) >= _REGULAR
    return bool(is_regular) and len(distinct) >= 0.9 * len(moments)


def _entities(dataset: Dataset, target: str, task: Task, parts: Split) -> list[DataWarning]:
    found = []
    truth = _indicators(dataset.values[target][parts.rows], task)
    names = [
        column.name
        for column in dataset.columns
        if column.name != target
        and column.type in (ColumnType.CATEGORY, ColumnType.IGNORED, ColumnType.NUMBER)
        and _MIN_GROUPS <= column.distinct <= (dataset.rows - column.missing) / 2
        and _looks_like_id(column.name, dataset.values[column.name])
    ]
    for name in names[:_MAX_CANDIDATES]:
        values = dataset.values[name][parts.rows]
        present = has_value(values)
        if _intraclass_correlation(numbered(values[present]), truth[present]) >= _GROUPED:
            message = (
                f"{name!r} looks like the id of something that has several rows, and rows with the"
                f" same one have similar values of {target!r}. If the model will meet new ones,"
                f" give `evaluation.group: {name}`, so that none is in two parts."
            )
            found.append(DataWarning(WarningCode.ENTITY_ID, message, name))
    return found


def _looks_like_id(name: str, values: Array) -> bool:
    first = values[:1000]
    first = first[has_value(first)]
    if values.dtype != object and not np.all(first == np.floor(first)):
        return False
    if _ID_NAME.search(name.lower()) or _ID_NAME.search(name):
        return True
    if values.dtype != object or not len(first):
        return False
    return bool(np.mean([_ID_TEXT.fullmatch(text) is not None for text in first]) >= 0.9)


def _indicators(values: Array, task: Task) -> Array:
    """Return the target, (rows, 1), or one column of 0 and 1 for each of the common classes."""
    if task is Task.REGRESSION:
        return values[:, np.newaxis]
    labels, numbers, counts = np.unique(values, return_inverse=True, return_counts=True)
    common = np.argsort(-counts, kind="stable")[:10]
    marks: Array = (numbers[:, np.newaxis] == np.arange(len(labels))[common]).astype(np.float64)
    return marks


def _intraclass_correlation(groups: Array, truth: Array) -> float:
    """Return ICC(1) of `truth`, (rows, outputs), in `groups`, (rows,) numbers from 0.

    0 is what groups drawn by chance have, 1 what equal values in each group have. Several outputs
    are weighted by their variance. From Shrout and Fleiss, 1979, for groups of different sizes.
    """
    rows, sizes = len(groups), np.bincount(groups)
    if len(sizes) < 2 or len(sizes) >= rows:
        return 0.0
    unit = truth.std(axis=0).max()
    if not unit > 0 or not np.isfinite(unit):
        return 0.0
    centred = (truth - truth.mean(axis=0)) / unit
    sums = np.stack([np.bincount(groups, column) for column in centred.T], axis=1)
    between = float((sums**2 / sizes[:, np.newaxis]).sum())
    within = float((centred**2).sum()) - between
    mean_between, mean_within = between / (len(sizes) - 1), within / (rows - len(sizes))
    size = (rows - float((sizes**2).sum()) / rows) / (len(sizes) - 1)
    total = mean_between + (size - 1) * mean_within
    return (mean_between - mean_within) / total if total > 0 else 0.0


def _copies(
    dataset: Dataset,
    target: str,
    features: Sequence[str],
    parts: Split,
    others: Mapping[str, Dataset],
) -> list[DataWarning]:
    """Look for training rows among those that are held out, with numbers rounded."""
    if not _has_room(dataset, features):
        return []
    first = parts.folds[0]
    most = _most_rows(dataset, features)
    held_out = [(dataset, first.validation), (dataset, parts.test)]
    held_out += [
        (other, np.flatnonzero(has_value(other.values[target]))) for other in others.values()
    ]
    looked = [
        (each, _sampled(rows, min(most, _MAX_HELD_OUT_ROWS)))
        for each, rows in held_out
        if len(rows)
    ]
    if not looked:
        return []
    telling = _telling(dataset, features)
    training = first.train
    # A few columns rule out most training rows; the others are compared by all columns.
    for names in (telling, [*features, target]):
        if dataset.column(names[0]).type is ColumnType.IMAGE:
            training = _sampled(training, most)
        keys = _row_keys([(dataset, training), *looked], names)
        known, asked = keys[: len(training)], keys[len(training) :]
        training = training[np.isin(known, asked)]
    copies = int(np.isin(asked, known).sum())
    if copies < max(2, _COPIES * len(asked)):
        return []
    message = (
        f"{copies:,} of {len(asked):,} held-out rows have the values of a training row, numbers"
        " rounded to a thousandth of their deviation: their scores say little about new rows."
        " Remove the copies, or give `evaluation.group` a column that they share."
    )
    return [DataWarning(WarningCode.DUPLICATE_ROWS, message, None, copies)]


def _has_room(dataset: Dataset, features: Sequence[str]) -> bool:
    """Return whether rows are so rich that equal ones are no coincidence."""
    room = 1.0
    for name in features:
        column = dataset.column(name)
        if column.type is ColumnType.IMAGE:
            return True
        room *= max(1, min(column.distinct, 1000))
        if room > _ROOM * dataset.rows:
            return True
    return False


def _most_rows(dataset: Dataset, features: Sequence[str]) -> int:
    """Return how many rows may be looked at for the size of their images."""
    size = max(int(np.prod(dataset.column(name).shape)) for name in features)
    return max(100, _MAX_IMAGE_BYTES // (4 * size))


def _telling(dataset: Dataset, features: Sequence[str]) -> list[str]:
    """Return the features with the most different values, numbers before texts."""
    ranked = sorted(
        map(dataset.column, features),
        key=lambda column: (
            dataset.values[column.name].dtype == object,
            -column.distinct,
        ),
    )
    return [column.name for column in ranked[:_MOST_TELLING]]


def _row_keys(blocks: Sequence[tuple[Dataset, Array]], names: Sequence[str]) -> Array:
    """Return a 64-bit key for each row of each block, equal for rows that are equal."""
    keys = np.zeros(sum(len(rows) for _, rows in blocks), dtype=np.uint64)
    for name in names:
        cells = np.concatenate([dataset.values[name][rows] for dataset, rows in blocks])
        keys = (keys ^ _codes(cells)) * np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(29)
    return keys


def _codes(cells: Array) -> Array:
    """Return a uint64 for each cell, equal for cells that are equal; numbers are rounded."""
    if cells.ndim > 1:
        cells = np.array([image.tobytes() for image in cells], dtype=object)
    if cells.dtype == object:
        return numbered(cells).astype(np.uint64)
    present = has_value(cells)
    known = cells[present]
    with np.errstate(over="ignore", invalid="ignore"):
        spread = float(known.std()) if len(known) else 0.0
        if spread > 0 and np.isfinite(spread):
            cells = np.round((cells - known.mean()) / spread, 3)
    # Adding 0.0 makes -0.0 equal to 0.0; NaN has many bit patterns.
    codes: Array = np.where(present, cells + 0.0, np.nan).view(np.uint64)
    return codes


def _sampled(rows: Array, most: int) -> Array:
    """Return `rows`, or `most` of them at random, always the same."""
    if len(rows) <= most:
        return rows
    chosen: Array = np.random.default_rng(0).choice(rows, most, replace=False)
    return chosen


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MAX_LISTED
    return ", ".join(names[:MAX_LISTED]) + (f" and {more:,} more" if more > 0 else "")


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"
