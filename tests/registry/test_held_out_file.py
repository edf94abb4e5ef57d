"""held_out.json: what a version answered for its test rows."""

import hashlib
import json
from typing import Any

import numpy as np
import pytest

from models.data.dataset import Dataset
from models.data.preparation.splitting import split
from models.data.preparation.tasks import Task
from models.registry.building import build_version
from models.registry.evidence import document as evidence
from models.registry.export import ExportResult, ExportSpec
from models.serving.engine import PredictionEngine
from models.store.artifacts import Artifacts
from models.trials.data import load, prepare_fold
from models.trials.metrics import class_metrics, regression_metrics
from tests.registry.stored import stored

FEATURES = ("area", "garden", "town", "sold", "survey")


def read(artifacts: Artifacts, spec: ExportSpec, result: ExportResult) -> dict[str, Any]:
    content = stored(artifacts).read("houses", spec.version, "held_out.json")
    assert result.files["held_out.json"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert (
        result.evidence["files"]["held_out.json"].items() <= result.files["held_out.json"].items()
    )
    document: dict[str, Any] = json.loads(content)
    return document


def test_truth_and_predictions_of_a_regression_are_in_its_own_units(
    artifacts: Artifacts, houses: Dataset, priced: tuple[ExportSpec, ExportResult]
) -> None:
    spec, result = priced
    document = read(artifacts, spec, result)
    test = split(houses.values["price"], Task.REGRESSION, spec.trial.data.evaluation, 5).test
    assert (document["task"], document["target"], document["rows"]) == ("regression", "price", 12)
    assert document["classes"] is document["probabilities"] is document["note"] is None
    assert document["row_numbers"] == test.tolist()
    assert document["truth"] == houses.values["price"][test].tolist()
    metrics = regression_metrics(np.array(document["truth"]), np.array(document["predictions"]))
    assert metrics == pytest.approx(result.metrics, rel=1e-5)


def test_truth_and_probabilities_of_classes_are_what_is_served(
    artifacts: Artifacts, houses: Dataset, tune: Any
) -> None:
    spec = tune(houses, "class", FEATURES)
    result = build_version(spec)
    document = read(artifacts, spec, result)
    assert document["classes"] == ["cheap", "dear"]
    assert document["predictions"] is None
    rows = document["row_numbers"]
    assert document["truth"] == houses.values["class"][rows].tolist()
    probabilities = np.array(document["probabilities"])
    numbers = np.array([document["classes"].index(label) for label in document["truth"]])
    metrics = class_metrics(numbers, probabilities, Task.BINARY)
    assert metrics == pytest.approx(result.metrics, rel=1e-5)
    sample = {"area": 80.0, "garden": True, "town": "Rome", "sold": None, "survey": 1}
    answer = PredictionEngine(stored(artifacts), 1).predict("houses", spec.version, [sample])
    assert answer.classes == document["classes"]


def test_labels_are_as_in_the_data(artifacts: Artifacts, houses: Dataset, tune: Any) -> None:
    for target, labels in (("liked", [False, True]), ("kind", [10, 20, 30])):
        spec = tune(houses, target, FEATURES)
        document = read(artifacts, spec, build_version(spec))
        assert document["classes"] == labels
        assert set(document["truth"]) <= set(labels)
        assert {type(label) for label in document["truth"]} == {type(labels[0])}


def test_without_a_test_part_the_file_says_so(
    artifacts: Artifacts, houses: Dataset, tune: Any
) -> None:
    spec = tune(houses, "price", FEATURES, test_fraction=0.0)
    document = read(artifacts, spec, build_version(spec))
    assert document["rows"] == 0
    assert document["truth"] == document["predictions"] == document["row_numbers"] == []
    assert document["note"] == "No rows were held out for a test."


def test_of_many_rows_some_at_equal_distances_are_kept(
    houses: Dataset, tune: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = tune(houses, "kind", FEATURES)
    data = load(spec.trial.data)
    fold = prepare_fold(data, spec.trial.data, data.split.folds[0].train)
    rows = np.arange(50_001)
    truth = np.array([10.0, 20.0, 30.0])[rows % 3]
    answers = np.full((len(rows), 3), 1 / 3)
    document = evidence.held_out_document(fold, "kind", rows, truth, answers)
    kept = document["row_numbers"]
    assert len(kept) == len(document["truth"]) == len(document["probabilities"] or []) == 10_000
    assert (kept[0], kept[-1]) == (0, 50_000)
    assert set(np.diff(kept)) == {5, 6}
    assert document["rows"] == 50_001
    assert document["note"] == "10000 of 50001 rows are kept."
    assert document["truth"][7] == truth[kept[7]]
    assert (document["probabilities"] or [])[0] == [0.3333333] * 3
    monkeypatch.setattr(evidence, "MAX_PROBABILITIES", 300)
    document = evidence.held_out_document(fold, "kind", rows, truth, answers)
    assert len(document["truth"]) == 100


def test_answers_that_are_not_finite_are_null(houses: Dataset, tune: Any) -> None:
    spec = tune(houses, "price", FEATURES)
    data = load(spec.trial.data)
    fold = prepare_fold(data, spec.trial.data, data.split.folds[0].train)
    answers = np.array([[np.inf], [np.nan], [1.0]])
    document = evidence.held_out_document(fold, "price", np.arange(3), np.ones(3), answers)
    assert document["predictions"] == [None, None, 1.0]
    json.dumps(document, allow_nan=False)
