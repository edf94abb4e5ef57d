"""Requests on built-in datasets, checked against the table of them.

The rows are loaded by a worker, since that needs heavy libraries.
"""

import difflib

from models.data.columns import ColumnType
from models.data.dataset import Dataset
from models.data.library.builtin import BUILTINS, Builtin
from models.data.library.builtin import PREFIX as BUILTIN_PREFIX
from models.data.preparation.checks import ColumnUse
from models.data.preparation.splitting import MIN_ROWS
from models.data.preparation.tasks import check_column, check_network, has_value
from models.errors import Invalid
from models.jobs.spec import JobSpec


def check_builtin(request: JobSpec) -> Builtin:
    """Check against the table of builtin datasets; a worker loads the rows themselves."""
    assert isinstance(request.dataset, str)
    name = request.dataset.removeprefix(BUILTIN_PREFIX)
    builtin = BUILTINS.get(name)
    if builtin is None:
        raise Invalid.at(
            "dataset", f"There is no builtin dataset {name!r}; there are {', '.join(BUILTINS)}."
        )
    if request.target != builtin.target:
        raise Invalid.at("target", f"The target of {request.dataset} is {builtin.target!r}.")
    _check_exclude(request, builtin)
    for name in request.features or ():
        if name not in builtin.columns or name == builtin.target:
            raise Invalid.at("features", f"{request.dataset} has no feature {name!r}.")
    if request.task not in (None, builtin.task):
        raise Invalid.at("task", f"{request.dataset} poses a {builtin.task} task.")
    if request.sample_weight is not None:
        raise Invalid.at(
            "sample_weight",
            f"{request.dataset} has no column of weights; upload its rows with one.",
        )
    for field in ("group", "time"):
        if getattr(request.evaluation, field) is not None:
            raise Invalid.at(
                f"evaluation.{field}",
                f"{request.dataset} has neither groups nor times; upload rows with such a column.",
            )
    check_network(request.network, builtin.is_image)
    if builtin.rows < MIN_ROWS and request.evaluation.method != "train":
        raise Invalid.at(
            "evaluation",
            f"{builtin.rows} rows are too few to hold some out; use method 'train'.",
        )
    return builtin


def check_other_for_builtin(builtin: Builtin, other: Dataset, path: str) -> None:
    """Raise Invalid at `path` unless `other` has the columns of a built-in dataset."""
    for name in (*builtin.columns, builtin.target):
        is_image = builtin.is_image and name != builtin.target
        wanted = ColumnType.IMAGE if is_image else ColumnType.NUMBER
        found = check_column(other, name, path).type
        if found is not wanted:
            raise Invalid.at(path, f"Column {name!r} is of type {found}, not {wanted}.")
    if not has_value(other.values[builtin.target]).any():
        raise Invalid.at(path, f"None of its rows has a value in {builtin.target!r}.")


def builtin_columns(builtin: Builtin, request: JobSpec) -> ColumnUse:
    """Say which columns of a built-in dataset a job uses."""
    excluded = request.exclude or ()
    asked = request.features or builtin.columns
    used = tuple(name for name in asked if name not in excluded)
    if not used:
        raise Invalid.at("exclude", f"No column is left to predict {builtin.target!r} from.")
    ignored = {
        name: "It is named in exclude." if name in excluded else "It is not named in features."
        for name in builtin.columns
        if name not in used
    }
    return ColumnUse(used, ignored)


def _check_exclude(request: JobSpec, builtin: Builtin) -> None:
    for position, name in enumerate(request.exclude or ()):
        path = f"exclude.{position}"
        if name == builtin.target:
            raise Invalid.at(path, f"{name!r} is the target.")
        if name in (request.features or ()):
            raise Invalid.at(path, f"{name!r} is also named in features.")
        if name not in builtin.columns:
            close = difflib.get_close_matches(name, builtin.columns, 3)
            hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
            raise Invalid.at(path, f"{request.dataset} has no feature {name!r}.{hint}")
