import itertools
import json
from collections.abc import Mapping
from typing import Any

import pytest

from models.errors import Invalid
from models.oracles.create import create_oracle
from models.oracles.strategy import MAX_GRID_POINTS, Grid, Manual, plan
from models.space.schema import load_space


def identity(values):
    return json.dumps(values, sort_keys=True)


def test_a_grid_covers_every_active_combination_once(small):
    proposals = create_oracle(Grid(), small, "min", 1, None, 10).ask(100)
    chosen: list[Mapping[str, Any]] = [proposal.values for proposal in proposals]
    found = [(one["num_layers"], tuple(one["units"]), one["optimizer"]) for one in chosen]
    expected = [
        (layers, units, optimizer)
        for layers in (1, 2)
        for units in itertools.product((8, 16), repeat=layers)
        for optimizer in ("adam", "sgd")
    ]
    assert sorted(found) == sorted(expected)
    assert len(found) == small.size() == 12


def test_a_grid_over_conditions_and_ranges_takes_points_and_steps(conditional):
    proposals = create_oracle(Grid(points=2), conditional, "min", 1, None, 10).ask(10**6)
    # Of 1 to 3 layers the ends; 6 dropouts, adam or sgd with 2 momenta, 2 rates, 2 sizes, 2.
    assert len(proposals) == (4 + 64) * 6 * 3 * 2 * 2 * 2
    assert len({identity(p.values) for p in proposals}) == len(proposals)
    assert {p.values["dropout"] for p in proposals} == {0.0, 0.1, 0.2, 0.3, 0.4, 0.5}
    assert {p.values["learning_rate"] for p in proposals} == {1e-4, 1e-2}
    assert {p.values.get("momentum") for p in proposals} == {None, 0.0, 0.9}
    assert plan(Grid(points=2), conditional, None, 10).trials == len(proposals)


def test_the_order_of_a_grid_is_stable_whatever_is_told(small):
    orders = []
    for batch in (1, 5):
        oracle = create_oracle(Grid(), small, "min", batch, None, 10)
        order = []
        while not oracle.finished:
            for proposal in oracle.ask(batch):
                order.append(proposal)
                oracle.tell(proposal.key, float(batch))
        orders.append(order)
    assert orders[0] == orders[1]


def test_a_grid_that_is_too_large_is_refused_with_its_count(conditional):
    for make in (plan, lambda *a: create_oracle(a[0], a[1], "min", 1, a[2], a[3])):
        with pytest.raises(Invalid) as caught:
            make(Grid(points=10), conditional, 10, 10)
        message = caught.value.errors["search_space"][0]
        # 84 stacks of units, 6 dropouts, adam or sgd with 10 momenta, 10 rates, 10 sizes, 2.
        assert f"{84 * 6 * 11 * 10 * 10 * 2:,}" in message
        assert f"{MAX_GRID_POINTS:,}" in message


def test_manual_trials_come_completed_in_their_order(small):
    strategy = Manual(trials=({"units": 100}, {"num_layers": 0}, {"units": 100}))
    oracle = create_oracle(strategy, small, "max", 1, None, 10)
    proposals = oracle.ask(10)
    assert [p.key for p in proposals] == ["manual-0", "manual-1", "manual-2"]
    assert [p.values["num_layers"] for p in proposals] == [2, 0, 2]
    assert proposals[0].values == proposals[2].values == small.check({"units": 100})
    assert oracle.finished


def test_a_range_without_a_step_gives_points():
    space = load_space({"units": {"type": "int", "min": 10, "max": 110}}, "mlp")
    proposals = create_oracle(Grid(points=3), space, "min", 1, None, 10).ask(100)
    assert [p.values["units"] for p in proposals] == [10, 60, 110]
