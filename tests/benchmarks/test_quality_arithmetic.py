"""Ranks, critical differences, ratios and errors of the quality bench."""

import math

import numpy as np
import pandas as pd
import pytest

from benchmarks.quality import ranking
from benchmarks.quality.measures import Score, measure, measure_baseline
from benchmarks.quality.tables import Case, Table

REGRESSION = Table("heights", "none", "", "y", "regression", (), "")
BINARY = Table("signs", "none", "", "y", "binary", (), "")
THREE = Table("colours", "none", "", "y", "multiclass", (), "")


def case(table, train, test):
    frames = [pd.DataFrame({"x": range(len(y)), "y": y}) for y in (train, test)]
    return Case(table, 0, *frames)


@pytest.mark.parametrize(
    ("contenders", "tables", "expected"),
    # The tables 5(a) and the examples of Demšar (2006): 2.569, 2.728 and 3.164 are its quantiles.
    [
        (4, 14, 2.569 * math.sqrt(4 * 5 / (6 * 14))),
        (5, 30, 2.728 * math.sqrt(5 * 6 / (6 * 30))),
        (10, 28, 3.164 * math.sqrt(10 * 11 / (6 * 28))),
    ],
)
def test_the_critical_difference_is_that_of_the_paper(contenders, tables, expected):
    assert ranking.critical_difference(contenders, tables) == pytest.approx(expected, abs=1e-3)


def test_equal_errors_share_ranks_and_wins():
    errors = np.array([[1.0, 2.0, 3.0], [2.0, 1.0, 1.0]])
    assert ranking.mean_ranks(errors).tolist() == [2.0, 1.75, 2.25]
    assert ranking.wins(errors).tolist() == [1, 1, 1]


def test_ratios_are_to_the_best_of_each_case():
    errors = np.array([[1.0, 2.0], [3.0, 1.5], [0.0, 1.0]])
    found = ranking.ratios(errors)
    assert found[:2].tolist() == [[1.0, 2.0], [2.0, 1.0]]
    assert np.isfinite(found).all()


def test_the_friedman_test_sees_a_constant_order_and_no_order():
    generator = np.random.default_rng(0)
    ordered = np.arange(3) + generator.random((20, 3)) / 2
    p, other = (ranking.friedman(each) for each in (ordered, generator.random((20, 3))))
    assert p is not None
    assert other is not None
    assert p < 1e-6 < 0.05 < other
    assert ranking.friedman(np.ones((20, 3))) is None
    assert ranking.friedman(ordered[:, :2]) is None


def test_a_regression_has_a_root_mean_squared_error_and_the_baseline_of_the_mean():
    found = case(REGRESSION, [1.0, 3.0], [2.0, 6.0])
    assert measure(found, np.array([5.0, 2.0])) == Score(math.sqrt(12.5), None)
    assert measure_baseline(found) == pytest.approx(math.sqrt(8))


def test_classes_have_a_log_loss_an_auc_and_the_baseline_of_their_shares():
    found = case(BINARY, ["no", "yes", "yes", "yes"], ["no", "yes"])
    good = measure(found, np.array([[0.8, 0.2], [0.4, 0.6]]))
    assert good.error == pytest.approx(-(math.log(0.8) + math.log(0.6)) / 2)
    assert good.auc == 1.0
    assert good.ece == pytest.approx((0.2 + 0.4) / 2)
    assert measure_baseline(found) == pytest.approx(-(math.log(0.25) + math.log(0.75)) / 2)
    three = case(THREE, ["a", "b", "c"], ["a", "b", "c"])
    wrong = measure(three, np.roll(np.eye(3), 1, axis=1))
    assert 10 < wrong.error < 20
    assert wrong.ece == pytest.approx(1)
    assert wrong.auc == 0.25


@pytest.mark.parametrize(
    ("predictions", "message"),
    [(np.array([1.0, math.nan]), "not finite"), (np.ones((2, 1)), "shape")],
)
def test_predictions_that_are_none_are_refused(predictions, message):
    with pytest.raises(ValueError, match=message):
        measure(case(REGRESSION, [1.0, 3.0], [2.0, 6.0]), predictions)
