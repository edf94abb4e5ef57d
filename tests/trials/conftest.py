from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.data.columns import ColumnType, measure
from models.data.dataset import Dataset
from models.data.library.storage import write_dataset
from models.data.preparation.splitting import Evaluation
from models.data.preparation.tasks import Task
from models.space.drawing import Values
from models.store.artifacts import Artifacts
from models.trials.process import warm_up
from models.trials.spec import DataRef, Objective, TrialSpec

LINEAR: Values = {
    "num_layers": 0,
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "batch_size": 16,
}
HOLDOUT = Evaluation(validation_fraction=0.25, test_fraction=0.1)


@pytest.fixture(scope="session", autouse=True)
def _warm() -> None:
    warm_up()


@pytest.fixture
def stored(tmp_path) -> Callable[..., DataRef]:
    """Store columns of values by name, `y` the target, and answer what names them."""

    def store(columns, task=Task.REGRESSION, evaluation=HOLDOUT, types=None, **options) -> DataRef:
        types = types or {}
        kinds = {name: ColumnType(types.get(name, "number")) for name in columns}
        values = {name: np.asarray(cells) for name, cells in columns.items()}
        dataset = Dataset(tuple(measure(n, kinds[n], values[n]) for n in columns), values)
        write_dataset(dataset, Artifacts(str(tmp_path)), dataset.digest())
        return DataRef(str(tmp_path), dataset.digest(), "y", task, evaluation, 7, **options)

    return store


@pytest.fixture
def plane() -> Callable[..., dict[str, np.ndarray]]:
    """Rows on a noisy plane whose target is large: mean 5,000, deviation about 2,000."""

    def rows(count=60, seed=0):
        a, b, noise = np.random.default_rng(seed).normal(size=(3, count))
        return {"a": a, "b": b, "y": 5000 + 2000 * a - 500 * b + 100 * noise}

    return rows


@pytest.fixture
def line(stored, plane) -> DataRef:
    return stored(plane())


@pytest.fixture
def validated_on() -> Callable[[DataRef, DataRef], DataRef]:
    """Score `data` on the rows of `other`."""

    def name_other(data, other):
        evaluation = replace(data.evaluation, validation_dataset=other.dataset)
        return replace(data, evaluation=evaluation)

    return name_other


@pytest.fixture
def trial() -> Callable[..., TrialSpec]:
    """A trial of a linear model; `values` are changes to it."""

    def spec(data, values=None, **options):
        defaults: dict[str, Any] = {
            "job": "job_1",
            "number": 1,
            "network": "mlp",
            "objective": Objective("loss", "min"),
            "epochs": 3,
            "seed": 1,
            "weights": "jobs/job_1/trials/1",
        }
        return TrialSpec(data=data, values=LINEAR | (values or {}), **(defaults | options))

    return spec
