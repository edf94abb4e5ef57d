import subprocess
import sys
from dataclasses import replace

import pytest

from models.data.columns import load_columns
from models.data.library.catalog import DatasetRecord
from models.data.library.profile import ColumnProfile
from models.data.preparation.splitting import Evaluation
from models.jobs.rough_estimate import first_trial_seconds
from models.oracles.strategy import Hyperband, Manual, Random
from models.space.schema import load_space
from models.store.tables import now

SPACE = {
    "num_layers": {"type": "int", "min": 2, "max": 5},
    "units": {"type": "int", "min": 64, "max": 512, "step": 32, "per_layer": True},
}


def table(rows=500, **columns):
    """A dataset of ten numbers, a target and what else is given."""
    described = {f"x{n}": {"type": "number", "distinct": rows} for n in range(10)}
    described |= {"target": {"type": "category", "distinct": 3}} | columns
    listed = [{"name": name, "missing": 0, **column} for name, column in described.items()]
    profiles = load_columns(ColumnProfile, listed, "a dataset")
    return DatasetRecord("ds_1", None, None, rows, profiles, now())


@pytest.fixture
def seconds(make_spec):
    def estimate(dataset=None, strategy=None, space=SPACE, **changes):
        changes = {"budget": {"epochs": 20}, "space": space} | changes
        spec = make_spec(strategy or Random(), **changes)
        return first_trial_seconds(spec, dataset or table())

    return estimate


def test_a_trial_of_benchmark_e_takes_tenths_of_a_second(seconds) -> None:
    assert 0.1 < seconds() < 0.3


def test_every_run_and_epoch_counts(seconds) -> None:
    once = seconds()
    assert seconds(executions=2) == pytest.approx(2 * once)
    assert seconds(evaluation=Evaluation(method="cv", folds=3)) == pytest.approx(3 * once)
    assert seconds(budget={"epochs": 200}) == pytest.approx(10 * once)
    assert seconds(table(rows=50_000)) > 90 * once
    assert seconds(space=SPACE | {"batch_size": 1}) > once


def test_the_first_trial_is_meant(seconds) -> None:
    small, large = {"num_layers": 2, "units": 64}, {"num_layers": 5, "units": 512}
    assert seconds(strategy=Manual(trials=(small, large))) < seconds() / 3
    assert seconds(strategy=Random(initial_trials=(large,))) > 3 * seconds()
    budget = {"epochs": 81}
    assert seconds(strategy=Hyperband(), budget=budget) < seconds(budget=budget) / 20


def test_columns_are_as_wide_as_what_is_made_of_them(seconds) -> None:
    def wider(**column):
        return seconds(table(more=column)) / seconds()

    assert wider(type="ignored", distinct=500) == 1.0
    assert 1.0 < wider(type="boolean", distinct=2) < wider(type="datetime", distinct=500)
    assert wider(type="category", distinct=64) == wider(type="category", distinct=400)
    without = {"features": ("x1",), "sample_weight": "x2"}
    assert seconds(**without) < seconds(sample_weight="x2") < seconds()


def test_networks_of_images(seconds, make_spec) -> None:
    images = table(more={"type": "image", "distinct": 0, "shape": [28, 28]})
    only = {"features": ("more",)}
    assert seconds(images, **only) > 1.5 * seconds()
    spec = make_spec(Random(), network="cnn", budget={"epochs": 20}, **only)
    blocks = load_space({"conv_blocks": 2, "filters": 32}, "cnn")
    assert first_trial_seconds(replace(spec, space=blocks), images) > 1.0


def test_neither_tensorflow_nor_keras_is_imported() -> None:
    program = (
        "import sys, models.jobs.rough_estimate; "
        "sys.exit(bool({'keras', 'tensorflow'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
