"""Versions whose network is trained again, on all rows but the test rows."""

from dataclasses import replace

import numpy as np
import pytest

from models.data.dataset import Dataset
from models.data.library.storage import write_dataset
from models.registry.building import build_version
from models.registry.export import ExportResult, ExportSpec, RefitError
from models.store.artifacts import Artifacts
from tests.registry.conftest import FEATURES, Tune
from tests.registry.stored import stored_network

Priced = tuple[ExportSpec, ExportResult]


def test_a_refit_learns_from_validation_rows_too(priced: Priced) -> None:
    evidence = build_version(replace(priced[0], version=1001, refit=True)).evidence
    assert evidence["training"]["refit"]
    assert evidence["training"]["execution"] is None
    assert evidence["training"]["rows"] == 108
    assert evidence["baselines"]["trees"]["rows"] == 108
    assert evidence["training"]["epochs"] >= 1


def test_cross_validated_values_are_always_refitted(houses: Dataset, tune: Tune) -> None:
    spec = tune(houses, "class", FEATURES, method="cv", folds=3)
    evidence = build_version(spec).evidence
    assert len(evidence["validation"]["runs"]) == 3
    assert evidence["training"]["refit"]
    assert evidence["training"]["rows"] == 108
    assert evidence["training"]["seconds"] > spec.result.seconds


def test_a_refit_repeats_the_schedule_of_its_trial(
    artifacts: Artifacts, houses: Dataset, tune: Tune
) -> None:
    values = {"lr_schedule": "cosine", "learning_rate": 0.1}
    spec = tune(houses, "price", FEATURES, values=values, refit=True)
    short = replace(spec, result=replace(spec.result, best_epoch=2))
    kept = []
    for version, epochs in ((1003, 4), (1004, 4), (1005, 2)):
        trial = replace(short.trial, epochs=epochs)
        refitted = replace(short, version=version, trial=trial)
        assert build_version(refitted).evidence["training"]["epochs"] <= 2
        kept.append(stored_network(artifacts, refitted).get_weights()[0])
    assert np.array_equal(kept[0], kept[1])
    assert not np.allclose(kept[0], kept[2])


def test_a_refit_takes_in_a_validation_dataset(
    artifacts: Artifacts, houses: Dataset, tune: Tune
) -> None:
    other = Dataset(houses.columns, {name: cells[:30] for name, cells in houses.values.items()})
    write_dataset(other, artifacts, other.digest())
    spec = tune(houses, "price", FEATURES, refit=True, validation_dataset=other.digest())
    evidence = build_version(spec).evidence
    assert evidence["training"]["rows"] == 108 + 30
    assert evidence["lineage"]["validation_dataset"] == other.digest()


def test_a_refit_that_diverges_is_an_error(priced: Priced) -> None:
    spec = replace(priced[0], refit=True)
    wild = {**spec.trial.values, "learning_rate": 10.0, "optimizer": "sgd", "num_layers": 8}
    wild_spec = replace(
        spec,
        trial=replace(spec.trial, values=wild),
        result=replace(spec.result, best_epoch=30),
    )
    with pytest.raises(RefitError, match="trial 3 diverged in epoch"):
        build_version(wild_spec)
