import hashlib
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import keras
import numpy as np
import pytest

from models.data.dataset import Dataset
from models.data.datetimes import format_rfc3339
from models.data.encoding.preprocessing import Preprocessor, TargetEncoder
from models.data.formats.reading import from_arrays
from models.data.preparation.splitting import split
from models.errors import Invalid
from models.registry.building import build_version
from models.registry.documents import EvidenceSchema
from models.registry.export import ExportResult, ExportSpec, ParityError, RefitError
from models.serving.engine import Prediction, PredictionEngine
from models.store.artifacts import Artifacts
from models.trials.metrics import regression_metrics
from models.trials.spec import Constraint
from tests.files import from_records
from tests.registry.stored import stored, stored_network

Tune = Callable[..., ExportSpec]
Priced = tuple[ExportSpec, ExportResult]
FEATURES = ("area", "garden", "town", "sold", "survey")
FILES = (
    "README.md",
    "model.onnx",
    "model.keras",
    "preprocessing.onnx",
    "preprocessing.json",
    "signature.json",
    "calibration.json",
    "held_out.json",
    "profile.json",
    "evidence.json",
)


def instances(dataset: Dataset, rows: range) -> list[dict[str, Any]]:
    """Rows of `houses` as a client would send them."""

    def cell(name: str, value: Any) -> Any:
        if value is None or isinstance(value, str):
            return value
        if np.isnan(value):
            return None
        if name == "sold":
            return format_rfc3339(value)
        return bool(value) if name == "garden" else float(value)

    return [{name: cell(name, dataset.values[name][row]) for name in FEATURES} for row in rows]


def predict(artifacts: Artifacts, spec: ExportSpec, rows: list[Any]) -> Prediction:
    return PredictionEngine(stored(artifacts), 1).predict("houses", spec.version, rows)


def shares(answer: Prediction) -> np.ndarray:
    """The probabilities, which must be there, NaN where not finite."""
    assert answer.probabilities is not None
    return np.array(answer.probabilities, float)


def keras_outputs(
    artifacts: Artifacts, spec: ExportSpec, dataset: Dataset
) -> tuple[np.ndarray, TargetEncoder]:
    """What the stored network says of all rows, by the stored preprocessing."""
    network = stored_network(artifacts, spec)
    state = json.loads(stored(artifacts).read("houses", spec.version, "preprocessing.json"))
    x = Preprocessor.from_json(state["preprocessor"]).transform(dataset, slice(None))
    return np.asarray(network(x)), TargetEncoder.from_json(state["target"])


def test_json_rows_are_answered_as_the_stored_network_answers(
    artifacts: Artifacts, houses: Dataset, priced: Priced
) -> None:
    spec, _ = priced
    outputs, encoder = keras_outputs(artifacts, spec, houses)
    answer = PredictionEngine(stored(artifacts), 1).predict(
        "houses", spec.version, instances(houses, range(120))
    )
    np.testing.assert_allclose(answer.predictions, encoder.decode(outputs), rtol=1e-5)
    assert answer.probabilities is None


@pytest.mark.parametrize(
    ("target", "labels"), [("class", ["cheap", "dear"]), ("liked", [False, True])]
)
def test_binary_answers_are_labels_as_in_the_data(
    artifacts: Artifacts, houses: Dataset, tune: Tune, target: str, labels: list[Any]
) -> None:
    spec = tune(houses, target, FEATURES)
    result = build_version(spec)
    outputs, _ = keras_outputs(artifacts, spec, houses)
    answer = PredictionEngine(stored(artifacts), 1).predict(
        "houses", spec.version, instances(houses, range(120))
    )
    assert answer.classes == labels
    assert answer.predictions == [labels[int(p > 0.5)] for p in outputs[:, 0]]
    np.testing.assert_allclose(shares(answer), np.c_[1 - outputs, outputs], atol=1e-5)
    assert result.signature["classes"] == labels
    assert {type(label) for label in answer.predictions} == {type(labels[0])}


def test_integer_classes_stay_integers(artifacts: Artifacts, houses: Dataset, tune: Tune) -> None:
    spec = tune(houses, "kind", FEATURES)
    result = build_version(spec)
    answer = PredictionEngine(stored(artifacts), 1).predict(
        "houses", spec.version, instances(houses, range(20))
    )
    assert answer.classes == [10, 20, 30]
    assert all(type(label) is int for label in answer.predictions)
    assert result.metrics is not None
    assert result.baseline is not None
    assert result.baseline["accuracy"] == pytest.approx(1 / 3, abs=0.1)


def test_unusual_rows_are_answered(artifacts: Artifacts, houses: Dataset, priced: Priced) -> None:
    spec, _ = priced
    (row,) = instances(houses, range(1, 2))
    answers = predict(
        artifacts,
        spec,
        [
            dict.fromkeys(FEATURES),
            {**row, "town": "Atlantis"},
            {**row, "town": None},
            {**row, "town": "NA"},
        ],
    ).predictions
    assert all(isinstance(answer, float) for answer in answers)
    assert answers[2] == answers[3] != answers[1]
    with pytest.raises(Invalid, match="no finite answer"):
        predict(artifacts, spec, [{**row, "area": 1e300}])


