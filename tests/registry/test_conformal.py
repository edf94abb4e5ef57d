"""Intervals and label sets: the rule, what a version keeps of it, and what it covers."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.data.dataset import Dataset
from models.errors import Invalid
from models.registry.building import build_version
from models.registry.certainty.conformal import (
    MAX_SCORES,
    Conformal,
    conformal_scores,
    coverage,
    kept_scores,
)
from models.registry.certainty.rows import EVERY_ROW, NOT_STORED, calibration_rows
from models.registry.export import Candidate, ExportSpec
from models.registry.members import build_members
from models.serving.engine import AnswerOptions, PredictionEngine
from models.store.artifacts import Artifacts
from models.trials.run import load_weights, run_trial, save_weights
from tests.files import from_records
from tests.registry.stored import stored

Tune = Callable[..., ExportSpec]
NAMES = ["low", "mid", "high"]


def records(rows: int, seed: int) -> list[dict[str, Any]]:
    """Rows drawn from one known distribution, with noise that depends on `x`."""
    generator = np.random.default_rng(seed)
    x, z = generator.uniform(0, 4, (2, rows))
    y = 3 * x - z + generator.normal(0, 0.5 + x, rows)
    kind = np.digitize(y, [2.0, 7.0])
    cells = zip(x, z, y, kind, strict=True)
    return [
        {"x": float(a), "z": float(b), "y": float(c), "kind": NAMES[int(d)]} for a, b, c, d in cells
    ]


@pytest.fixture(scope="module")
def drawn() -> Dataset:
    return from_records(records(1500, 1))


def conformal(scores: list[float], **more: Any) -> Conformal:
    return Conformal(len(scores), tuple(scores), **more)


def test_the_rank_is_that_of_the_finite_sample_rule() -> None:
    hundred = conformal([float(n) for n in range(1, 100)])
    assert [hundred.score_at(level) for level in (0.01, 0.5, 0.9, 0.95, 0.99)] == (
        [1.0, 50.0, 90.0, 95.0, 99.0]
    )
    assert hundred.score_at(0.07) == 7.0, "0.07 * 100 is 7, not 7.000000000000001"
    with pytest.raises(Invalid) as caught:
        hundred.score_at(0.995)
    (message,) = caught.value.errors["interval"]
    assert "at least 199 calibration rows" in message
    assert "has 99" in message


def test_many_scores_are_kept_as_quantiles_that_lose_no_coverage() -> None:
    ordered = np.sort(np.random.default_rng(0).exponential(size=12_345))
    kept = Conformal(len(ordered), tuple(kept_scores(ordered)))
    assert len(kept.scores) == MAX_SCORES
    for level in (0.0001, 0.1, 0.5, 0.9, 0.999, 0.9999):
        rank = int(np.ceil(round((len(ordered) + 1) * level, 9)))
        further = min(rank + 1 + len(ordered) // MAX_SCORES, len(ordered))
        exact, above = ordered[rank - 1], ordered[further - 1]
        assert exact * (1 - 1e-6) <= kept.score_at(level) <= above * (1 + 1e-6)


def test_bounds_do_not_leave_what_can_be_predicted() -> None:
    found = conformal([1.0] * 9, lowest=0.0)
    low, high = found.bounds(np.array([0.5, 3.0]), 0.9)
    assert (low.tolist(), high.tolist()) == ([0.0, 2.0], [1.5, 4.0])
    wide = conformal([1e308] * 9)
    low, high = wide.bounds(np.array([-1.7e308, 1.7e308]), 0.9)
    assert np.isfinite([*low, *high]).all()


def test_a_label_set_is_never_empty() -> None:
    found = conformal([0.2] * 9)
    sets = found.label_sets(np.array([[0.4, 0.6], [0.15, 0.85], [0.5, 0.5]]), 0.9)
    assert sets.tolist() == [[False, True], [False, True], [True, False]]
    every = conformal([0.9] * 9).label_sets(np.array([[0.4, 0.6], [0.02, 0.98]]), 0.9)
    assert every.tolist() == [[True, True], [False, True]]


def test_equal_scores_lose_no_row_to_rounding() -> None:
    truth = np.repeat([5.0, 3.0], 20)
    answers = np.full((40, 1), 3.2)
    scores = conformal_scores(truth, answers, is_regression=True)
    found = Conformal(40, tuple(kept_scores(scores)))
    shifted = np.full((40, 1), np.float32(3.2))
    assert [each["coverage"] for each in coverage(found, truth, shifted)] == [1.0, 1.0, 1.0]
    chances = np.full((40, 2), [0.7, 0.3])
    scores = conformal_scores(np.tile([0, 1], 20), chances, is_regression=False)
    found = Conformal(40, tuple(kept_scores(scores)))
    assert coverage(found, np.tile([0, 1], 20), chances.astype(np.float32))[0]["coverage"] == 1.0


@pytest.fixture(scope="module")
def engine(artifacts: Artifacts) -> PredictionEngine:
    return PredictionEngine(stored(artifacts), 8)


@pytest.mark.parametrize("refit", [False, True])
def test_intervals_cover_fresh_rows(
    artifacts: Artifacts, drawn: Dataset, tune: Tune, engine: PredictionEngine, refit: bool
) -> None:
    spec = tune(drawn, "y", ("x", "z"), refit=refit)
    evidence = build_version(spec).evidence
    assert evidence["calibration"]["rows"] == 300
    fresh = records(4000, 2)
    truth = np.array([row.pop("y") for row in fresh])
    rows = [{"x": row["x"], "z": row["z"]} for row in fresh]
    widths = []
    for level in (0.5, 0.8, 0.9, 0.95):
        found = engine.predict("houses", spec.version, rows, options=AnswerOptions(level))
        lower, upper = np.array(found.lower), np.array(found.upper)
        assert (lower < np.array(found.predictions)).all()
        # Five deviations of a score's place among 300, and of a share of 4000 rows.
        spread = 5 * np.sqrt(level * (1 - level) * (1 / 302 + 1 / 4000))
        assert abs(((lower <= truth) & (truth <= upper)).mean() - level) < spread
        widths.append(float((upper - lower).mean()))
    assert widths == sorted(widths)
    measured = {each["level"]: each for each in evidence["coverage"]}
    assert list(measured) == [0.8, 0.9, 0.95]
    assert measured[0.9]["rows"] == 150
    assert measured[0.9]["size"] == pytest.approx(widths[2], rel=1e-5)


def test_label_sets_cover_fresh_rows(
    artifacts: Artifacts, drawn: Dataset, tune: Tune, engine: PredictionEngine
) -> None:
    spec = tune(drawn, "kind", ("x", "z"), method="cv", folds=3)
    evidence = build_version(spec).evidence
    assert evidence["calibration"]["rows"] == 1350
    fresh = records(4000, 3)
    rows = [{"x": row["x"], "z": row["z"]} for row in fresh]
    for level in (0.5, 0.8, 0.95):
        found = engine.predict("houses", spec.version, rows, options=AnswerOptions(level))
        assert found.labels is not None
        assert all(
            answer in labels for answer, labels in zip(found.predictions, found.labels, strict=True)
        )
        inside = np.mean(
            [row["kind"] in labels for row, labels in zip(fresh, found.labels, strict=True)]
        )
        # The most probable class is always in the set, so that a low level is exceeded.
        assert inside > level - 5 * np.sqrt(level * (1 - level) * (1 / 1352 + 1 / 4000))
    assert {len(labels) for labels in found.labels or []} >= {1, 2}
    assert [each["level"] for each in evidence["coverage"]] == [0.8, 0.9, 0.95]
    assert 1 <= evidence["coverage"][0]["size"] < evidence["coverage"][2]["size"] <= 3


def test_without_rows_that_were_not_learned_from_there_are_no_intervals(
    drawn: Dataset, tune: Tune, engine: PredictionEngine
) -> None:
    spec = tune(drawn, "y", ("x",), method="train")
    evidence = build_version(spec).evidence
    found = evidence["calibration"]
    assert (found["rows"], found["note"]) == (0, EVERY_ROW)
    assert evidence["coverage"] is None
    row = [{"x": 1.0}]
    assert engine.predict("houses", spec.version, row).lower is None
    with pytest.raises(Invalid) as caught:
        engine.predict("houses", spec.version, row, options=AnswerOptions(0.9))
    assert caught.value.errors == {"interval": [f"This version has no intervals. {EVERY_ROW}"]}


def test_a_table_of_few_rows_has_no_intervals(tune: Tune) -> None:
    few = from_records(records(45, 4))
    evidence = build_version(tune(few, "y", ("x",))).evidence
    assert evidence["calibration"]["rows"] == 0
    assert "too few" in evidence["calibration"]["note"]


def test_outputs_that_are_not_stored_give_no_intervals(
    artifacts: Artifacts, drawn: Dataset, tune: Tune
) -> None:
    spec = tune(drawn, "y", ("x",), refit=True)
    (run,) = spec.result.folds
    weights = load_weights(artifacts, run.weights)
    outputs = calibration_rows(*_rows_of(spec)).answers
    for others in (None, outputs[:-1].astype(np.float32)):  # of an older release; of other rows
        save_weights(artifacts, run.weights, weights, others)
        assert calibration_rows(*_rows_of(spec)).note == NOT_STORED
    artifacts.delete(run.weights)
    found = build_version(spec).evidence["calibration"]
    assert (found["rows"], found["note"]) == (0, NOT_STORED)


def test_the_answers_are_those_of_the_mean_of_the_picked_trials(
    artifacts: Artifacts, drawn: Dataset, tune: Tune
) -> None:
    first = tune(drawn, "y", ("x", "z"))
    trial = replace(first.trial, number=4, seed=12, weights="jobs/second/4")
    other = Candidate(trial, run_trial(trial))
    single = calibration_rows(*_rows_of(first))
    second = calibration_rows(*_rows_of(replace(first, trial=trial, result=other.result)))
    spec = replace(first, others=(other,), picks=4)
    data, ref, members = _rows_of(spec)
    both = calibration_rows(data, ref, members)
    weights = {member.candidate.trial.number: 0.0 for member in members.listed}
    for member in members.listed:
        weights[member.candidate.trial.number] += member.share
    expected = weights.get(3, 0.0) * single.answers + weights.get(4, 0.0) * second.answers
    np.testing.assert_allclose(both.answers, expected, rtol=1e-5)
    np.testing.assert_array_equal(both.truth, single.truth)


def _rows_of(spec: ExportSpec) -> Any:
    members, data = build_members(spec)
    return data, spec.trial.data, members
