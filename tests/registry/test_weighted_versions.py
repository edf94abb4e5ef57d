"""Versions of trials whose rows were weighted."""

import json

import numpy as np
import pytest

from models.data.dataset import Dataset
from models.data.library.storage import write_dataset
from models.registry.building import build_version
from models.serving.engine import PredictionEngine
from tests.files import from_records
from tests.registry.stored import stored


@pytest.fixture(scope="module")
def visits() -> Dataset:
    generator = np.random.default_rng(1)
    return from_records(
        [
            {
                "age": float(generator.normal(40, 10)) + 9 * (n % 6 == 0),
                "times": n % 4,
                "bought": "much" if n % 6 == 0 else "little",
            }
            for n in range(120)
        ],
        {},
    )


def test_a_version_tells_its_weights_and_does_not_ask_for_them(tune, visits, artifacts):
    spec = tune(visits, "bought", class_weight="balanced", sample_weight="times")
    result = build_version(spec)
    lineage = result.evidence["lineage"]
    assert lineage["features"] == ["age"]
    assert (lineage["class_weight"], lineage["sample_weight"]) == ("balanced", "times")
    # 84 of the 120 rows are trained on, 14 of them of the rare class.
    assert result.evidence["training"]["class_weights"] == pytest.approx(
        {"little": 0.6, "much": 3.0}
    )
    assert [column["name"] for column in result.signature["columns"]] == ["age"]
    assert list(result.signature["sample"]) == ["age"]
    answer = PredictionEngine(stored(artifacts), 1).predict("houses", spec.version, [{"age": 41}])
    assert answer.predictions[0] in ("little", "much")
    json.dumps(result.evidence, allow_nan=False)


def test_the_test_rows_count_once_each(tune, visits, artifacts):
    spec = tune(visits, "bought", sample_weight="times", class_weight=(("much", 9.0),))
    result = build_version(spec)
    held_out = json.loads(stored(artifacts).read("houses", spec.version, "held_out.json"))
    shares = np.array(held_out["probabilities"])
    guessed = np.array(held_out["classes"])[shares.argmax(axis=1)]
    assert result.metrics is not None
    assert result.baseline is not None
    assert result.metrics["accuracy"] == pytest.approx(np.mean(guessed == held_out["truth"]))
    assert result.baseline["accuracy"] == pytest.approx(5 / 6, abs=0.05)


def test_a_refit_weights_the_rows_of_a_validation_dataset_too(tune, visits, artifacts):
    write_dataset(visits, artifacts, "ds_more")
    options = {"validation_dataset": "ds_more", "test_fraction": 0.0}
    weights = {"class_weight": "balanced", "sample_weight": "times"}
    plain, weighted = (
        build_version(tune(visits, "bought", ("age",), refit=True, **options, **each))
        for each in ({}, weights)
    )
    assert weighted.evidence["training"]["rows"] == 240
    assert weighted.evidence["training"]["class_weights"] == pytest.approx(
        {"little": 0.6, "much": 3.0}
    )
    assert plain.evidence["training"]["class_weights"] is None
    assert plain.files["model.onnx"] != weighted.files["model.onnx"]