def test_images_are_served(artifacts: Artifacts, tune: Tune) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 4, 4))
    dataset = from_arrays(pixels, np.arange(60) % 3)
    spec = tune(dataset, "y")
    result = build_version(spec)
    assert result.signature["columns"] == [{"name": "x", "type": "image", "shape": [4, 4]}]
    answer = predict(artifacts, spec, pixels[:5].tolist())
    outputs, _ = keras_outputs(artifacts, spec, dataset)
    np.testing.assert_allclose(shares(answer), outputs[:5], atol=1e-5)


def test_every_file_is_written_with_its_digest(artifacts: Artifacts, priced: Priced) -> None:
    spec, result = priced
    folder = f"models/houses/{spec.version}"
    assert tuple(result.files) == FILES
    for name, entry in result.files.items():
        content = artifacts.read(f"{folder}/{entry['path']}")
        digest = hashlib.sha256(content).hexdigest()
        assert entry == {
            "sha256": digest,
            "bytes": len(content),
            "path": f"{digest[:16]}/{name}",
        }
    evidence = json.loads(artifacts.read(f"{folder}/{result.files['evidence.json']['path']}"))
    assert evidence["files"] == {
        name: {"sha256": result.files[name]["sha256"], "bytes": result.files[name]["bytes"]}
        for name in FILES[:-1]
    }
    assert evidence == json.loads(json.dumps(result.evidence, allow_nan=False))


def test_the_evidence_holds_what_the_version_rests_on(houses: Dataset, priced: Priced) -> None:
    spec, result = priced
    evidence = result.evidence
    assert datetime.fromisoformat(evidence["created"]).utcoffset() is not None
    assert evidence["created"].endswith("Z")
    assert evidence["score"] == spec.result.score
    assert evidence["spread"] == 0
    assert evidence["objective"] == {
        "metric": "loss",
        "direction": "min",
        "positive_class": None,
    }
    assert evidence["validation"]["metrics"] == spec.result.metrics
    assert evidence["training"] == {
        "refit": False,
        "execution": 0,
        "score": spec.result.score,
        "rows": 84,
        "epochs": spec.result.best_epoch,
        "seconds": spec.result.seconds,
        "class_weights": None,
    }
    assert evidence["optimism"]["search"] == spec.result.score
    assert [item["rows"] for item in evidence["baselines"].values()] == [84, 84]
    assert {item["column"] for item in evidence["column_importance"]["items"]} == set(FEATURES)
    assert EvidenceSchema().validate(evidence) == {}
    lineage = evidence["lineage"]
    assert (lineage["job"], lineage["trial"], lineage["seed"]) == ("job_1", 3, 11)
    assert lineage["values"] == dict(spec.trial.values)
    assert lineage["dataset"] == houses.digest()
    assert lineage["features"] == list(FEATURES)
    assert lineage["evaluation"]["test_fraction"] == 0.1
    assert lineage["evaluation"]["seed"] == 5
    assert {"tensorflow", "keras", "onnxruntime", "python"} <= set(evidence["libraries"])
    assert 0 < evidence["parity"]["difference"] < 1e-4


def test_test_and_baseline_metrics_are_of_the_held_out_rows(
    artifacts: Artifacts, houses: Dataset, priced: Priced
) -> None:
    spec, result = priced
    parts = split(houses.values["price"], spec.trial.data.task, spec.trial.data.evaluation, 5)
    outputs, encoder = keras_outputs(artifacts, spec, houses)
    truth = houses.values["price"][parts.test]
    expected = regression_metrics(truth, encoder.decode(outputs)[parts.test])
    guess = np.full(len(truth), houses.values["price"][parts.folds[0].train].mean())
    assert result.evidence["test"]["rows"] == len(parts.test) == 12
    assert result.metrics == pytest.approx(expected, rel=1e-4)
    assert result.baseline == pytest.approx(regression_metrics(truth, guess))


def test_without_a_test_part_the_metrics_are_null_and_the_evidence_says_so(
    houses: Dataset, tune: Tune
) -> None:
    result = build_version(tune(houses, "price", FEATURES, test_fraction=0.0))
    assert result.metrics is None
    assert result.baseline is None
    assert result.evidence["test"] == {
        "rows": 0,
        "metrics": None,
        "intervals": None,
        "note": "No rows were held out for a test.",
    }


def test_the_best_execution_is_kept(houses: Dataset, tune: Tune) -> None:
    spec = tune(houses, "price", FEATURES, executions=3)
    best = min(spec.result.folds, key=lambda run: run.score or 0.0)
    only = replace(spec, result=replace(spec.result, folds=(best,)))
    version = build_version(spec)
    assert version.metrics == build_version(only).metrics
    served = version.evidence["training"]
    assert (served["execution"], served["score"]) == (best.execution, best.score)
    assert served["score"] < version.evidence["score"]
    spoiled = replace(best, metrics={**best.metrics, "mae": 1e9})
    others = [run for run in spec.result.folds if run is not best]
    bounded = replace(
        spec,
        trial=replace(spec.trial, constraints=(Constraint("mae", max=1e6),)),
        result=replace(spec.result, folds=(spoiled, *others)),
    )
    assert build_version(bounded).evidence["training"]["execution"] != best.execution
    another = replace(spec, result=replace(spec.result, folds=tuple(others)))
    assert build_version(another).metrics != build_version(spec).metrics


