"""The task of a target column, and checks of the features and networks for it."""

import difflib
from collections.abc import Sequence
from enum import StrEnum

import numpy as np

from models.data.columns import Column, ColumnType
from models.data.dataset import Dataset
from models.errors import Invalid
from models.space.hyperparameters import IMAGE_NETWORKS

MAX_CLASSES = 1000
MAX_INFERRED_CLASSES = 20  # distinct whole numbers that still look like class labels
ROWS_PER_INFERRED_CLASS = 5


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


def class_labels(dataset: Dataset, target: str) -> tuple[ClassLabel, ...]:
    """Return the different values of a target of classes, sorted; false goes before true."""
    labels = np.unique(dataset.values[target])
    column = dataset.column(target)
    match column.type:
        case ColumnType.BOOLEAN:
            words = column.spelling.words or (False, True)
            return tuple(words[int(label)] for label in labels)
        case ColumnType.NUMBER:
            return tuple(int(label) for label in labels)
    return tuple(str(label) for label in labels)


def resolve_features(
    dataset: Dataset,
    target: str,
    asked: Sequence[str] | None = None,
    sample_weight: str | None = None,
) -> tuple[str, ...]:
    """Return the columns to predict `target` from: `asked`, or all others that are not ignored.

    The column `sample_weight` is never one. An image can only be used alone. Raises Invalid at
    `features`.
    """
    if asked is None:
        names: tuple[str, ...] = tuple(
            column.name
            for column in dataset.columns
            if column.name not in (target, sample_weight) and column.type is not ColumnType.IGNORED
        )
    else:
        names = tuple(asked)
        for position, name in enumerate(names):
            _check_feature(dataset, target, name, f"features.{position}")
            if name == sample_weight:
                raise Invalid.at(f"features.{position}", f"{name!r} is the sample_weight.")
        if len(set(names)) != len(names):
            raise Invalid.at("features", "A column is named twice.")
    if not names:
        raise Invalid.at("features", f"No column is left to predict {target!r} from.")
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


def check_validation_dataset(
    dataset: Dataset, validation: Dataset, target: str, features: Sequence[str]
) -> None:
    """Raise Invalid at `evaluation.validation_dataset` unless it fits the dataset.

    It must have the target and all features, of equal types; other columns do not matter.
    """
    path = "evaluation.validation_dataset"
    for name in (target, *features):
        wanted, found = dataset.column(name), check_column(validation, name, path)
        if (wanted.type, wanted.shape) != (found.type, found.shape):
            raise Invalid.at(
                path,
                f"Column {name!r} is of type {found.type} {found.shape or ''} there, but"
                f" {wanted.type} {wanted.shape or ''} in the dataset.",
            )
    if validation.column(target).missing:
        raise Invalid.at(path, f"Some of its rows have no value in {target!r}.")


def check_column(dataset: Dataset, name: str, path: str) -> Column:
    """Return the column called `name`; raise Invalid at `path`, with close matches, for none."""
    if name in dataset.names:
        return dataset.column(name)
    close = difflib.get_close_matches(name, dataset.names, 3)
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    raise Invalid.at(path, f"There is no column {name!r}.{hint}")


def _check_feature(dataset: Dataset, target: str, name: str, path: str) -> None:
    column = check_column(dataset, name, path)
    if name == target:
        raise Invalid.at(path, f"{name!r} is the target.")
    if column.type is ColumnType.IGNORED:
        why = f": {column.reason}" if column.reason else ""
        raise Invalid.at(path, f"{name!r} is ignored{why}. Give the column a type to use it.")


def _target_column(dataset: Dataset, target: str) -> Column:
    column = check_column(dataset, target, "target")
    if column.type not in (ColumnType.NUMBER, ColumnType.CATEGORY, ColumnType.BOOLEAN):
        raise Invalid.at(
            "target",
            f"{target!r} is of type {column.type}; a target is a number, category or boolean.",
        )
    if column.missing:
        rows = "1 row has" if column.missing == 1 else f"{column.missing} rows have"
        raise Invalid.at("target", f"{rows} no value in {target!r}; remove such rows first.")
    if column.distinct < 2:
        raise Invalid.at("target", f"{target!r} has the same value in every row.")
    return column


def _check_class_count(column: Column, path: str) -> None:
    if column.distinct > MAX_CLASSES:
        raise Invalid.at(
            path, f"{column.name!r} has {column.distinct} classes; {MAX_CLASSES} is the most."
        )


def _all_whole(dataset: Dataset, column: Column) -> bool:
    values = dataset.values[column.name]
    return bool(np.all(values == np.floor(values)))


def _looks_like_classes(dataset: Dataset, column: Column) -> bool:
    few = column.distinct == 2 or (
        column.distinct <= MAX_INFERRED_CLASSES
        and column.distinct * ROWS_PER_INFERRED_CLASS <= dataset.rows
    )
    return few and _all_whole(dataset, column)
