"""The task of a target column, and checks of the features and networks for it."""

import difflib
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import numpy as np

from models.data.columns import Column, ColumnType
from models.data.dataset import Dataset
from models.data.warnings import DataWarning, WarningCode
from models.errors import Invalid
from models.space.hyperparameters import IMAGE_NETWORKS

MAX_CLASSES = 1000
MAX_INFERRED_CLASSES = 20  # distinct whole numbers that still look like class labels
ROWS_PER_INFERRED_CLASS = 5
MAX_COUNTED = 100  # distinct whole numbers of a regression that may be labels all the same


ClassLabel = str | bool | int


class Task(StrEnum):
    """The kind of prediction."""

    REGRESSION = "regression"
    BINARY = "binary"
    MULTICLASS = "multiclass"


def infer_task(dataset: Dataset, target: str) -> Task:
    """Infer the task from the column `target`.

    Category and boolean targets are classes. A number target is classes if its values are whole
    and either two or at most 20 with five rows each on average; otherwise it is a regression. Two
    classes are `binary`, more are `multiclass`. Raises Invalid at `target` for a column that
    cannot be a target.
    """
    column = _target_column(dataset, target)
    if column.type is ColumnType.NUMBER and not _looks_like_classes(dataset, column):
        return Task.REGRESSION
    _check_class_count(column, "target")
    return Task.BINARY if column.distinct == 2 else Task.MULTICLASS


def resolve_task(dataset: Dataset, target: str, asked: str = "auto") -> Task:
    """Return the inferred task for `auto`, otherwise `asked` if the target allows it.

    `multiclass` is allowed for a target with two classes. Raises Invalid at `target` or `task`.
    """
    if asked == "auto":
        return infer_task(dataset, target)
    if asked not in list(Task):
        raise Invalid.at("task", f"{asked!r} is not one of auto, {', '.join(Task)}.")
    task = Task(asked)
    column = _target_column(dataset, target)
    if task is Task.REGRESSION:
        if column.type is not ColumnType.NUMBER:
            raise Invalid.at(
                "task", f"A regression needs a number target; {target!r} is a {column.type}."
            )
        return task
    if column.type is ColumnType.NUMBER and not _all_whole(dataset, column):
        raise Invalid.at("task", f"{target!r} holds fractions, which cannot be class labels.")
    _check_class_count(column, "task")
    if task is Task.BINARY and column.distinct != 2:
        raise Invalid.at(
            "task", f"A binary task needs two classes; {target!r} has {column.distinct}."
        )
    return task


def suggest_task(dataset: Dataset, target: str, task: Task) -> DataWarning | None:
    """Return a warning that names the other task, where an inferred one may be wrong.

    Whole numbers are either labels, such as codes, or counts and grades, which have an order.
    """
    column = dataset.column(target)
    if column.type is not ColumnType.NUMBER or not _all_whole(dataset, column):
        return None
    values = dataset.values[target]
    low, high = np.nanmin(values), np.nanmax(values)
    found = f"{target!r} holds {column.distinct} whole numbers from {low:g} to {high:g}"
    if task is Task.MULTICLASS:
        message = (
            f"{found}, which are taken as classes. If they are counts or grades,"
            " give `task: regression`."
        )
    elif task is Task.REGRESSION and column.distinct <= MAX_COUNTED:
        message = (
            f"{found}, which are taken as numbers. If they are labels, give `task: multiclass`."
        )
    else:
        return None
    return DataWarning(WarningCode.TASK_GUESSED, message, target)


