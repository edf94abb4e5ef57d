"""Simpler models beside a version: a linear one and boosted trees, trained on the same rows.

Both are scikit-learn's. They see what the network sees, in the form that suits them, and the same
weights of rows. Their cost is bounded: of many rows they learn from a part, which is told.
"""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import KFold
from threadpoolctl import threadpool_limits

from models.data.columns import ColumnType
from models.data.dataset import Dataset
from models.data.datetimes import PARTS, expand
from models.data.encoding.preprocessing import MAX_CATEGORIES
from models.data.preparation.parts import Rows
from models.data.preparation.tasks import Task, has_value
from models.trials.data import LoadedData, PreparedFold, prepare_fold
from models.trials.metrics import log_loss, weighted_log_loss
from models.trials.spec import DataRef

Array = np.ndarray[Any, Any]
Part = tuple[Dataset, Rows]  # some rows of a dataset

MAX_ROWS = 50_000  # that trees learn from
MAX_TEXT_ROWS = 10_000  # that any baseline learns from, where a column is a text
MAX_CELLS = 20_000_000  # rows × columns × classes that trees learn from
MAX_TREE_CLASSES = 20  # each has 100 trees
MAX_LINEAR_ROWS = 20_000
_MIN_ROWS = 1000  # that are always learned from, however many columns there are
_RIDGE_WORK = 1e9  # rows × columns²
_LOGISTIC_WORK = 4e6  # rows × columns × classes
_STRENGTHS = np.logspace(-3, 4, 8)  # alphas of the ridge
_LOOSENESS = (0.01, 0.1, 1.0, 10.0, 100.0)  # values of C of the logistic regression
_FOLDS = 3  # that choose C
_MAX_VALUES = 254  # of a category that trees tell apart; the others count as one
_MAX_INPUTS = 50_000_000  # rows × inputs that are prepared, 200 MB
_INPUTS_AT_ONCE = 10_000_000  # of test rows

NO_IMAGES = "No baseline is trained on images."


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """The answers of a simpler model on the test rows, or why it has none."""

    model: str  # scikit-learn's name; for a linear one with the strength that was chosen
    answers: Array | None  # as those of a version; None if it has none
    rows: int  # that it learned from
    seconds: float
    note: str | None


