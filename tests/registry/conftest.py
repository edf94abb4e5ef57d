import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from models.data.dataset import Dataset
from models.data.library.storage import write_dataset
from models.data.preparation.splitting import Evaluation
from models.data.preparation.tasks import infer_task
from models.data.preparation.weighting import ClassWeight
from models.registry.building import build_version
from models.registry.export import ExportResult, ExportSpec
from models.store.artifacts import Artifacts
from models.trials.run import run_trial
from models.trials.spec import DataRef, TrialSpec, resolve_objective
from tests.files import from_records

Tune = Callable[..., ExportSpec]


@pytest.fixture(scope="session")
def houses() -> Dataset:
    """Every column type but images, with missing cells, rare categories and large numbers."""
    return from_records(house_records())


FEATURES = ("area", "garden", "town", "sold", "survey")


@pytest.fixture(scope="session")
def priced(houses: Dataset, tune: Tune) -> tuple[ExportSpec, ExportResult]:
    """A regression on `houses`, exported once for the tests that only look at it."""
    spec = tune(houses, "price", FEATURES)
    return spec, build_version(spec)


def house_records() -> list[dict[str, Any]]:
    generator = np.random.default_rng(7)
    rows = []
    for number in range(120):
        area = float(generator.normal(90, 25))
        garden = bool(generator.random() < 0.4)
        town = ["Paris", "Rome", "Oslo"][number % 3]
        day = f"20{10 + number % 12}-0{1 + number % 9}-1{number % 10}T0{number % 8}:30:00Z"
        price = 3000 * area + 40_000 * garden + 9_000 * (number % 3) + generator.normal(0, 5000)
        rows.append(
            {
                "area": None if number % 11 == 0 else area,
                "garden": None if number % 17 == 0 else garden,
                "town": None if number % 13 == 0 else "Ulm" if number == 50 else town,
                "sold": None if number % 19 == 0 else day,
                "survey": 1_700_000_000 + number,
                "price": price,
                "class": "dear" if price > 300_000 else "cheap",
                "kind": [10, 20, 30][number % 3],
                "liked": number % 2 == 0,
            }
        )
    return rows


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    return Artifacts(str(tmp_path_factory.mktemp("artifacts")))


@pytest.fixture(scope="session")
def tune(artifacts: Artifacts) -> Tune:
    """Store a dataset, train one trial on it and say how to export it, each to its own version."""
    numbers = itertools.count(1)

    def run(
        dataset: Dataset,
        target: str,
        features: tuple[str, ...] | None = None,
        values: dict[str, Any] | None = None,
        refit: bool = False,
        executions: int = 1,
        class_weight: ClassWeight | None = None,
        sample_weight: str | None = None,
        **evaluation: Any,
    ) -> ExportSpec:
        version, identity = next(numbers), dataset.digest()
        write_dataset(dataset, artifacts, identity)
        task = infer_task(dataset, target)
        trial = TrialSpec(
            job="job_1",
            number=3,
            network="mlp",
            values={"num_layers": 1, "units": 8, "learning_rate": 0.01, **(values or {})},
            data=DataRef(
                artifacts_root=artifacts.root,
                dataset=identity,
                target=target,
                task=task,
                evaluation=Evaluation(**evaluation),
                seed=5,
                features=features,
                class_weight=class_weight,
                sample_weight=sample_weight,
            ),
            objective=resolve_objective(task),
            epochs=4,
            seed=11,
            executions=executions,
            weights=f"jobs/job_{version}/3",
        )
        result = run_trial(trial)
        assert result.failure is None, result.failure
        return ExportSpec("houses", version, trial, result, refit)

    return run
