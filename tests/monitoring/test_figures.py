import json
from typing import Any

import numpy as np
import pytest

from models.monitoring.figures import BINS, Figures, total


def figures(seconds: list[float], **counts: Any) -> Figures:
    found = Figures(requests=len(seconds), **counts)
    found.count_latencies(seconds)
    return found


def test_percentiles_are_those_of_the_latencies_within_the_width_of_a_bin() -> None:
    seconds = np.random.default_rng(1).lognormal(-5, 1, 10_000)
    found = figures(seconds.tolist())
    for share in (0.5, 0.99):
        expected = np.quantile(seconds, share)
        assert found.percentile(share) == pytest.approx(expected, rel=0.06)
    assert Figures().percentile(0.5) is None
    assert Figures().latency_ms == {"p50": None, "p99": None}
    assert figures([0.0, 1e9]).latency[[0, BINS - 1]].tolist() == [1, 1]


def test_figures_add_up_and_survive_the_database() -> None:
    one = figures([0.001, 0.002], rows=3, refused=1)
    one.count_column("x", np.array([1, 0, 2]))
    other = figures([0.5], rows=1, failed=1, logged=1, dropped=2)
    other.count_column("x", np.array([0, 1, 1]))
    other.count_column("y", np.array([0, 0, 1]))
    read = [Figures.from_row(json.loads(json.dumps(each.to_row()))) for each in (one, other)]
    found = total(read)
    assert (found.requests, found.rows, found.errors, found.logged, found.dropped) == (
        3,
        4,
        2,
        1,
        2,
    )
    assert found.error_rate == pytest.approx(2 / 3)
    assert {name: counts.tolist() for name, counts in found.columns.items()} == {
        "x": [1, 1, 3],
        "y": [0, 0, 1],
    }
    assert found.observed == 4
    assert found.percentile(0.5) == pytest.approx(0.002, rel=0.06)
