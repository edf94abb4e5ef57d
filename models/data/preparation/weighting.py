"""Weights of rows in the training loss: by class, and by a column."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from models.data.columns import ColumnType
from models.data.dataset import Dataset
from models.data.preparation.splitting import Fold
from models.data.preparation.tasks import ClassLabel, Task, check_column, has_value
from models.errors import Invalid

# "balanced" by the training rows of each fold, or a factor by `label_name` for each class, sorted.
ClassWeight = Literal["balanced"] | tuple[tuple[str, float], ...]

# The bounds of both kinds of weights, so that their products stay in the range of float32.
MIN_WEIGHT, MAX_WEIGHT = 1e-12, 1e12

_MAX_LISTED = 10


def label_name(label: ClassLabel) -> str:
    """Return a class as a key of JSON: `true`, `3`, or the text itself."""
    return str(label).lower() if isinstance(label, bool) else str(label)


def listed_labels(labels: Sequence[str]) -> str:
    """Return the first labels as text for a message."""
    return ", ".join(map(repr, labels[:_MAX_LISTED])) + ", …" * (len(labels) > _MAX_LISTED)


def resolve_class_weight(
    asked: ClassWeight | None, task: Task, labels: Sequence[str]
) -> ClassWeight | None:
    """Complete the weights `asked` with 1 for every other class of `labels`.

    Raises Invalid at `class_weight` for a regression and at `class_weight.<label>` for an unknown
    label.
    """
    if asked is None:
        return None
    if task is Task.REGRESSION:
        raise Invalid.at("class_weight", "A regression has no classes; use sample_weight.")
    if asked == "balanced":
        return asked
    given = dict(asked)
    message = f"There is no such class; the classes are {listed_labels(labels)}."
    unknown = {f"class_weight.{label}": [message] for label in given if label not in labels}
    if unknown:
        raise Invalid(unknown)
    return class_weight_from_json({label: given.get(label, 1.0) for label in labels})


def class_weight_to_json(weight: ClassWeight | None) -> str | dict[str, float] | None:
    """Return the form of a request; `class_weight_from_json` reads it back."""
    return dict(weight) if isinstance(weight, tuple) else weight


def class_weight_from_json(document: str | Mapping[str, float] | None) -> ClassWeight | None:
    """Read the form of a request."""
    if document is None:
        return None
    return tuple(sorted(document.items())) if isinstance(document, Mapping) else "balanced"


def check_sample_weight(dataset: Dataset, name: str, target: str) -> None:
    """Raise Invalid at `sample_weight` unless every row with a target has a weight in `name`."""
    path = "sample_weight"
    column = check_column(dataset, name, path)
    if name == target:
        raise Invalid.at(path, f"{name!r} is the target.")
    if column.type is not ColumnType.NUMBER:
        raise Invalid.at(path, f"{name!r} is of type {column.type}; weights are numbers.")
    check_weights_of(dataset, name, target, path)


def check_weights_of(dataset: Dataset, name: str, target: str, path: str) -> None:
    """Raise Invalid at `path` for the first row that has a target and no valid weight."""
    check_weights(np.where(has_value(dataset.values[target]), dataset.values[name], 1.0), path)


def check_weights(weights: np.ndarray[Any, Any], path: str) -> None:
    """Raise Invalid at `path` for the first row, counted from 1, without a valid weight."""
    fits = (weights == 0) | ((weights >= MIN_WEIGHT) & (weights <= MAX_WEIGHT))
    if fits.all():
        return
    row = int(np.argmin(fits))
    value = weights[row]
    if np.isnan(value):
        raise Invalid.at(path, f"Row {row + 1} has no weight.")
    rule = (
        "is 0 or more" if value < 0 else f"is 0 or lies between {MIN_WEIGHT:g} and {MAX_WEIGHT:g}"
    )
    raise Invalid.at(path, f"Row {row + 1} holds {value:g}; a weight {rule}.")


def check_weights_of_folds(weights: np.ndarray[Any, Any], folds: Sequence[Fold]) -> None:
    """Raise Invalid at `sample_weight` if all training rows of a fold have the weight 0."""
    for number, fold in enumerate(folds, start=1):
        if not weights[fold.train].any():
            where = f" of fold {number}" if len(folds) > 1 else ""
            raise Invalid.at("sample_weight", f"Every training row{where} has the weight 0.")
