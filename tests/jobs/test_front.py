"""The front of several objectives, and its hypervolume."""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from models.jobs.front import front_of, hypervolume, read_front
from models.jobs.model import Outcome, TrialState
from models.jobs.spec import JobSpec
from models.trials.spec import Objective

ERROR, SIZE, RECALL = (
    Objective("loss", "min"),
    Objective("parameters", "min"),
    Objective("recall", "max"),
)
STARTED = datetime(2026, 1, 2, tzinfo=UTC)


def outcome(number: int, *scores: float, **changes: Any) -> Outcome:
    named = dict(zip(("loss", "parameters", "recall"), scores, strict=False))
    parts: dict[str, Any] = {
        "number": number,
        "state": TrialState.COMPLETED,
        "values": {},
        "epochs": 1,
        "score": scores[0] if scores else None,
        "failure_kind": None,
        "started": STARTED,
        "finished": STARTED + timedelta(seconds=number),
        "violation": 0.0 if scores else None,
        "scores": named if len(scores) > 1 else None,
    }
    return Outcome(**(parts | changes))


@pytest.fixture
def aims(make_spec: Callable[..., JobSpec]) -> Callable[..., JobSpec]:
    def make(first: Objective, *others: Objective, runs: int = 1) -> JobSpec:
        return make_spec(objective=first, other_objectives=others, executions=runs)

    return make


def numbers(spec: JobSpec, *outcomes: Outcome) -> list[int]:
    return [each.number for each in front_of(spec, outcomes)]


def test_the_front_has_what_no_other_beats_by_every_objective(aims):
    best, small, middle = outcome(1, 0.1, 900), outcome(2, 0.9, 10), outcome(3, 0.5, 100)
    beaten, as_middle = outcome(4, 0.5, 101), outcome(5, 0.5, 100)
    assert numbers(aims(ERROR, SIZE), small, beaten, as_middle, middle, best) == [1, 3, 2]


def test_only_trials_that_may_win_are_on_the_front(aims):
    breaks, failed = outcome(1, 0.1, 10, violation=0.5), outcome(2)
    stopped, completed = outcome(3, 0.2, 20, state=TrialState.STOPPED), outcome(4, 0.3, 30)
    one, two = aims(ERROR, SIZE), aims(ERROR, SIZE, runs=2)
    assert numbers(one, breaks, failed, stopped, completed) == [3]
    assert numbers(two, breaks, failed, stopped, completed) == [4]  # 3 had one run, perhaps
    assert numbers(two, breaks, failed, stopped) == [3]
    assert numbers(two, breaks, failed) == []


def test_the_front_of_one_objective_is_the_best_trial(aims):
    outcomes = [outcome(1, 0.5), outcome(2, 0.3), outcome(3, 0.3)]
    assert [each.number for each in front_of(aims(ERROR), outcomes)] == [2]
    found = read_front(aims(ERROR), outcomes)
    assert (found.best, found.reference, found.hypervolume) == ({"loss": 0.3}, {"loss": 0.5}, 1.0)


def test_the_hypervolume_grows_in_the_box_between_the_best_and_the_worst_scores(aims):
    outcomes = [outcome(1, 0.0, 10), outcome(2, 1.0, 0), outcome(3, 0.5, 5), outcome(4, 0.9, 9)]
    found = read_front(aims(ERROR, SIZE), outcomes)
    assert [each.number for each in found.trials] == [1, 3, 2]
    assert found.best == {"loss": 0.0, "parameters": 0}
    assert found.reference == {"loss": 1.0, "parameters": 10}
    assert [each.trial for each in found.progress] == [1, 2, 3, 4]
    assert [each.hypervolume for each in found.progress] == [0.0, 0.0, 0.25, 0.25]
    assert found.hypervolume == 0.25


def test_a_front_without_trials_has_no_hypervolume(aims):
    found = read_front(aims(ERROR, SIZE), [outcome(1)])
    assert (found.trials, found.hypervolume, found.best) == ((), None, {})


def test_more_of_some_objectives_is_better(aims):
    outcomes = [outcome(1, 0.2, 5, 0.9), outcome(2, 0.2, 5, 0.8), outcome(3, 0.3, 5, 0.95)]
    found = read_front(aims(ERROR, SIZE, RECALL), outcomes)
    assert [each.number for each in found.trials] == [1, 3]
    assert found.reference == {"loss": 0.3, "parameters": 5, "recall": 0.8}


@pytest.mark.parametrize("aims", [1, 2, 3])
def test_the_hypervolume_is_that_of_counted_cells(aims):
    generator = np.random.default_rng(aims)
    for _ in range(20):
        points = [tuple(row) for row in generator.integers(0, 5, (6, aims)) / 5]
        centres = itertools.product(np.arange(0.1, 1, 0.2), repeat=aims)
        dominated = [any(np.all(np.less(point, cell)) for point in points) for cell in centres]
        assert hypervolume(points) == pytest.approx(np.mean(dominated))


def test_the_progress_of_many_trials_has_few_steps(aims):
    """Every trial is on the front, so that each adds to the hypervolume."""
    outcomes = [outcome(n, float(n), float(1000 - n)) for n in range(1, 1001)]
    found = read_front(aims(ERROR, SIZE), outcomes)
    assert len(found.trials) == 1000
    assert [each.trial for each in found.progress] == list(range(5, 1001, 5))
    assert found.hypervolume == pytest.approx(0.5, abs=0.01)