@dataclass(frozen=True, slots=True, eq=False)
class _Lesson:
    """The rows that a model learns from, and the test rows, as its inputs."""

    x: Array
    y: Array
    weights: Array | None
    test: Callable[[Rows], Array]  # inputs of some of the test rows
    test_rows: Rows
    fold: PreparedFold

    def decoded(self, predict: Callable[[Array], Array]) -> Array:
        """Return predictions for the test rows in the target's own units, (rows, 1)."""
        return self.fold.encoder.decode(self._predicted(predict))[:, None]

    def shares(self, model: Any) -> Array:
        """Return probabilities for the test rows, of every class of the target."""
        return self._predicted(lambda x: _probabilities(model, x, len(self.fold.encoder.classes)))

    def _predicted(self, predict: Callable[[Array], Array]) -> Array:
        at_once = max(1, _INPUTS_AT_ONCE // max(1, self.fold.training.x_train.shape[1]))
        places = range(at_once, len(self.test_rows), at_once)
        pieces = np.split(self.test_rows, places)
        return np.concatenate([predict(self.test(rows)) for rows in pieces])


def train_baselines(
    data: LoadedData, ref: DataRef, learned: Part, test: Part
) -> tuple[Baseline, Baseline]:
    """Train a linear model and boosted trees on the rows `learned`, and answer for `test`.

    A model that fails, or that has no answer for such data, has a note.
    """
    is_regression = ref.task is Task.REGRESSION
    linear = "Ridge" if is_regression else "LogisticRegression"
    trees = "HistGradientBoosting" + ("Regressor" if is_regression else "Classifier")
    kinds = {data.dataset.column(name).type for name in data.features}
    if ColumnType.IMAGE in kinds:
        return _without(linear, NO_IMAGES), _without(trees, NO_IMAGES)
    dataset, rows = learned
    most = MAX_TEXT_ROWS if ColumnType.TEXT in kinds else MAX_ROWS
    most = min(most, max(_MIN_ROWS, _MAX_INPUTS // _width(data)))
    rows = _some(rows, most, ref.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a model has not converged, or a class is rare
        try:
            own = replace(data, dataset=dataset, validation_dataset=None)
            fold = prepare_fold(own, ref, rows)
        except Exception as error:  # whatever it is, the version is exported
            return _without(linear, _told(error)), _without(trees, _told(error))
        return (
            _attempt(linear, len(rows), lambda: _fit_linear(fold, test, ref.seed)),
            _attempt(trees, len(rows), lambda: _fit_trees(fold, data, (dataset, rows), test, ref)),
        )


def _width(data: LoadedData) -> int:
    """Return the number of inputs that the standard preprocessing makes, or a few more."""
    columns = [data.dataset.column(name) for name in data.features]
    return sum(
        min(MAX_CATEGORIES, each.distinct + 2) if each.type is ColumnType.CATEGORY else len(PARTS)
        for each in columns
    )


def _attempt(name: str, rows: int, fit: Callable[[], Baseline]) -> Baseline:
    started = time.perf_counter()
    try:
        # Few rows take a hundred times longer with threads that wait for each other.
        with threadpool_limits(1):
            found = fit()
    except Exception as error:
        return _without(name, _told(error))
    if found.answers is not None and not np.isfinite(found.answers).all():
        return _without(name, "Its answers are not finite.")
    return replace(found, seconds=time.perf_counter() - started)


def _without(name: str, note: str) -> Baseline:
    return Baseline(name, None, 0, 0.0, note)


def _told(error: Exception) -> str:
    return f"It could not be trained: {type(error).__name__}: {error}"


def _some(rows: Rows, most: int, seed: int) -> Rows:
    if len(rows) <= most:
        return rows
    return np.random.default_rng([seed, 3]).permutation(rows)[:most]


def _fit_linear(fold: PreparedFold, test: Part, seed: int) -> Baseline:
    """Fit a ridge or a logistic regression on the standard preprocessing."""
    data, classes = fold.training, len(fold.encoder.classes)
    columns = data.x_train.shape[1]
    is_regression = data.outputs.task is Task.REGRESSION
    most = _RIDGE_WORK / columns**2 if is_regression else _LOGISTIC_WORK / (columns * classes)
    most = min(MAX_LINEAR_ROWS, max(_MIN_ROWS, int(most)))
    kept = _some(np.arange(len(data.x_train)), most, seed)
    dataset, test_rows = test
    lesson = _Lesson(
        x=data.x_train[kept].astype(np.float64),
        y=data.y_train[kept],
        weights=None if data.weights_train is None else data.weights_train[kept],
        test=lambda rows: fold.preprocessor.transform(dataset, rows).astype(np.float64),
        test_rows=test_rows,
        fold=fold,
    )
    if is_regression:
        ridge = RidgeCV(_STRENGTHS).fit(lesson.x, lesson.y, lesson.weights)
        name = f"Ridge(alpha={ridge.alpha_:g})"
        return Baseline(name, lesson.decoded(ridge.predict), len(kept), 0.0, None)
    best = min(_LOOSENESS, key=_losses_by_strength(lesson, classes, seed).__getitem__)
    model = _logistic(best).fit(lesson.x, lesson.y, lesson.weights)
    name = f"LogisticRegression(C={best:g})"
    return Baseline(name, lesson.shares(model), len(kept), 0.0, None)


def _losses_by_strength(lesson: _Lesson, classes: int, seed: int) -> dict[float, float]:
    """Return the cross-validated log loss by C; only a class that a part lacks costs it."""
    losses = dict.fromkeys(_LOOSENESS, 0.0)
    parts = KFold(min(_FOLDS, len(lesson.y)), shuffle=True, random_state=seed)
    for train, rest in parts.split(lesson.x):
        weights = None if lesson.weights is None else lesson.weights[train]
        for c in _LOOSENESS:
            model = _logistic(c).fit(lesson.x[train], lesson.y[train], weights)
            shares = _probabilities(model, lesson.x[rest], classes)
            if lesson.weights is None:
                losses[c] += log_loss(lesson.y[rest], shares)
            else:
                losses[c] += weighted_log_loss(lesson.y[rest], shares, lesson.weights[rest])
    return losses


def _logistic(c: float) -> LogisticRegression:
    return LogisticRegression(C=c, max_iter=200)


def _fit_trees(
    fold: PreparedFold, data: LoadedData, learned: Part, test: Part, ref: DataRef
) -> Baseline:
    """Fit scikit-learn's histogram-based boosting with its defaults."""
    is_regression = ref.task is Task.REGRESSION
    name = "HistGradientBoosting" + ("Regressor" if is_regression else "Classifier")
    classes = len(fold.encoder.classes)
    if classes > MAX_TREE_CLASSES:
        return _without(name, f"{classes} classes would need {100 * classes:,} trees.")
    inputs = _TreeInputs.fit(fold, data.features, learned)
    per_row = len(inputs.is_category) * (classes if classes > 2 else 1)
    rows = np.arange(len(fold.training.y_train))
    kept = _some(rows, max(_MIN_ROWS, MAX_CELLS // max(1, per_row)), ref.seed)
    weights = fold.training.weights_train
    dataset, test_rows = test
    lesson = _Lesson(
        x=inputs.join(*learned, fold.training.x_train)[kept],
        y=fold.training.y_train[kept],
        weights=None if weights is None else weights[kept],
        test=lambda some: inputs.join(dataset, some, fold.preprocessor.transform(dataset, some)),
        test_rows=test_rows,
        fold=fold,
    )
    options = {"random_state": ref.seed % 2**32, "categorical_features": inputs.is_category}
    if is_regression:
        model = HistGradientBoostingRegressor(**options).fit(lesson.x, lesson.y, lesson.weights)
        return Baseline(name, lesson.decoded(model.predict), len(kept), 0.0, None)
    if np.unique(lesson.y, return_counts=True)[1].min() < 2:
        # It would hold rows out by class, which such a class does not allow.
        options["early_stopping"] = False
    model = HistGradientBoostingClassifier(**options).fit(lesson.x, lesson.y, lesson.weights)
    return Baseline(name, lesson.shares(model), len(kept), 0.0, None)


@dataclass(frozen=True, slots=True, eq=False)
class _TreeInputs:
    """Raw columns as trees take them: numbers, NaN where missing, and the codes of categories.

    What the preprocessing makes of texts, and of categories with more values than places, follows
    as numbers.
    """

    columns: tuple[str, ...]  # raw ones that have a value
    codes: dict[str, dict[str, int]]  # by category column
    added: int  # last outputs of the preprocessing that are taken
    is_category: Array  # bool (inputs,)

    @classmethod
    def fit(cls, fold: PreparedFold, features: tuple[str, ...], learned: Part) -> "_TreeInputs":
        dataset, rows = learned
        codes: dict[str, dict[str, int]] = {}
        columns, marks = [], []
        for name in features:
            kind, values = dataset.column(name).type, dataset.values[name][rows]
            if kind is ColumnType.TEXT or not has_value(values).any():
                continue
            columns.append(name)
            if kind is ColumnType.CATEGORY:
                frequent = pd.Series(values).value_counts().index
                codes[name] = {text: min(n, _MAX_VALUES) for n, text in enumerate(frequent)}
            marks += [name in codes] * (expand(values[:0]).shape[1] if _is_time(kind) else 1)
        added = sum(len(each.feature_names) for each in fold.preprocessor.encoded)
        added += sum(len(each.feature_names) for each in fold.preprocessor.texts)
        marks += [False] * added
        return cls(tuple(columns), codes, added, np.array(marks, dtype=bool))

    def join(self, dataset: Dataset, rows: Rows, outputs: Array) -> Array:
        """Return float64 (rows, inputs); `outputs` are those of the preprocessing."""
        blocks = [self._block(dataset, name, rows) for name in self.columns]
        blocks.append(outputs[:, outputs.shape[1] - self.added :].astype(np.float64))
        return np.concatenate(blocks, axis=1)

    def _block(self, dataset: Dataset, name: str, rows: Rows) -> Array:
        values = dataset.values[name][rows]
        if name in self.codes:
            codes = self.codes[name]
            found = [codes.get(value, np.nan) for value in values]
            return np.array(found, dtype=np.float64)[:, None]
        return expand(values) if _is_time(dataset.column(name).type) else values[:, None]


def _is_time(kind: ColumnType) -> bool:
    return kind is ColumnType.DATETIME


def _probabilities(model: Any, x: Array, classes: int) -> Array:
    """Return probabilities, (rows, classes): 0 for a class that the model has not met."""
    shares = np.zeros((len(x), classes))
    shares[:, model.classes_] = model.predict_proba(x)
    return shares
