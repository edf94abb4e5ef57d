"""The networks and the rows of a workload, which every contestant gets alike.

Both are what the service works out from the same request: so its trials are those of the others,
and the others are spared the preprocessing.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tuning.task import Fold, save
from benchmarks.tuning.workloads import SEED, Array, Workload
from models.data.dataset import Dataset
from models.data.formats.reading import from_arrays
from models.data.preparation.splitting import Evaluation, split
from models.data.preparation.tasks import Task, resolve_features
from models.oracles.create import create_oracle
from models.oracles.strategy import Random
from models.space.schema import load_space
from models.trials.data import LoadedData, PreparedFold, prepare_fold
from models.trials.spec import DataRef

TARGET = "y"  # what `from_arrays` and the service call the target of arrays


def draw_networks(workload: Workload) -> tuple[tuple[int, ...], ...]:
    """The widths of every layer of the networks that a random search tries, in its order."""
    space = load_space(workload.space, "mlp")
    oracle = create_oracle(Random(), space, "min", SEED, workload.trials, workload.epochs)
    return tuple(layers(proposal.values) for proposal in oracle.ask(workload.trials))


def layers(values: Mapping[str, Any]) -> tuple[int, ...]:
    """The widths of every layer in the values of a trial."""
    units = values["units"]
    return tuple(units) if isinstance(units, list) else (units,) * values["num_layers"]


def prepare_rows(workload: Workload, path: Path) -> None:
    """Write the folds of a workload to `path`."""
    x, y = workload.table()
    dataset = from_arrays(x, y)
    evaluation = Evaluation(**workload.evaluation)
    parts = split(dataset.values[TARGET], Task(workload.kind), evaluation, SEED)
    data = LoadedData(TARGET, dataset, None, resolve_features(dataset, TARGET), parts)
    ref = _ref(workload.kind, evaluation)
    save(path, [_plain(prepare_fold(data, ref, f.train, f.validation)) for f in parts.folds])


def prepare_given(
    kind: str, training: tuple[Array, Array], validation: tuple[Array, Array], path: Path
) -> None:
    """Write one fold of rows to train on and rows to validate on to `path`."""
    dataset, other = from_arrays(*training), from_arrays(*validation)
    data = LoadedData(TARGET, dataset, other, resolve_features(dataset, TARGET), _whole(dataset))
    save(path, [_plain(prepare_fold(data, _ref(kind, Evaluation()), np.arange(dataset.rows)))])


def _whole(dataset: Dataset) -> Any:
    evaluation = Evaluation("train", test_fraction=0.0)
    return split(dataset.values[TARGET], Task.REGRESSION, evaluation, SEED)


def _ref(kind: str, evaluation: Evaluation) -> DataRef:
    return DataRef("", "", TARGET, Task(kind), evaluation, SEED)


def _plain(fold: PreparedFold) -> Fold:
    data = fold.training
    return Fold(
        x_train=data.x_train.reshape(len(data.x_train), -1),
        y_train=data.y_train,
        x_validation=data.x_validation.reshape(len(data.x_validation), -1),
        y_validation=data.y_validation,
        classes=data.outputs.units,
        target_scale=data.target_scale,
    )