def test_nothing_is_written_when_the_graph_is_wrong(
    artifacts: Artifacts, priced: Priced, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.registry.onnx.parity.TOLERANCE", 0.0)
    spec = replace(priced[0], version=1000)
    with pytest.raises(ParityError):
        build_version(spec)
    assert not artifacts.exists("models/houses/1000")


def test_the_stored_network_can_be_trained_on(
    artifacts: Artifacts, houses: Dataset, tune: Tune
) -> None:
    values = {"lr_schedule": "cosine", "optimizer": "sgd", "momentum": 0.5, "l2": 0.001}
    spec = tune(houses, "price", FEATURES, values=values)
    build_version(spec)
    network = stored_network(artifacts, spec)
    before = network.get_weights()
    x = np.random.default_rng(0).normal(size=(16, *network.input_shape[1:]))
    network.compile(keras.optimizers.SGD(0.01), "mse")
    network.fit(x, np.ones((16, 1)), verbose=0)
    assert not np.allclose(before[0], network.get_weights()[0])


def test_the_stored_network_is_as_large_as_its_weights(
    artifacts: Artifacts, houses: Dataset, tune: Tune
) -> None:
    """The state of an optimizer, such as that of Adam, would make it three times as large."""
    values = {"num_layers": 2, "units": 512}
    result = build_version(tune(houses, "price", FEATURES, values=values))
    weights = 4 * result.parameters
    assert weights < result.files["model.keras"]["bytes"] < 1.1 * weights


def test_the_signature_describes_the_columns(priced: Priced) -> None:
    signature = priced[1].signature
    assert signature["task"] == "regression"
    assert signature["target"] == "price"
    assert signature["classes"] is None
    assert [(item["name"], item["type"]) for item in signature["columns"]] == [
        ("area", "number"),
        ("garden", "boolean"),
        ("town", "category"),
        ("sold", "datetime"),
        ("survey", "number"),
    ]
    assert {"Oslo", "Paris", "Rome"} <= set(signature["columns"][2]["categories"])
    sample = signature["sample"]
    assert list(sample) == list(FEATURES)
    assert None not in sample.values()
    assert type(sample["garden"]) is bool
    assert sample["sold"].endswith("Z")
    assert type(sample["survey"]) is int


def test_the_sample_row_is_accepted(artifacts: Artifacts, houses: Dataset, tune: Tune) -> None:
    spec = tune(houses, "class", FEATURES)
    result = build_version(spec)
    engine = PredictionEngine(stored(artifacts), 1)
    assert engine.predict("houses", spec.version, [result.signature["sample"]]).predictions[0] in (
        "cheap",
        "dear",
    )


def test_layers_and_summary_describe_the_network(priced: Priced) -> None:
    result = priced[1]
    assert result.layers[-1]["type"] == "Dense"
    assert result.parameters == sum(layer["parameters"] for layer in result.layers)
    assert f"{result.parameters:,}" in result.summary
    json.dumps([result.layers, result.files, result.signature], allow_nan=False)


def test_a_table_with_only_categories_is_served(artifacts: Artifacts, tune: Tune) -> None:
    records = [{"a": "xyz"[n % 3], "b": "pq"[n % 2], "c": "pq"[n % 2]} for n in range(60)]
    spec = tune(from_records(records), "c")
    build_version(spec)
    answer = PredictionEngine(stored(artifacts), 1).predict(
        "houses", spec.version, [["x", "p"], ["y", "new"]]
    )
    assert answer.classes == ["p", "q"]


def test_asking_for_an_export_imports_no_training_library() -> None:
    code = (
        "import sys, models.registry.export;"
        "sys.exit(', '.join({'tensorflow', 'keras', 'sklearn'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_network_of_several_members_is_saved_without_layers_of_our_own(
    artifacts: Artifacts, houses: Dataset, tune: Tune
) -> None:
    values = {"members": 4, "batch_normalization": True, "dropout": 0.1}
    spec = tune(houses, "class", FEATURES, values=values)
    result = build_version(spec)
    assert result.parity.difference <= result.parity.tolerance
    network = stored_network(artifacts, spec)
    assert {type(layer).__module__.partition(".")[0] for layer in network.layers} == {"keras"}
    assert network.output_shape == (None, 1)
    shares = spec.result.metrics or {}
    assert shares["loss"] == pytest.approx(spec.result.score)


def test_spec_result_and_errors_travel_between_processes(priced: Priced) -> None:
    assert pickle.loads(pickle.dumps(priced)) == priced
    for error in (ParityError("differs"), RefitError("diverged")):
        assert str(pickle.loads(pickle.dumps(error))) == str(error)
