"""Thresholds: how they are chosen, and what a version makes of them."""

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from models.data.dataset import Dataset
from models.data.preparation.tasks import Task
from models.registry.building import build_version
from models.registry.certainty.rows import CalibrationRows
from models.registry.certainty.threshold import NO_BETTER, ONE_CLASS, choose_threshold
from models.registry.export import ExportSpec
from models.serving.engine import AnswerOptions, PredictionEngine
from models.store.artifacts import Artifacts
from models.trials.metrics import class_metrics, predicted_classes
from models.trials.spec import THRESHOLD_METRICS
from tests.files import from_records
from tests.registry.stored import stored

Tune = Callable[..., ExportSpec]


def rare(rows: int, seed: int, offset: float = -1.5) -> CalibrationRows:
    """Rows of a rare class 1, with the probabilities that it truly has."""
    generator = np.random.default_rng(seed)
    chance = 1 / (1 + np.exp(-(1.5 * generator.normal(size=rows) + offset)))
    truth = (generator.uniform(size=rows) < chance).astype(np.int64)
    return CalibrationRows(truth, np.column_stack([1 - chance, chance]))


@pytest.mark.parametrize("metric", ["f1", "balanced_accuracy"])
@pytest.mark.parametrize("positive", [0, 1])
def test_a_threshold_is_better_on_fresh_rows(metric: str, positive: int) -> None:
    rows, fresh = (rare(2000, seed) for seed in (1, 2))
    if positive == 0:
        rows, fresh = (
            replace(e, truth=1 - e.truth, answers=e.answers[:, ::-1]) for e in (rows, fresh)
        )
    found = choose_threshold(rows, metric, positive)
    assert found.value is not None
    assert 0.05 < found.value < 0.45
    assert found.unseen_before is not None
    assert found.unseen_after is not None
    assert found.unseen_after > found.unseen_before
    before, after = (
        class_metrics(fresh.truth, fresh.answers, Task.BINARY, positive, threshold)[metric] or 0.0
        for threshold in (None, found.value)
    )
    assert after > before + 0.02


def test_every_threshold_is_tried() -> None:
    rows = rare(60, 3)
    for metric in THRESHOLD_METRICS:
        found = choose_threshold(rows, metric, 1)
        given = np.sort(rows.answers[:, 1])
        middles = (given[1:] + given[:-1]) / 2

        def score(threshold: float | None, metric: str = metric) -> float:
            return class_metrics(rows.truth, rows.answers, Task.BINARY, 1, threshold)[metric] or 0.0

        best = max(map(score, middles))
        if found.value is None:
            assert found.note == NO_BETTER
        else:
            assert score(found.value) == pytest.approx(best)


def test_what_cannot_be_chosen_says_why() -> None:
    rows = rare(200, 4)
    one = replace(rows, truth=np.zeros(200, np.int64))
    assert choose_threshold(one, "f1", 1).note == ONE_CLASS
    flat = replace(rows, answers=np.full((200, 2), 0.5))
    assert choose_threshold(flat, "accuracy", 1).value is None
    few = replace(rows, truth=rows.truth[:20], answers=rows.answers[:20])
    assert "20 rows are too few" in (choose_threshold(few, "f1", 1).note or "")
    none = CalibrationRows(np.empty(0), np.empty((0, 2)), note="No reason.")
    assert choose_threshold(none, "f1", 1).note == "No reason."
    assert choose_threshold(none, 0.3, 1).value == 0.3


def test_the_answered_class_by_threshold() -> None:
    given = np.array([[0.7, 0.3], [0.5, 0.5], [0.2, 0.8]])
    assert predicted_classes(given).tolist() == [0, 0, 1]
    assert predicted_classes(given, None, 0.3).tolist() == [1, 1, 1]
    assert predicted_classes(given, 1, 0.81).tolist() == [0, 0, 0]
    assert predicted_classes(given, 0, 0.2).tolist() == [0, 0, 0]
    assert predicted_classes(given, 0, 0.6).tolist() == [0, 1, 1]


@pytest.fixture(scope="module")
def uneven() -> Dataset:
    generator = np.random.default_rng(0)
    x = generator.normal(size=1200)
    ill = generator.uniform(size=1200) < 1 / (1 + np.exp(-(1.5 * x - 1.5)))
    cells = zip(x, ill, strict=True)
    return from_records([{"x": float(a), "state": "ill" if b else "well"} for a, b in cells])


def test_a_version_keeps_its_threshold(uneven: Dataset, tune: Tune, artifacts: Artifacts) -> None:
    spec = tune(uneven, "state", values={"learning_rate": 0.05})
    trial = replace(spec.trial, data=replace(spec.trial.data, positive_class="ill"))
    spec = replace(spec, trial=trial, threshold="f1")
    result = build_version(spec)
    found = result.evidence["threshold"]
    value = found["value"]
    assert 0.05 < value < 0.45
    assert found["metric"] == "f1"
    assert found["test"]["after"] == {
        name: pytest.approx((result.metrics or {})[name]) for name in found["test"]["after"]
    }
    low, high = result.evidence["test"]["intervals"]["recall"]
    assert low <= found["test"]["after"]["recall"] <= high
    assert found["test"]["after"]["recall"] > found["test"]["before"]["recall"]
    files = stored(artifacts)
    signature = json.loads(files.read("houses", spec.version, "signature.json"))
    assert (signature["threshold"], signature["positive_class"]) == (value, "ill")
    assert signature == result.signature
    held_out = json.loads(files.read("houses", spec.version, "held_out.json"))
    assert (held_out["threshold"], held_out["positive"]) == (value, 0)

    engine = PredictionEngine(files, 2)
    rows = [{"x": x} for x in np.linspace(-2, 3, 60)]
    answer = engine.predict("houses", spec.version, rows, options=AnswerOptions(interval=0.5))
    shares = np.array(answer.probabilities)[:, 0]
    assert answer.predictions == ["ill" if share >= value else "well" for share in shares]
    assert answer.threshold == value
    assert any(shares[n] < 0.5 for n, label in enumerate(answer.predictions) if label == "ill")
    assert answer.labels is not None
    assert all(a in b for a, b in zip(answer.predictions, answer.labels, strict=True))
    other = engine.predict("houses", spec.version, rows, options=AnswerOptions(threshold=0.9))
    assert other.predictions == ["ill" if share >= 0.9 else "well" for share in shares]


@pytest.mark.parametrize("wanted", [None, 0.25])
def test_a_threshold_that_is_given_or_not_wanted(
    uneven: Dataset, tune: Tune, wanted: float | None
) -> None:
    spec = replace(tune(uneven, "state"), threshold=wanted)
    result = build_version(spec)
    assert result.signature["threshold"] == wanted
    assert result.signature["positive_class"] == "well", "the second one, where none is named"
    found = result.evidence["threshold"]
    assert (found["value"], found["metric"], found["unseen"]) == (wanted, None, None)
    assert (found["test"] is None) == (wanted is None)


def test_only_two_classes_have_a_threshold(houses: Dataset, tune: Tune) -> None:
    for target in ("price", "town"):
        result = build_version(tune(houses, target, ("area",)))
        assert result.evidence["threshold"] is None
        assert "threshold" not in result.signature
