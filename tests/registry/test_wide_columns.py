"""A version of a table with a text, a category of 500 values and a moment, from end to end."""

import json
from collections.abc import Callable

import numpy as np
import onnxruntime

from models.data.dataset import Dataset
from models.data.datetimes import format_rfc3339
from models.data.encoding.preprocessing import Preprocessor
from models.registry.building import build_version
from models.registry.export import ExportSpec
from models.serving.engine import PredictionEngine
from models.store.artifacts import Artifacts
from models.trials.data import prepare
from tests.files import from_records
from tests.registry.stored import stored, stored_network

Tune = Callable[..., ExportSpec]


def reviews(rows: int = 2500) -> Dataset:
    """Reviews whose rating depends on a word, on the shop and on the weekday."""
    generator = np.random.default_rng(3)
    words = np.array(["great", "poor"])
    mood, weekday = generator.integers(2, size=rows), generator.integers(7, size=rows)
    shop, offset = np.arange(rows) % 500, generator.normal(size=500)
    ratings = 3.0 * (1 - mood) + offset[shop] + (weekday > 4) + generator.normal(size=rows) / 10
    records = [
        {
            "review": f"A {words[mood[row]]} place, number {row % 89}! Ünïcödé 🚂",
            "shop": f"shop {shop[row]}",
            "at": format_rfc3339(1_704_067_200.0 + 86_400.0 * weekday[row] + 977.0 * (row % 80)),
            "rating": float(ratings[row]),
        }
        for row in range(rows)
    ]
    return from_records(records, {"review": "text", "shop": "category", "at": "datetime"})


def test_a_text_many_categories_and_a_moment_are_trained_on_and_served(
    artifacts: Artifacts, tune: Tune
) -> None:
    dataset = reviews()
    values = {"units": 32, "learning_rate": 0.02, "batch_size": 64}
    spec = tune(dataset, "rating", values=values)
    result = build_version(spec)

    fold = prepare(spec.trial.data).folds[0]
    assert [feature.name for feature in fold.preprocessor.encoded] == ["shop"]
    assert result.metrics is not None
    assert (result.metrics["r2"] or 0) > 0.8
    assert [column["type"] for column in result.signature["columns"]] == [
        "text",
        "category",
        "datetime",
    ]
    state = json.loads(stored(artifacts).read("houses", spec.version, "preprocessing.json"))
    preprocessor = Preprocessor.from_json(state["preprocessor"])
    assert preprocessor == fold.preprocessor
    outputs = stored_network(artifacts, spec)(preprocessor.transform(dataset, np.arange(50)))
    expected = fold.encoder.decode(np.asarray(outputs))

    cells = dataset.values
    rows = [
        {
            "review": cells["review"][row],
            "shop": cells["shop"][row],
            "at": format_rfc3339(cells["at"][row]),
        }
        for row in range(50)
    ]
    engine = PredictionEngine(stored(artifacts), 1)
    answer = engine.predict("houses", spec.version, rows)
    np.testing.assert_allclose(np.array(answer.predictions, float), expected, atol=1e-4)
    odd = [
        {"review": None, "shop": "never", "at": None},
        {"review": "x" * 10**6, "shop": "", "at": ""},
    ]
    assert None not in engine.predict("houses", spec.version, odd).predictions

    graph = stored(artifacts).read("houses", spec.version, "model.onnx")
    session = onnxruntime.InferenceSession(graph)
    assert {item.name: (item.type, item.shape) for item in session.get_inputs()} == {
        "review": ("tensor(string)", ["rows"]),
        "shop": ("tensor(string)", ["rows"]),
        "at": ("tensor(double)", ["rows"]),
    }
