import math

import pytest

from models.trials.scoring import is_overfit
from models.trials.trainers.base import mean_history


@pytest.mark.parametrize(
    ("validation", "training", "expected"),
    [
        (2.0, 1.0, True),
        (1.4, 1.0, False),  # less than half as much again
        (0.04, 0.001, False),  # both are next to nothing beside a reference of 1
        (0.2, 0.0, True),
        (0.5, 1.0, False),
    ],
)
def test_overfit_needs_a_ratio_and_a_share(validation, training, expected):
    assert is_overfit(validation, training, reference_loss=1.0) is expected


def test_history_is_the_mean_of_the_runs_that_reached_an_epoch():
    runs = [{"loss": [4.0, 2.0, 1.0]}, {"loss": [2.0, math.nan]}]
    assert mean_history(runs) == {"loss": [3.0, None, 1.0]}
