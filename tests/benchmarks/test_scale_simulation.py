"""The queueing model of `benchmarks.scale`, where its answer is known."""

import pytest

from benchmarks.scale.simulation import Costs, simulate


def test_slots_without_costs_train_all_the_time() -> None:
    found = simulate(10, 4, 1.0, Costs(0.0, 0.0), one_job=True)
    assert found.efficiency == pytest.approx(1, abs=0.05)
    assert found.saturated == "the slots"


@pytest.mark.parametrize(("one_job", "part"), [(True, "the worker"), (False, "the database")])
def test_what_is_asked_more_than_it_can_do_limits_the_rest(one_job: bool, part: str) -> None:
    costs = Costs(0.01, 0.0) if one_job else Costs(0.0, 0.01)
    found = simulate(100, 4, 0.2, costs, one_job=one_job)
    assert found.per_second == pytest.approx(100, rel=0.02)
    assert found.saturated == part


def test_workers_of_their_own_do_not_wait_for_each_other() -> None:
    together = simulate(20, 2, 0.1, Costs(0.01, 0.0), one_job=True)
    apart = simulate(20, 2, 0.1, Costs(0.01, 0.0), one_job=False)
    assert together.per_second == pytest.approx(100, rel=0.02)
    assert apart.per_second > 3 * together.per_second