def has_value(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return for each cell of a column's values, (rows, …), whether it is there: (rows,) bool."""
    if values.dtype == object:
        return np.fromiter((value is not None for value in values), bool, len(values))
    if values.ndim > 1:
        return np.ones(len(values), dtype=bool)
    present: np.ndarray[Any, Any] = ~np.isnan(values)
    return present


def class_labels(dataset: Dataset, target: str) -> tuple[ClassLabel, ...]:
    """Return the different values of a target of classes, sorted; missing ones are none.

    Of a boolean, false goes before true.
    """
    values = dataset.values[target]
    labels = np.unique(values[has_value(values)])
    column = dataset.column(target)
    match column.type:
        case ColumnType.BOOLEAN:
            words = column.spelling.words or (False, True)
            return tuple(words[int(label)] for label in labels)
        case ColumnType.NUMBER:
            return tuple(int(label) for label in labels)
    return tuple(str(label) for label in labels)


def rarer_class(dataset: Dataset, target: str) -> ClassLabel | None:
    """Return which of two classes has fewer rows, the second of equals; None for more classes."""
    labels = class_labels(dataset, target)
    if len(labels) != 2:
        return None
    values = dataset.values[target]
    _, (first, second) = np.unique(values[has_value(values)], return_counts=True)
    return labels[0] if first < second else labels[1]


def rarest_rows(dataset: Dataset, target: str) -> int:
    """Return the number of rows of the rarest class of a target that has a value."""
    values = dataset.values[target]
    return int(np.unique(values[has_value(values)], return_counts=True)[1].min())


def resolve_features(
    dataset: Dataset,
    target: str,
    asked: Sequence[str] | None = None,
    sample_weight: str | None = None,
    *,
    group: str | None = None,
    time: str | None = None,
    exclude: Sequence[str] = (),
) -> tuple[str, ...]:
    """Return the columns to predict `target` from: `asked`, or all others that are not ignored.

    The columns `sample_weight` and `group` are never among them, `time` only if it is asked for.
    An image can only be used alone. Raises Invalid at `features` and `exclude`.
    """
    apart = {target: "the target", sample_weight: "the sample_weight", group: "evaluation.group"}
    for position, name in enumerate(exclude):
        _check_excluded(dataset, target, name, asked, f"exclude.{position}")
    if asked is None:
        names: tuple[str, ...] = tuple(
            column.name
            for column in dataset.columns
            if column.type is not ColumnType.IGNORED and column.name not in (*apart, time, *exclude)
        )
    else:
        names = tuple(asked)
        for position, name in enumerate(names):
            _check_feature(dataset, name, apart.get(name), f"features.{position}")
        if len(set(names)) != len(names):
            raise Invalid.at("features", "A column is named twice.")
    if not names:
        path = "exclude" if exclude and asked is None else "features"
        raise Invalid.at(path, f"No column is left to predict {target!r} from.")
    images = [name for name in names if dataset.column(name).type is ColumnType.IMAGE]
    if images and len(names) > 1:
        raise Invalid.at(
            "features",
            f"The image {images[0]!r} can only be used alone; name it as the only feature.",
        )
    return names


def check_network(network: str, has_image: bool) -> None:
    """Raise Invalid at `network` if it needs an image and no feature is one."""
    if network in IMAGE_NETWORKS and not has_image:
        raise Invalid.at(
            "network",
            f"{network!r} learns from images, and no feature is one. Use 'mlp' for tables; images"
            " are uploaded as NPZ arrays of 3 or 4 axes.",
        )


def check_other_dataset(
    dataset: Dataset, other: Dataset, target: str, features: Sequence[str], task: Task, path: str
) -> None:
    """Raise Invalid at `path` unless the rows of `other` can be validated or tested on.

    It must have the target and all features, of equal types, and no class that `dataset` lacks;
    other columns do not matter. Rows without a target are left out, but there must be others.
    """
    for name in (target, *features):
        wanted, found = dataset.column(name), check_column(other, name, path)
        if (wanted.type, wanted.shape) != (found.type, found.shape):
            raise Invalid.at(
                path,
                f"Column {name!r} is of type {found.type} {found.shape or ''} there, but"
                f" {wanted.type} {wanted.shape or ''} in the dataset.",
            )
    if not has_value(other.values[target]).any():
        raise Invalid.at(path, f"None of its rows has a value in {target!r}.")
    if task is not Task.REGRESSION:
        known = set(class_labels(dataset, target))
        new = [label for label in class_labels(other, target) if label not in known]
        if new:
            listed = ", ".join(map(repr, new[:10])) + ", …" * (len(new) > 10)
            raise Invalid.at(path, f"It has classes that the dataset lacks: {listed}.")


def check_column(dataset: Dataset, name: str, path: str) -> Column:
    """Return the column called `name`; raise Invalid at `path`, with close matches, for none."""
    if name in dataset.names:
        return dataset.column(name)
    close = difflib.get_close_matches(name, dataset.names, 3)
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    raise Invalid.at(path, f"There is no column {name!r}.{hint}")


def _check_feature(dataset: Dataset, name: str, role: str | None, path: str) -> None:
    column = check_column(dataset, name, path)
    if role is not None:
        raise Invalid.at(path, f"{name!r} is {role}.")
    if column.type is ColumnType.IGNORED:
        why = f": {column.reason}" if column.reason else ""
        raise Invalid.at(path, f"{name!r} is ignored{why}. Give the column a type to use it.")


def _check_excluded(
    dataset: Dataset, target: str, name: str, asked: Sequence[str] | None, path: str
) -> None:
    check_column(dataset, name, path)
    if name == target:
        raise Invalid.at(path, f"{name!r} is the target.")
    if asked is not None and name in asked:
        raise Invalid.at(path, f"{name!r} is also named in features.")


def _target_column(dataset: Dataset, target: str) -> Column:
    column = check_column(dataset, target, "target")
    if column.type not in (ColumnType.NUMBER, ColumnType.CATEGORY, ColumnType.BOOLEAN):
        raise Invalid.at(
            "target",
            f"{target!r} is of type {column.type}; a target is a number, category or boolean.",
        )
    if column.distinct < 2:
        raise Invalid.at("target", f"{target!r} has the same value in every row that has one.")
    return column


def _check_class_count(column: Column, path: str) -> None:
    if column.distinct > MAX_CLASSES:
        raise Invalid.at(
            path, f"{column.name!r} has {column.distinct} classes; {MAX_CLASSES} is the most."
        )


def _all_whole(dataset: Dataset, column: Column) -> bool:
    values = dataset.values[column.name]
    return bool(np.all((values == np.floor(values)) | np.isnan(values)))


def _looks_like_classes(dataset: Dataset, column: Column) -> bool:
    few = column.distinct == 2 or (
        column.distinct <= MAX_INFERRED_CLASSES
        and column.distinct * ROWS_PER_INFERRED_CLASS <= dataset.rows - column.missing
    )
    # Money, percentages and other amounts have an order.
    return few and not column.spelling.unit and _all_whole(dataset, column)
