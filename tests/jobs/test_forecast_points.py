from collections.abc import Mapping, Sequence
from typing import Any

from models.jobs.forecast.measuring import DRAWS, choose_points
from models.networks.inputs import Inputs
from models.networks.size import size_of
from models.oracles.strategy import Grid, Manual, Random
from models.space.schema import load_space

SPACE = {
    "num_layers": {"type": "int", "min": 1, "max": 3},
    "units": {"type": "choice", "values": [64, 8]},
    "batch_size": {"type": "choice", "values": [128, 32]},
}


def size(values):
    return size_of("mlp", values, Inputs((4,)), 1)


def ends(points):
    names = ("num_layers", "units", "batch_size")
    return [[values[name] for name in names] for values in (points.smallest, points.largest)]


def test_the_smallest_network_has_the_fewest_steps_and_the_largest_the_most(make_spec):
    for strategy in (Random(), Grid()):
        points = choose_points(make_spec(strategy, SPACE), size)
        assert ends(points) == [[1, 8, 128], [3, 64, 32]]
        assert points.to_measure[:2] == [points.largest, points.smallest]
        assert len(points.drawn) == DRAWS


def test_the_same_job_has_the_same_points(make_spec):
    assert choose_points(make_spec(Random(), SPACE), size) == choose_points(
        make_spec(Random(), SPACE), size
    )


def test_manual_trials_are_the_points_themselves(make_spec):
    trials = ({"units": 8, "num_layers": 1}, {"units": 64, "num_layers": 2}, {"units": 9})
    spec = make_spec(Manual(trials=trials), SPACE, budget={"max_trials": 2})
    points = choose_points(spec, size)
    assert [values["units"] for values in points.drawn] == [8, 64]
    assert (points.smallest, points.largest) == tuple(points.drawn)


def test_enqueued_trials_stand_apart(make_spec):
    strategy = Random(initial_trials=({"units": 4000},))
    points = choose_points(make_spec(strategy, SPACE), size)
    assert [values["units"] for values in points.enqueued] == [4000]
    drawn: Sequence[Mapping[str, Any]] = points.drawn
    assert all(values["units"] <= 64 for values in drawn)


def test_a_batch_size_that_counts_only_sometimes_is_no_obstacle(make_spec):
    space = {
        "optimizer": {"type": "choice", "values": ["adam", "sgd"]},
        "batch_size": {"type": "choice", "values": [16, 32], "when": {"optimizer": ["sgd"]}},
    }
    points = choose_points(make_spec(Random(), space), size)
    assert load_space(space, "mlp").covers(points.smallest)
