"""The libraries that Luthier is compared with.

Every one has the defaults of its library. The exceptions are preparations without which it cannot
take these tables, and the loss that is measured, where the library asks for it:

| contender | beside its defaults |
| --- | --- |
| linear, mlp | numbers scaled, missing ones the median and an indicator; categories one-hot |
| linear | at most 1,000 iterations, since 100 often do not converge |
| mlp | the target of a regression scaled, since the default learning rate is made for that |
| hist_gradient_boosting | of a category, values beyond the 250 most frequent are missing |
| catboost | a missing category is a category |
| realmlp, tabm | missing numbers the median and an indicator, since pytabkit refuses them |
| realmlp | for classes no label smoothing, and the epoch of the best cross-entropy: what pytabkit's
  README says for log-loss |
| autogluon | `eval_metric` is the loss that is measured |
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pandas as pd
from sklearn.compose import (
    TransformedTargetRegressor,
    make_column_selector,
    make_column_transformer,
)
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from benchmarks.quality.adapters import AutoGluon, Estimator, Model

_SEED = 0
_MAX_CATEGORIES = 250  # scikit-learn's trees take 255 values of a feature
_NUMBERS = make_column_selector(dtype_include="number")
_CATEGORIES = make_column_selector(dtype_include="category")


@dataclass(frozen=True, slots=True)
class Contender:
    """A library: how tables call it, and how a model of it is made."""

    title: str
    package: str  # that is named when it is missing
    make: Callable[[bool, int], Model]  # has_classes, threads
    is_neural: bool = False
    keeps_limit: bool = False  # it is told the seconds; others are ended after them

    @property
    def is_installed(self) -> bool:
        """Whether its package is there."""
        top = self.package.partition(".")[0]
        return find_spec(top) is not None and find_spec(self.package) is not None


def _linear(has_classes: bool, threads: int) -> Model:
    model = LogisticRegression(max_iter=1000) if has_classes else Ridge()
    return Estimator(_one_hot(model), has_classes)


def _hist_gradient_boosting(has_classes: bool, threads: int) -> Model:
    make = HistGradientBoostingClassifier if has_classes else HistGradientBoostingRegressor
    return Estimator(make(random_state=_SEED), has_classes, _with_few_categories)


def _lightgbm(has_classes: bool, threads: int) -> Model:
    import lightgbm

    make = lightgbm.LGBMClassifier if has_classes else lightgbm.LGBMRegressor
    return Estimator(make(n_jobs=threads, random_state=_SEED, verbosity=-1), has_classes)


def _catboost(has_classes: bool, threads: int) -> Model:
    import catboost

    make = catboost.CatBoostClassifier if has_classes else catboost.CatBoostRegressor
    model = make(thread_count=threads, random_seed=_SEED, verbose=False, allow_writing_files=False)
    return Estimator(model, has_classes, _with_texts, _name_texts)


def _mlp(has_classes: bool, threads: int) -> Model:
    if has_classes:
        return Estimator(_one_hot(MLPClassifier(random_state=_SEED)), has_classes)
    model = TransformedTargetRegressor(
        MLPRegressor(random_state=_SEED), transformer=StandardScaler()
    )
    return Estimator(_one_hot(model), has_classes)


def _realmlp(has_classes: bool, threads: int) -> Model:
    from pytabkit import RealMLP_TD_Classifier, RealMLP_TD_Regressor

    import_module("pytabkit.models.alg_interfaces.nn_interfaces")  # it would do so while it trains
    shared = {"device": "cpu", "random_state": _SEED, "n_threads": threads}
    if has_classes:
        model = RealMLP_TD_Classifier(val_metric_name="cross_entropy", use_ls=False, **shared)
    else:
        model = RealMLP_TD_Regressor(**shared)
    return Estimator(_filled(model), has_classes, arguments=_tell_seconds)


def _tabm(has_classes: bool, threads: int) -> Model:
    from pytabkit import TabM_D_Classifier, TabM_D_Regressor

    import_module("pytabkit.models.alg_interfaces.tabm_interface")
    make = TabM_D_Classifier if has_classes else TabM_D_Regressor
    return Estimator(
        _filled(make(device="cpu", random_state=_SEED, n_threads=threads)), has_classes
    )


def _one_hot(model: Any) -> Pipeline:
    """Return a pipeline that scales numbers and gives each value of a category a column."""
    categories = OneHotEncoder(handle_unknown="ignore")
    columns = make_column_transformer(
        (make_pipeline(_imputer(), StandardScaler()), _NUMBERS), (categories, _CATEGORIES)
    )
    return Pipeline([("columns", columns), ("model", model)])


def _filled(model: Any) -> Pipeline:
    """Return a pipeline that fills missing numbers and keeps categories as they are."""
    columns = make_column_transformer(
        (_imputer(), _NUMBERS), ("passthrough", _CATEGORIES), verbose_feature_names_out=False
    )
    return Pipeline([("columns", columns.set_output(transform="pandas")), ("model", model)])


def _imputer() -> SimpleImputer:
    return SimpleImputer(strategy="median", add_indicator=True)


def _tell_seconds(x: pd.DataFrame, seconds: float) -> Mapping[str, Any]:
    return {"model__time_to_fit_in_seconds": max(1, int(seconds))}


def _with_texts(x: pd.DataFrame) -> pd.DataFrame:
    """Return categories as texts, missing ones too."""
    names = x.select_dtypes("category").columns
    return x.assign(**{name: x[name].astype(object).fillna("missing") for name in names})


def _name_texts(x: pd.DataFrame, seconds: float) -> Mapping[str, Any]:
    return {"cat_features": list(x.select_dtypes(exclude="number"))}


def _with_few_categories(x: pd.DataFrame) -> pd.DataFrame:
    """Return categories with the most frequent values of the training rows."""
    columns = {name: x[name].cat for name in x.select_dtypes("category")}
    kept = {
        name: each.set_categories(each.categories[:_MAX_CATEGORIES])
        for name, each in columns.items()
    }
    return x.assign(**kept)


def _autogluon(has_classes: bool, threads: int) -> Model:
    import_module("autogluon.tabular")  # not while it trains
    return AutoGluon(has_classes, threads)


CONTENDERS: Mapping[str, Contender] = {
    "linear": Contender("linear", "sklearn", _linear),
    "hist_gradient_boosting": Contender("HistGradientBoosting", "sklearn", _hist_gradient_boosting),
    "lightgbm": Contender("LightGBM", "lightgbm", _lightgbm),
    "catboost": Contender("CatBoost", "catboost", _catboost),
    "mlp": Contender("scikit-learn MLP", "sklearn", _mlp, is_neural=True),
    "realmlp": Contender("RealMLP-TD", "pytabkit", _realmlp, is_neural=True, keeps_limit=True),
    "tabm": Contender("TabM", "pytabkit", _tabm, is_neural=True),
    "autogluon": Contender(
        "AutoGluon medium_quality", "autogluon.tabular", _autogluon, keeps_limit=True
    ),
}
