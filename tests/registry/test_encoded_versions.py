"""Versions of every encoding: files, parity on unusual rows, and served answers."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from models.data.dataset import Dataset
from models.data.encoding.preprocessing import Preprocessor
from models.registry.building import build_version
from models.registry.export import ExportSpec
from models.registry.onnx.latency import measure_latency
from models.serving.engine import PredictionEngine
from models.store.artifacts import Artifacts
from models.trials.run import load_weights
from tests.registry.stored import stored, stored_network

Tune = Callable[..., ExportSpec]
FEATURES = ("area", "garden", "town", "sold", "survey")
SMALL = {"units": 4, "num_layers": 1}
ODD = [
    {"area": None, "garden": None, "town": None, "sold": None, "survey": None},
    {"area": 1e30, "garden": True, "town": "never seen", "sold": "1700-01-01", "survey": -1e12},
    {"area": 90, "garden": False, "town": "Rome", "sold": "2015-03-04", "survey": 1.7e9},
]


@pytest.mark.parametrize(
    "values",
    [
        {"numeric_encoding": "robust", "missing_indicators": True},
        {"numeric_encoding": "quantile", "category_encoding": "target"},
        {"numeric_encoding": "piecewise", "bins": 8},
        {
            "numeric_encoding": "periodic",
            "frequency_scale": 100.0,
            "category_encoding": "embedding",
            "category_embedding_size": 2,
            "missing_indicators": True,
            "members": 3,
        },
    ],
    ids=lambda values: str(values.get("numeric_encoding")),
)
def test_a_version_of_each_encoding_answers_as_its_network(
    houses: Dataset, artifacts: Artifacts, tune: Tune, values: dict[str, Any]
) -> None:
    spec = tune(houses, "price", FEATURES, values=SMALL | values)
    result = build_version(spec)
    assert result.parity.difference < 1e-5
    files = stored(artifacts)
    state = json.loads(files.read("houses", spec.version, "preprocessing.json"))
    preprocessor = Preprocessor.from_json(state["preprocessor"])
    network = stored_network(artifacts, spec)
    outputs = np.asarray(network(preprocessor.transform(houses, np.arange(30))))[:, 0]
    target = state["target"]
    expected = outputs * target["scale"] + target["mean"]
    rows = [{name: _cell(houses.values[name][row], name) for name in FEATURES} for row in range(30)]
    answers = PredictionEngine(files, 1).predict("houses", spec.version, rows).predictions
    np.testing.assert_allclose(np.array(answers, float), expected, rtol=1e-4)


@pytest.mark.parametrize("numeric", ["robust", "quantile"])
def test_any_number_has_an_answer(
    houses: Dataset, artifacts: Artifacts, tune: Tune, numeric: str
) -> None:
    spec = tune(houses, "price", FEATURES, values=SMALL | {"numeric_encoding": numeric})
    build_version(spec)
    engine = PredictionEngine(stored(artifacts), 1)
    assert None not in engine.predict("houses", spec.version, ODD).predictions


def test_a_refit_and_a_latency_have_the_encoding_of_the_trial(
    houses: Dataset, artifacts: Artifacts, tune: Tune
) -> None:
    values = SMALL | {"numeric_encoding": "piecewise", "bins": 8, "category_encoding": "target"}
    spec = tune(houses, "price", FEATURES, values=values, refit=True)
    build_version(spec)
    document = stored(artifacts).read("houses", spec.version, "preprocessing.json")
    preprocessor = Preprocessor.from_json(json.loads(document)["preprocessor"])
    assert preprocessor.curves.encoding == "piecewise"
    assert [feature.name for feature in preprocessor.encoded] == ["town"]
    weights = load_weights(artifacts, spec.result.weights[0])
    assert measure_latency(spec.trial, weights) > 0


def _cell(value: Any, name: str) -> Any:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return None
    if name == "garden":
        return bool(value)
    if name == "sold":
        return str(np.datetime64(int(value), "s"))
    return value
