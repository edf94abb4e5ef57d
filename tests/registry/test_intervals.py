"""Bootstrap intervals of metrics."""

import numpy as np
import pytest

from models.data.columns import ColumnType, measure
from models.data.dataset import Dataset
from models.data.encoding.preprocessing import TargetEncoder
from models.data.preparation.tasks import Task
from models.registry.evidence.intervals import Resamples, Scoring, group_numbers
from models.trials.metrics import class_metrics, regression_metrics

NUMBERS = Scoring(TargetEncoder(Task.REGRESSION), None)
LETTERS = Scoring(TargetEncoder(Task.MULTICLASS, ("a", "b", "c")), None)
PAIR = Scoring(TargetEncoder(Task.BINARY, ("no", "yes")), 0)


def rows_of(draws: Resamples, resample: int) -> np.ndarray:
    """The rows that a resample drew, as often as it did."""
    times = draws.members.T @ draws.counts[resample]
    return np.repeat(np.arange(draws.rows), times.astype(int))


def test_an_interval_contains_the_true_value_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    hits = {"mae": 0, "rmse": 0, "r2": 0}
    signal, runs = 2.0, 300
    true = {"mae": np.sqrt(2 / np.pi), "rmse": 1.0, "r2": signal**2 / (signal**2 + 1)}
    for run in range(runs):
        answers = signal * generator.normal(size=(80, 1))
        truth = answers[:, 0] + generator.normal(size=80)
        draws = Resamples.draw(80, run, number=400)
        for name, interval in NUMBERS.intervals(truth, answers, draws).items():
            if name in hits:
                assert interval is not None
                hits[name] += interval[0] <= true[name] <= interval[1]
    for name, count in hits.items():
        assert 0.90 <= count / runs <= 0.98, name


def test_a_resample_of_a_regression_has_the_metrics_of_its_rows() -> None:
    generator = np.random.default_rng(1)
    truth = 1e6 + generator.normal(size=40)
    answers = truth[:, None] + generator.normal(size=(40, 1))
    draws = Resamples.draw(40, 3, number=50)
    found = NUMBERS.resampled(truth, answers, draws)
    for number in range(50):
        rows = rows_of(draws, number)
        expected = regression_metrics(truth[rows], answers[rows, 0])
        assert {name: values[number] for name, values in found.items()} == pytest.approx(expected)


@pytest.mark.parametrize("scoring", [LETTERS, PAIR])
def test_a_resample_of_classes_has_the_metrics_of_its_rows(scoring: Scoring) -> None:
    generator = np.random.default_rng(2)
    classes = len(scoring.encoder.classes)
    truth = generator.integers(classes, size=200)
    answers = generator.dirichlet(np.ones(classes), size=200)
    answers[np.arange(200), truth] += 0.4
    answers = np.round(answers / answers.sum(axis=1, keepdims=True), 2)  # with equal scores
    answers[:, 0] = 1 - answers[:, 1:].sum(axis=1)
    draws = Resamples.draw(200, 3, number=30)
    found = scoring.resampled(truth, answers, draws)
    for number in range(30):
        rows = rows_of(draws, number)
        expected = dict(class_metrics(truth[rows], answers[rows], scoring.task, scoring.positive))
        drawn = {name: values[number] for name, values in found.items()}
        assert drawn.pop("auc") == pytest.approx(expected.pop("auc"), abs=0.01)
        assert drawn == pytest.approx(expected)


def test_one_metric_is_enough_where_one_is_asked_for() -> None:
    draws = Resamples.draw(30, 0, number=10)
    truth, answers = np.arange(30) % 3, np.full((30, 3), 1 / 3)
    assert list(LETTERS.resampled(truth, answers, draws, ["loss"])) == ["loss"]


def test_groups_stay_whole_and_widen_the_interval() -> None:
    generator = np.random.default_rng(4)
    groups = np.repeat(np.arange(20), 50)
    errors = np.repeat(generator.normal(size=20), 50) + 0.1 * generator.normal(size=1000)
    truth = generator.normal(size=1000)
    answers = (truth + errors)[:, None]
    grouped = Resamples.draw(1000, 0, groups)
    assert grouped.units == 20
    drawn = np.bincount(groups, weights=grouped.members.T @ grouped.counts[0])
    assert set(drawn % 50) == {0}
    wide = NUMBERS.intervals(truth, answers, grouped)["mae"]
    narrow = NUMBERS.intervals(truth, answers, Resamples.draw(1000, 0))["mae"]
    assert wide is not None
    assert narrow is not None
    assert wide[1] - wide[0] > 4 * (narrow[1] - narrow[0])
    assert grouped.note == "Only 20 held-out groups: the intervals are rough, likely too narrow."


def test_many_rows_are_drawn_in_blocks_with_the_same_spread() -> None:
    generator = np.random.default_rng(5)
    truth = generator.normal(size=40_000)
    draws = Resamples.draw(40_000, 0)
    assert draws.counts.shape == (1000, 5000)
    assert draws.units == 40_000
    found = NUMBERS.resampled(truth, np.zeros((40_000, 1)), draws)["loss"]
    assert found.std() == pytest.approx(np.sqrt(2 / 40_000), rel=0.1)


@pytest.mark.parametrize(
    ("rows", "note"),
    [
        (1, "1 held-out row cannot give an interval."),
        (29, "Only 29 held-out rows: the intervals are rough, likely too narrow."),
        (30, None),
    ],
)
def test_few_rows_are_told(rows: int, note: str | None) -> None:
    draws = Resamples.draw(rows, 0)
    assert draws.note == note
    found = NUMBERS.intervals(np.arange(float(rows)), np.zeros((rows, 1)), draws)
    assert (found["mae"] is None) == (rows == 1)


def test_what_is_undefined_has_no_interval() -> None:
    draws = Resamples.draw(40, 0)
    constant = NUMBERS.intervals(np.full(40, 0.1), np.zeros((40, 1)), draws)
    assert constant["r2"] is None
    assert constant["mae"] == [0.1, 0.1]
    lost = NUMBERS.intervals(np.zeros(40), np.full((40, 1), np.nan), draws)
    assert set(lost.values()) == {None}
    alone = LETTERS.intervals(np.zeros(40, np.int64), np.full((40, 3), 1 / 3), draws)
    assert alone["auc"] is None
    assert alone["accuracy"] == [1.0, 1.0]


def test_rows_without_a_group_are_groups_of_their_own() -> None:
    values = np.array(["a", None, "b", "a", None], dtype=object)
    column = measure("g", ColumnType.IGNORED, values)
    numbers = group_numbers(Dataset((column,), {"g": values}), np.arange(5), "g")
    assert numbers is not None
    assert numbers[0] == numbers[3]
    assert len(set(numbers.tolist())) == 4
    assert group_numbers(Dataset((column,), {"g": values}), np.arange(5), "h") is None
    assert group_numbers(Dataset((column,), {"g": values}), np.arange(5), None) is None
