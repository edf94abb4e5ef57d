"""Temperatures: how they are chosen, and what the two networks of a version make of them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest

from models.data.dataset import Dataset
from models.networks import families
from models.networks.averaging import Averaged, average
from models.registry.building import build_version
from models.registry.certainty.reliability import reliability_document
from models.registry.certainty.temperature import (
    BOUNDS,
    NO_BETTER,
    OF_A_REGRESSION,
    OF_SEVERAL_SEEDS,
    WITH_CLASS_WEIGHTS,
    fitted,
    tempered,
    untempered,
    with_temperature,
)
from models.registry.export import Candidate, ExportSpec
from models.serving.engine import PredictionEngine
from models.store.artifacts import Artifacts
from models.trials.data import prepare
from models.trials.metrics import log_loss
from models.trials.run import load_weights, run_trial, save_weights
from tests.files import from_records
from tests.registry.stored import stored, stored_network

Tune = Callable[..., ExportSpec]
EPOCHS = 60  # enough to learn the noise of few rows by heart


def records(rows: int, seed: int) -> list[dict[str, Any]]:
    """Rows whose classes are as uncertain as a logistic function of `a` says."""
    generator = np.random.default_rng(seed)
    columns = generator.normal(size=(6, rows))
    chance = 1 / (1 + np.exp(-columns[0]))
    is_yes = generator.uniform(size=rows) < chance
    names = "abcdef"
    return [
        {name: float(columns[place, row]) for place, name in enumerate(names)}
        | {"bit": "yes" if is_yes[row] else "no", "sum": float(columns[0, row])}
        | {"kind": "xyz"[int(is_yes[row]) + int(columns[1, row] > 1)]}
        for row in range(rows)
    ]


@pytest.fixture(scope="module")
def noisy() -> Dataset:
    return from_records(records(600, 1))


def overfit(spec: ExportSpec, **changes: Any) -> ExportSpec:
    """The same export of a trial that has learned its rows by heart."""
    values = {"num_layers": 2, "units": 64, "learning_rate": 0.01}
    weights = f"jobs/overfit/{spec.version}"
    trial = replace(spec.trial, values=values, epochs=EPOCHS, weights=weights, **changes)
    spec = replace(spec, trial=trial, result=run_trial(trial))
    # As if the search had kept the last epoch: it keeps the best one.
    (run,) = spec.result.folds
    artifacts = Artifacts(trial.data.artifacts_root)
    weights_of_it = [4 * array for array in load_weights(artifacts, run.weights)]
    return _answered(spec, weights_of_it)


def _answered(spec: ExportSpec, weights: Any) -> ExportSpec:
    """The same trial with other weights, whose outputs are stored beside them."""
    (fold,) = prepare(spec.trial.data).folds
    network = families.create(
        "mlp", spec.trial.values, fold.training.inputs, fold.training.outputs, seed=0
    )
    network.set_weights(weights)
    outputs = np.asarray(network(fold.training.x_validation))
    artifacts = Artifacts(spec.trial.data.artifacts_root)
    save_weights(artifacts, spec.result.folds[0].weights, weights, outputs)
    return spec


def true_and_given(rows: int, sharpness: float, classes: int = 2) -> tuple[Any, Any]:
    """Classes, and probabilities whose logarithms are `sharpness` times what they should be."""
    generator = np.random.default_rng(5)
    logits = generator.normal(size=(rows, classes))
    right = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = (right.cumsum(axis=1) < generator.uniform(size=(rows, 1))).sum(axis=1)
    sharp = np.exp(sharpness * logits)
    return truth, sharp / sharp.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("sharpness", [0.5, 2.0])
def test_a_temperature_undoes_what_was_too_sure_or_not_sure_enough(
    classes: int, sharpness: float
) -> None:
    truth, given = true_and_given(4000, sharpness, classes)
    found = fitted(truth, given)
    assert found.value == pytest.approx(sharpness, rel=0.15)
    assert found.unseen_after is not None
    assert found.unseen_before is not None
    assert found.unseen_after < found.unseen_before
    after = tempered(given, found.value)
    assert log_loss(truth, after) < log_loss(truth, given)
    np.testing.assert_array_equal(after.argmax(axis=1), given.argmax(axis=1))
    np.testing.assert_allclose(untempered(after, found.value or 1.0), given, atol=1e-6)
    before_ece, after_ece = (
        (reliability_document(truth, each, None) or {})["ece"] for each in (given, after)
    )
    assert after_ece < before_ece / 2


def test_probabilities_that_are_right_stay_as_they_are() -> None:
    truth, given = true_and_given(300, 1.0)
    found = fitted(truth, given)
    assert found.value is None or abs(np.log(found.value)) < 0.3
    same = np.full((100, 2), 0.5)
    none = fitted(np.arange(100) % 2, same)
    assert (none.value, none.note) == (None, NO_BETTER)


def test_extreme_probabilities_keep_a_temperature_within_its_bounds() -> None:
    sure = np.tile([[1.0, 0.0]], (100, 1))
    wrong = fitted(np.ones(100, np.int64), sure)
    right = fitted(np.zeros(100, np.int64), sure)
    for found in (wrong, right):
        assert found.value is None or BOUNDS[0] <= found.value <= BOUNDS[1] + 1e-3
    assert np.isfinite(tempered(sure, 3.0)).all()


def test_a_class_that_no_calibration_row_has() -> None:
    truth, given = true_and_given(200, 2.0, 3)
    kept = truth != 1
    found = fitted(truth[kept], given[kept])
    assert found.unseen_after is not None
    assert np.isfinite(found.unseen_after)


@pytest.mark.parametrize("units", [1, 3])
@pytest.mark.parametrize("temperature", [BOUNDS[0], 1.5, BOUNDS[1]])
def test_keras_answers_what_is_computed_here(units: int, temperature: float, tmp_path: Any) -> None:
    activation = "sigmoid" if units == 1 else "softmax"
    networks = []
    for number, scale in enumerate((4.0, 9.0)):
        dense = keras.layers.Dense(units, activation)
        networks.append(keras.Sequential([keras.Input((2,)), dense]))
        kernel = np.random.default_rng(number).normal(0, scale, (2, units))
        dense.set_weights([kernel, np.zeros(units)])
    x = np.random.default_rng(1).normal(size=(200, 2)).astype(np.float32)
    for network in (networks[0], average([Averaged(each, 0.5) for each in networks])):
        given = np.asarray(network(x), dtype=np.float64)
        pairs = np.concatenate([1 - given, given], axis=1) if units == 1 else given
        expected = (
            tempered(pairs, temperature)[:, 1:] if units == 1 else tempered(pairs, temperature)
        )
        whole = with_temperature(network, temperature)
        np.testing.assert_allclose(whole(x), expected, atol=1e-4)
        whole.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(loaded(x), whole(x))
    assert with_temperature(networks[0], None) is networks[0]


@pytest.mark.parametrize("target", ["bit", "kind"])
def test_a_network_that_is_too_sure_is_calibrated(
    noisy: Dataset, tune: Tune, artifacts: Artifacts, target: str
) -> None:
    spec = overfit(tune(noisy, target, tuple("abcdef")))
    result = build_version(spec)  # parity is checked here
    found = result.evidence["calibration"]
    assert found["rows"] == 120
    assert found["temperature"] > 1.2
    assert found["temperature_note"] is None
    assert found["unseen"]["after"] < found["unseen"]["before"]
    assert found["test"]["log_loss"] < found["untempered"]["log_loss"]
    assert found["test"]["log_loss"] == pytest.approx((result.metrics or {})["log_loss"], rel=1e-4)
    assert found["test"]["ece"] < found["untempered"]["ece"]
    assert sum(each["rows"] for each in found["test"]["bins"]) == found["test"]["rows"] == 60
    network = stored_network(artifacts, spec)
    assert network.layers[-1].name == "calibrated"
    engine = PredictionEngine(stored(artifacts), 1)
    fresh = records(2000, 9)
    rows = [{name: row[name] for name in "abcdef"} for row in fresh]
    answer = engine.predict("houses", spec.version, rows)
    labels = answer.classes or []
    truth = np.array([labels.index(row[target]) for row in fresh])
    given = np.array(answer.probabilities)
    before = log_loss(truth, untempered(given, found["temperature"]))
    assert log_loss(truth, given) < before


def test_what_has_no_temperature_says_why(noisy: Dataset, tune: Tune) -> None:
    names = tuple("abcdef")

    def said(spec: ExportSpec) -> Any:
        found = build_version(spec).evidence["calibration"]
        assert found["temperature"] is None
        assert found["untempered"] is None
        return found["temperature_note"]

    assert said(tune(noisy, "sum", names)) == OF_A_REGRESSION
    assert said(overfit(tune(noisy, "bit", names, class_weight="balanced"))) == WITH_CLASS_WEIGHTS
    several = overfit(tune(noisy, "bit", names, refit=True))
    assert said(replace(several, picks=3)) == OF_SEVERAL_SEEDS
    assert "Every row was learned from" in said(tune(noisy, "bit", names, method="train"))
    few = from_records(records(100, 2))
    assert "20 rows are too few" in said(tune(few, "bit", names))


def test_an_ensemble_is_calibrated_as_a_whole(
    noisy: Dataset, tune: Tune, artifacts: Artifacts
) -> None:
    first = tune(noisy, "bit", tuple("abcdef"))
    values = {**first.trial.values, "numeric_encoding": "quantile"}
    trial = replace(first.trial, number=4, values=values, weights="jobs/overfit/other")
    other = Candidate(trial, run_trial(trial))
    (fold,) = prepare(first.trial.data).folds
    truth = fold.training.y_validation
    logits = true_and_given(len(truth), 1.0)[1][:, 1] - 0.5 + (truth - 0.5)
    noise = np.random.default_rng(3).normal(size=len(truth))
    for candidate, sign in ((Candidate(first.trial, first.result), 1), (other, -1)):
        (run,) = candidate.result.folds
        outputs = 1 / (1 + np.exp(-9 * (logits + sign * noise)))
        weights = load_weights(artifacts, run.weights)
        save_weights(artifacts, run.weights, weights, outputs[:, None].astype(np.float32))
    spec = replace(first, others=(other,), picks=4, version=9100)
    result = build_version(spec)  # parity is checked here
    assert [each["trial"] for each in result.evidence["ensemble"]["members"]] == [3, 4]
    assert result.evidence["calibration"]["temperature"] is not None
    assert len(stored_network(artifacts, spec).inputs) == 2


def test_bins_hold_rows_of_equal_probability_together() -> None:
    truth = np.array([0, 1] * 50)
    found = reliability_document(truth, np.full((100, 2), 0.5), None)
    assert found is not None
    assert found["bins"] == [{"probability": 0.5, "share": 0.5, "rows": 100}]
    assert (found["ece"], found["brier"]) == (0.0, 0.25)
    other = reliability_document(truth, np.full((100, 2), [0.2, 0.8]), 0)
    assert other is not None
    assert other["ece"] == pytest.approx(0.3)
    assert reliability_document(truth, np.full((100, 2), np.nan), None) is None
    assert reliability_document(np.empty(0), np.empty((0, 2)), None) is None
    one = reliability_document(np.array([2]), np.array([[0.1, 0.2, 0.7]]), None)
    assert one is not None
    assert one["ece"] == pytest.approx(0.3)
