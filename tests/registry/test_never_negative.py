"""Predicted numbers of a target that is never negative."""

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from models.data.dataset import Dataset
from models.data.encoding.preprocessing import TargetEncoder
from models.data.preparation.tasks import Task
from models.registry.building import build_version
from models.registry.export import ExportSpec
from models.serving.engine import PredictionEngine
from models.store.artifacts import Artifacts
from models.trials.metrics import regression_metrics
from models.trials.run import run_trial
from tests.files import from_records
from tests.registry.stored import stored

Tune = Callable[..., ExportSpec]
LINEAR = {"num_layers": 0, "learning_rate": 0.3}


def sales(lowest: float = 0.0) -> Dataset:
    """An amount that a line takes below 0 for a small `x`."""
    records = [{"x": n % 40 / 4, "sold": max(lowest, n % 40 - 25.5)} for n in range(200)]
    return from_records(records)


def predicted(artifacts: Artifacts, spec: ExportSpec) -> np.ndarray:
    engine = PredictionEngine(stored(artifacts), 1)
    rows = [{"x": x} for x in np.linspace(-20, 10, 50).tolist()]
    return np.array(engine.predict("houses", spec.version, rows).predictions)


def test_predictions_of_a_count_are_not_negative(artifacts: Artifacts, tune: Tune) -> None:
    spec = tune(sales(), "sold", values=LINEAR)
    result = build_version(spec)
    answers = predicted(artifacts, spec)
    assert answers.min() == 0
    assert (answers == 0).sum() > 10
    assert (answers > 0).sum() > 5
    content = artifacts.read(
        f"models/houses/{spec.version}/{result.files['held_out.json']['path']}"
    )
    document = json.loads(content)
    assert min(document["predictions"]) == 0
    truth, given = (np.array(document[name]) for name in ("truth", "predictions"))
    assert result.metrics == pytest.approx(regression_metrics(truth, given), rel=1e-5)
    assert result.parity.difference < 1e-4
    assert result.evidence["lineage"]["allow_negative"] is False


def test_negative_predictions_can_be_asked_for(artifacts: Artifacts, tune: Tune) -> None:
    clipped = tune(sales(), "sold", values=LINEAR)
    trial = replace(clipped.trial, data=replace(clipped.trial.data, allow_negative=True))
    spec = replace(clipped, trial=trial, result=run_trial(trial), version=2001)
    evidence = build_version(spec).evidence
    assert predicted(artifacts, spec).min() < -5
    assert evidence["lineage"]["allow_negative"] is True
    scores = [each.result.metrics or {} for each in (clipped, spec)]
    lower, higher = (each["loss"] or 0.0 for each in scores)
    assert 0 < lower < higher, "the same network, scored as it is served"


def test_a_target_with_negative_values_is_not_clipped(artifacts: Artifacts, tune: Tune) -> None:
    spec = tune(sales(-1.0), "sold", values=LINEAR)
    build_version(spec)
    assert predicted(artifacts, spec).min() < -5


def test_one_negative_target_in_any_row_is_enough() -> None:
    dataset = from_records([{"x": n, "sold": n - 0.5} for n in range(20)])
    rows = np.arange(1, 20)
    encoder = TargetEncoder.fit(dataset, rows, "sold", Task.REGRESSION)
    assert not encoder.is_clipped
    assert encoder.decode(np.array([-9.0]))[0] < 0


def test_a_rate_is_served_as_it_was_trained(artifacts: Artifacts, tune: Tune) -> None:
    spec = tune(sales(), "sold", values=LINEAR | {"loss": "poisson"})
    result = build_version(spec)
    assert result.parity.difference < 1e-4
    answers = predicted(artifacts, spec)
    assert answers.min() >= 0
    # A linear network for the logarithm of the rate.
    large = answers[answers > 0.1]
    assert len(large) > 5
    np.testing.assert_allclose(np.diff(np.log(large), n=2), 0, atol=1e-3)


def test_a_rate_needs_targets_without_negative_numbers(tune: Tune) -> None:
    spec = tune(sales(-1.0), "sold", values=LINEAR)
    refused = run_trial(replace(spec.trial, values={**spec.trial.values, "loss": "poisson"}))
    assert refused.failure is not None
    assert "targets of 0 and more" in refused.failure.message
