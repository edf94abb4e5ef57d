from dataclasses import replace
from datetime import timedelta

import pytest

from models.jobs.model import Outcome, TrialState
from models.reports.curves import (
    RegretScale,
    area_over_seconds,
    area_over_trials,
    best_so_far,
    regret_scale,
)
from models.trials.spec import Objective
from tests.reports.recorded import STARTED


def outcome(number, score, seconds, state=None):
    return Outcome(
        number=number,
        state=state or (TrialState.FAILED if score is None else TrialState.COMPLETED),
        values={},
        epochs=1,
        score=score,
        failure_kind=None,
        started=STARTED + timedelta(seconds=number - 1),
        finished=None if seconds is None else STARTED + timedelta(seconds=seconds),
    )


LESS, MORE = Objective("loss", "min"), Objective("accuracy", "max")

# In the order of their ends: 4, none, 2, 5.
TRIALS = [outcome(1, 4.0, 5), outcome(2, 2.0, 15), outcome(3, None, 10), outcome(4, 5.0, 20)]


def scale_of(scores: list[float], objective: Objective) -> RegretScale:
    """The scale of these scores, which must have one."""
    scale = regret_scale(scores, objective)
    assert scale is not None
    return scale


def test_the_best_score_is_kept_in_the_order_in_which_trials_ended():
    curve = best_so_far(TRIALS, LESS)
    assert curve.numbers == (1, 3, 2, 4)
    assert curve.seconds == (5, 10, 15, 20)
    assert curve.best == (4, 4, 2, 2)
    assert curve.improvement == 2


def test_more_is_better_where_the_direction_says_so():
    curve = best_so_far(TRIALS, MORE)
    assert curve.best == (4, 4, 4, 5)
    assert curve.improvement == 3


def test_there_is_no_best_score_before_the_first_and_failures_count():
    curve = best_so_far([outcome(1, None, 1), outcome(2, 3.0, 2)], LESS)
    assert curve.best == (None, 3)
    assert curve.improvement == 1
    assert best_so_far([outcome(1, None, 1)], LESS).improvement is None


def test_trials_that_are_open_or_cancelled_are_left_out():
    open_ones = [
        outcome(5, None, None, TrialState.RUNNING),
        outcome(6, None, 3, TrialState.CANCELLED),
        outcome(7, 1.0, 30, TrialState.STOPPED),
    ]
    curve = best_so_far([*TRIALS, *open_ones], LESS)
    assert curve.numbers == (1, 3, 2, 4, 7)
    assert curve.best[-1] == 1


def test_an_empty_job_has_an_empty_curve():
    curve = best_so_far([], LESS)
    assert (curve.numbers, curve.improvement) == ((), None)
    assert area_over_trials(curve, RegretScale(1, 3), 4) == 1
    assert area_over_seconds(curve, RegretScale(1, 3), 4.0) == 1


def test_areas_are_those_computed_by_hand():
    scale = scale_of([4.0, 2.0, 5.0, 3.0, 1.0], LESS)
    assert scale == RegretScale(best=1.0, median=3.0)
    curve = best_so_far(TRIALS, LESS)
    # Regrets 1 (4 is worse than the median), 1, 0.5, 0.5.
    assert area_over_trials(curve, scale, 4) == pytest.approx(3 / 4)
    assert area_over_trials(curve, scale, 8) == pytest.approx((3 + 4 * 0.5) / 8)
    # 1 until 5 s, when nothing is known, 1 until 15 s, then 0.5.
    assert area_over_seconds(curve, scale, 20.0) == pytest.approx((15 + 5 * 0.5) / 20)
    assert area_over_seconds(curve, scale, 40.0) == pytest.approx((15 + 25 * 0.5) / 40)


def test_areas_of_a_score_to_maximise():
    scale = scale_of([0.5, 0.9, 0.7], MORE)
    curve = best_so_far([outcome(1, 0.8, 1), outcome(2, 0.9, 3)], MORE)
    assert area_over_trials(curve, scale, 2) == pytest.approx((0.5 + 0) / 2)
    assert area_over_seconds(curve, scale, 4.0) == pytest.approx((1 + 2 * 0.5) / 4)


def test_equal_scores_have_no_regret_and_nothing_has_no_area():
    scale = scale_of([2.0, 2.0], LESS)
    assert scale.regret(2.0) == 0
    assert scale.regret(2.1) == 1
    assert scale.regret(None) == 1
    assert regret_scale([], LESS) is None
    curve = best_so_far([], LESS)
    assert area_over_trials(curve, scale, 0) is None
    assert area_over_seconds(curve, scale, 0.0) is None


def test_the_clock_starts_with_the_first_trial():
    waited = [replace(item, started=item.started + timedelta(seconds=3)) for item in TRIALS]
    assert best_so_far(waited, LESS).seconds == (2, 7, 12, 17)
