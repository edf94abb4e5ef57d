from dataclasses import replace

import numpy as np
import pytest

from models.data.dataset import Dataset
from models.data.library.storage import write_dataset
from models.data.preparation.splitting import Evaluation
from models.data.preparation.tasks import Task
from models.networks import families
from models.registry.export import ParityError
from models.registry.onnx.model import OnnxAnswers, merge
from models.registry.onnx.parity import (
    FAR,
    TOLERANCE,
    UNSEEN,
    check_parity,
    largest_difference,
    synthetic_rows,
)
from models.store.artifacts import Artifacts
from models.trials.data import LoadedData, PreparedFold, load, prepare_fold
from models.trials.spec import DataRef

FEATURES = ("area", "garden", "town", "sold", "survey")


@pytest.fixture
def data(artifacts: Artifacts, houses: Dataset) -> tuple[LoadedData, PreparedFold]:
    write_dataset(houses, artifacts, "ds_1")
    ref = DataRef(artifacts.root, "ds_1", "price", Task.REGRESSION, Evaluation(), 0, FEATURES)
    loaded = load(ref)
    return loaded, prepare_fold(loaded, ref, loaded.split.folds[0].train)


def test_the_graph_of_a_network_passes_on_every_part(
    data: tuple[LoadedData, PreparedFold],
) -> None:
    loaded, fold = data
    network = families.build("mlp", {}, fold.training.inputs, fold.training.outputs, 1)
    onnx = OnnxAnswers.load(merge(fold.preprocessor, fold.encoder, network))
    parity = check_parity(network, fold, onnx, loaded)
    assert 0 < parity.difference < TOLERANCE / 10
    synthetic = synthetic_rows(loaded.dataset, loaded.split.folds[0].train, FEATURES)
    assert parity.rows == loaded.dataset.rows + synthetic.rows


@pytest.mark.parametrize("column", ["area", "town", "sold"])
def test_a_graph_that_treats_one_column_otherwise_is_found(
    data: tuple[LoadedData, PreparedFold], column: str
) -> None:
    loaded, fold = data
    network = families.build("mlp", {}, fold.training.inputs, fold.training.outputs, 1)
    kept = fold.preprocessor
    scaled = [
        replace(item, fill=tuple(value * 1.01 for value in item.fill))
        if item.name == column
        else item
        for item in kept.scaled
    ]
    categories = [
        replace(item, categories=tuple(reversed(item.categories))) if item.name == column else item
        for item in kept.categories
    ]
    wrong = replace(kept, scaled=tuple(scaled), categories=tuple(categories))
    onnx = OnnxAnswers.load(merge(wrong, fold.encoder, network))
    with pytest.raises(ParityError, match=r"differs from the Keras network by .* not registered"):
        check_parity(network, fold, onnx, loaded)


def test_differences_are_shares_of_the_unit_or_of_the_distance_from_the_centre() -> None:
    near, far = 1e9 + 5, 1e9 + 1000
    assert largest_difference(*_pair(near, near + 1), 1e9, 10.0) == pytest.approx(0.1)
    assert largest_difference(*_pair(far, far + 1), 1e9, 10.0) == pytest.approx(0.001)
    assert largest_difference(*_pair(0.5, 0.25)) == 0.25


def test_two_answers_that_are_not_finite_agree_and_one_alone_does_not() -> None:
    assert largest_difference(*_pair(np.inf, np.nan)) == 0
    assert largest_difference(*_pair(np.inf, 1.0)) == np.inf
    assert largest_difference(*_pair(1.0, np.nan)) == np.inf


def test_synthetic_rows_change_one_column_at_a_time(houses: Dataset) -> None:
    rows = np.arange(1, 100)
    made = synthetic_rows(houses, rows, FEATURES)
    area, town = made.values["area"], made.values["town"]
    known = houses.values["area"][rows]
    spread, centre = np.nanstd(known), np.nanmean(known)
    assert np.isnan(area).any()
    assert np.nanmax(area) == pytest.approx(centre + FAR * spread)
    assert np.nanmin(area) == pytest.approx(centre - FAR * spread)
    assert UNSEEN in town
    assert None in town
    assert np.isnan(made.values["sold"]).any()
    changed = np.array([cell != houses.values["town"][1] for cell in town[::2]])
    assert changed.sum() == 3
    everything = [made.values[name][-1] for name in FEATURES]
    assert all(cell is None or np.isnan(cell) for cell in everything)


def _pair(expected: float, actual: float) -> tuple[np.ndarray, np.ndarray]:
    return np.array([[expected]]), np.array([[actual]])
