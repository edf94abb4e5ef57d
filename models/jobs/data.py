"""What the data of a request decide of its job: task, columns, split and warnings."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import numpy as np

from models.data.columns import ColumnType
from models.data.dataset import Dataset
from models.data.library.builtin import PREFIX as BUILTIN_PREFIX
from models.data.library.catalog import DatasetRecord
from models.data.library.library import DatasetLibrary
from models.data.preparation.checks import ColumnUse, column_use, job_warnings
from models.data.preparation.splitting import Evaluation, split_dataset
from models.data.preparation.tasks import (
    Task,
    check_network,
    check_other_dataset,
    class_labels,
    has_value,
    rarer_class,
    rarest_rows,
    resolve_features,
    resolve_task,
    suggest_task,
)
from models.data.preparation.weighting import (
    ClassWeight,
    check_sample_weight,
    check_weights_of,
    check_weights_of_folds,
    label_name,
    resolve_class_weight,
)
from models.data.warnings import DataWarning
from models.errors import Invalid
from models.jobs.builtin_requests import builtin_columns, check_builtin, check_other_for_builtin
from models.jobs.spec import JobSpec
from models.trials.trainers.base import NEEDS_COUNTS


@dataclass(frozen=True, slots=True)
class Data:
    """What the data of a request decides of its job."""

    dataset: str  # as in JobSpec
    task: Task
    class_weight: ClassWeight | None
    columns: ColumnUse
    evaluation: Evaluation
    rows: float  # about as many as one training learns from
    labels: Sequence[str] = ()  # of the classes, by `label_name`
    rarer: str | None = None  # the one of two classes with fewer rows
    warnings: tuple[DataWarning, ...] = ()
    types: frozenset[str] = frozenset({ColumnType.NUMBER})  # of the features

    @property
    def has_image(self) -> bool:
        """Whether an image is its only feature."""
        return ColumnType.IMAGE in self.types

    @property
    def notes(self) -> dict[str, Any]:
        """What a job shows of its data, as JSON."""
        return {
            "warnings": [asdict(warning) for warning in self.warnings],
            "columns": {"used": list(self.columns.used), "ignored": dict(self.columns.ignored)},
        }


def resolve_data(library: DatasetLibrary, request: JobSpec) -> Data:
    """Read the data of a request, check it against them, and return what they decide.

    Rows of the request itself are stored. Raises Invalid with the path of the field, and NotFound.
    """
    if isinstance(request.dataset, str) and request.dataset.startswith(BUILTIN_PREFIX):
        builtin = check_builtin(request)
        for path, identity in _other_datasets(request):
            check_other_for_builtin(builtin, library.open(identity), path)
        labels = [label_name(number) for number in range(builtin.classes)]
        weight = resolve_class_weight(request.class_weight, builtin.task, labels)
        evaluation = request.decided_evaluation(builtin.rows)
        return Data(
            request.dataset,
            builtin.task,
            weight,
            builtin_columns(builtin, request),
            evaluation,
            evaluation.training_rows(builtin.rows),
            labels,
            label_name(builtin.rarer),
            types=frozenset({ColumnType.IMAGE if builtin.is_image else ColumnType.NUMBER}),
        )
    if isinstance(request.dataset, str):
        record = library.catalog.get(request.dataset)
    else:
        try:
            record = library.add_inline(request.dataset, {})
        except Invalid as error:
            raise error.under("dataset") from None
    with library.opened(record) as dataset:
        return _resolve_stored(library, request, record, dataset)


def _resolve_stored(
    library: DatasetLibrary, request: JobSpec, record: DatasetRecord, dataset: Dataset
) -> Data:
    target = request.target
    task = resolve_task(dataset, target, request.task or "auto")
    labels, rarer, rarest = [], None, None
    if task is not Task.REGRESSION:
        labels = [label_name(label) for label in class_labels(dataset, target)]
        rarer, rarest = rarer_class(dataset, target), rarest_rows(dataset, target)
    present = int(has_value(dataset.values[target]).sum())
    evaluation = request.decided_evaluation(present, rarest)
    weight = resolve_class_weight(request.class_weight, task, labels)
    own = request.sample_weight
    if own is not None:
        check_sample_weight(dataset, own, target)
    features = resolve_features(
        dataset,
        target,
        request.features,
        own,
        group=evaluation.group,
        time=evaluation.time,
        exclude=request.exclude or (),
    )
    types = frozenset(dataset.column(name).type for name in features)
    check_network(request.network, ColumnType.IMAGE in types)
    _check_loss(request, dataset)
    parts = split_dataset(dataset, target, task, evaluation, request.seed)
    if own is not None:
        check_weights_of_folds(dataset.values[own], parts.folds)
    others = {}
    for path, other in _other_datasets(request):
        found = others[path.removeprefix("evaluation.")] = library.open(other)
        check_other_dataset(dataset, found, target, features, task, path)
        # Only a refit trains on these rows too.
        if own is not None and request.refit and path == "evaluation.validation_dataset":
            check_other_dataset(dataset, found, target, (own,), task, path)
            check_weights_of(found, own, target, path)
    warnings = job_warnings(dataset, target, features, task, evaluation, parts, others)
    if request.task is None and (guessed := suggest_task(dataset, target, task)):
        warnings = (guessed, *warnings)
    warnings += _told_of_dataset(record, {target, *features}, warnings)
    columns = column_use(dataset, target, features, _roles(request))
    named = None if rarer is None else label_name(rarer)
    rows = fmean(len(fold.train) for fold in parts.folds)
    return Data(record.id, task, weight, columns, evaluation, rows, labels, named, warnings, types)


def _told_of_dataset(
    record: DatasetRecord, names: set[str], told: Sequence[DataWarning]
) -> tuple[DataWarning, ...]:
    """Return the dataset's warnings about itself and the columns `names` that are not yet told."""
    known = {(warning.code, warning.column) for warning in told}
    return tuple(
        warning
        for warning in record.warnings
        if warning.column in {None, *names} and (warning.code, warning.column) not in known
    )


def _check_loss(request: JobSpec, dataset: Dataset) -> None:
    """Raise Invalid at `search_space.loss` if the target has negative numbers for a rate."""
    entry = request.space and request.space.parameters.get("loss")
    if entry and "poisson" in (entry.parameter.options() or ()):
        values = dataset.values[request.target]
        if dataset.column(request.target).type is ColumnType.NUMBER and np.nanmin(values) < 0:
            raise Invalid.at("search_space.loss", NEEDS_COUNTS)


def _other_datasets(request: JobSpec) -> list[tuple[str, str]]:
    """Return the datasets to validate and test on, by their path in the request."""
    named = {
        "evaluation.validation_dataset": request.evaluation.validation_dataset,
        "evaluation.test_dataset": request.evaluation.test_dataset,
    }
    return [(path, identity) for path, identity in named.items() if identity is not None]


def _roles(request: JobSpec) -> dict[str, str]:
    """Return why a column that serves something else is no feature, by its name."""
    evaluation = request.evaluation
    roles = {name: "It is named in exclude." for name in request.exclude or ()}
    for name, reason in (
        (request.sample_weight, "It is the sample_weight."),
        (evaluation.group, "It is evaluation.group."),
        (evaluation.time, "It is evaluation.time, and features does not name it."),
    ):
        if name is not None:
            roles[name] = reason
    return roles
