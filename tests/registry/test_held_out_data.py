"""Versions that are tested on a dataset of their own, and rows that are in no part."""

import json
from collections.abc import Callable

import numpy as np
import pytest

from models.data.dataset import Dataset
from models.data.library.storage import write_dataset
from models.registry.building import build_version
from models.registry.export import ExportSpec
from models.store.artifacts import Artifacts
from models.trials.data import load
from tests.files import from_records

Tune = Callable[..., ExportSpec]


def walk(rows: int, seed: int = 0) -> Dataset:
    """Numbers with a group, a time, and a target that every tenth row lacks."""
    generator = np.random.default_rng(seed)
    return from_records(
        [
            {
                "x": float(generator.normal()),
                "g": f"g{n % 20}",
                "t": n // 2,
                "y": None if n % 10 == 0 else float(generator.normal()),
            }
            for n in range(rows)
        ]
    )


def test_a_test_dataset_takes_the_place_of_the_test_part(artifacts: Artifacts, tune: Tune) -> None:
    other = walk(40, seed=1)
    write_dataset(other, artifacts, other.digest())
    spec = tune(walk(120), "y", ("x",), test_fraction=0.0, test_dataset=other.digest())
    result = build_version(spec)
    assert result.evidence["test"]["rows"] == 36
    assert result.evidence["lineage"]["test_dataset"] == other.digest()
    content = artifacts.read(
        f"models/houses/{spec.version}/{result.files['held_out.json']['path']}"
    )
    document = json.loads(content)
    assert document["test_dataset"] == other.digest()
    assert document["row_numbers"] == [n for n in range(40) if n % 10]
    assert document["truth"] == other.values["y"][document["row_numbers"]].tolist()


@pytest.mark.parametrize("column", ["group", "time"])
def test_a_refit_leaves_out_the_test_rows_and_those_without_a_target(
    tune: Tune, column: str
) -> None:
    name = {"group": "g", "time": "t"}[column]
    spec = tune(walk(200), "y", None, method="cv", folds=3, **{column: name})
    data = load(spec.trial.data)
    assert data.features == (("x", "t") if column == "group" else ("x", "g"))
    evidence = build_version(spec).evidence
    assert evidence["training"]["rows"] + evidence["test"]["rows"] == 180
    assert evidence["lineage"]["rows"] == 180
    assert evidence["lineage"]["evaluation"][column] == name
    assert evidence["lineage"]["evaluation"]["seed"] == 5
    keys = data.dataset.values[name]
    if column == "group":
        assert not set(keys[data.split.test]) & set(keys[data.split.training])
    else:
        assert keys[data.split.training].max() < keys[data.split.test].min()


def test_a_refit_joins_the_rows_of_a_validation_dataset_that_have_a_target(
    artifacts: Artifacts, tune: Tune
) -> None:
    other = walk(40, seed=1)
    write_dataset(other, artifacts, other.digest())
    spec = tune(walk(120), "y", ("x",), refit=True, validation_dataset=other.digest())
    evidence = build_version(spec).evidence
    assert evidence["training"]["rows"] + evidence["test"]["rows"] == 108 + 36
