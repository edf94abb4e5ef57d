"""What a library is asked for: one protocol, and the two adapters that have it."""

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Protocol

import numpy as np
import pandas as pd

_TARGET = "__target__"  # of AutoGluon's table, beside the names of any features

Array = np.ndarray[Any, Any]


class Model(Protocol):
    """What is trained on one part of a table and predicts rows of the other."""

    def fit(self, x: pd.DataFrame, y: Array, seconds: float) -> None:
        """Train on rows and their targets, or class numbers, for about `seconds` if it can."""

    def predict(self, x: pd.DataFrame) -> Array:
        """Return numbers (rows), or probabilities in the order of class numbers (rows, classes)."""

    def save(self, folder: Path) -> None:
        """Write what predictions need."""


@dataclass(slots=True)
class Columns:
    """Features as libraries take them: numbers and categories, under short names.

    A date becomes three numbers: days since 1970, month and weekday. A category that was not in the
    training rows is missing.
    """

    categories: dict[str, pd.CategoricalDtype] = field(default_factory=dict)

    def fit(self, x: pd.DataFrame) -> "Columns":
        """Learn the categories, the most frequent ones first."""
        for name in x:
            if not _is_number(x[name]) and not _is_date(x[name]):
                values = x[name].dropna().astype(str).value_counts().index.to_list()
                self.categories[name] = pd.CategoricalDtype(values)
        return self

    def transform(self, x: pd.DataFrame) -> pd.DataFrame:
        """Return numbers as float64 and categories as `category`."""
        found: list[pd.Series] = []
        for name in x:
            column = x[name]
            if name in self.categories:
                texts = column.astype(object).map(str, na_action="ignore")
                known = texts.where(texts.isin(self.categories[name].categories))
                found.append(pd.Series(pd.Categorical(known, dtype=self.categories[name])))
            elif _is_date(column):
                days = (column - pd.Timestamp(0)).dt.days
                found += [days, column.dt.month, column.dt.day_of_week]
            else:
                found.append(column)
        for place, column in enumerate(found):
            if _is_number(column):
                found[place] = column.astype(float)
        names = [f"c{number}" for number in range(len(found))]
        return pd.concat([column.reset_index(drop=True) for column in found], axis=1, keys=names)


@dataclass(slots=True)
class Estimator:
    """A model with the methods of scikit-learn."""

    estimator: Any
    has_classes: bool
    prepare: Callable[[pd.DataFrame], pd.DataFrame] = pd.DataFrame.copy
    # Of `fit`, from prepared rows and seconds.
    arguments: Callable[[pd.DataFrame, float], Mapping[str, Any]] = lambda x, seconds: {}
    columns: Columns = field(default_factory=Columns)

    def fit(self, x: pd.DataFrame, y: Array, seconds: float) -> None:
        """Train."""
        features = self.prepare(self.columns.fit(x).transform(x))
        self.estimator.fit(features, y, **self.arguments(features, seconds))

    def predict(self, x: pd.DataFrame) -> Array:
        """Return numbers, or probabilities in the order of the class numbers."""
        features = self.prepare(self.columns.transform(x))
        if self.has_classes:
            return np.asarray(self.estimator.predict_proba(features))
        return np.asarray(self.estimator.predict(features)).reshape(len(x))

    def save(self, folder: Path) -> None:
        """Write a pickle."""
        (folder / "model.pickle").write_bytes(pickle.dumps((self.columns, self.estimator)))


@dataclass(slots=True)
class AutoGluon:
    """AutoGluon's TabularPredictor with the preset `medium_quality`."""

    has_classes: bool
    threads: int
    predictor: Any = None

    def fit(self, x: pd.DataFrame, y: Array, seconds: float) -> None:
        """Train on the columns as they are."""
        from autogluon.tabular import TabularPredictor

        classes = "binary" if len(np.unique(y)) == 2 else "multiclass"
        self.predictor = TabularPredictor(
            label=_TARGET,
            problem_type=classes if self.has_classes else "regression",
            eval_metric="log_loss" if self.has_classes else "root_mean_squared_error",
            path=mkdtemp(),
            verbosity=0,
        )
        self.predictor.fit(
            x.assign(**{_TARGET: y}),
            time_limit=seconds,
            presets="medium_quality",
            num_cpus=self.threads,
            num_gpus=0,
        )

    def predict(self, x: pd.DataFrame) -> Array:
        """Return numbers, or probabilities in the order of the class numbers."""
        if not self.has_classes:
            return np.asarray(self.predictor.predict(x))
        shares = self.predictor.predict_proba(x, as_multiclass=True)
        return np.asarray(shares[sorted(shares)])

    def save(self, folder: Path) -> None:
        """Write what predictions need, as AutoGluon documents it for deployment."""
        self.predictor.clone_for_deployment(str(folder / "model"))


def _is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column)  # booleans too


def _is_date(column: pd.Series) -> bool:
    return pd.api.types.is_datetime64_any_dtype(column)
