import itertools
import math
from typing import Any

import pytest

from models.oracles.create import create_oracle
from models.oracles.oracle import Observation
from models.oracles.strategy import DEFAULT_TRIALS, Bayesian, Random
from models.space.schema import load_space

PLANE = {
    "learning_rate": {"type": "float", "min": 1e-5, "max": 1e-1, "sampling": "log"},
    "dropout": {"type": "float", "min": 0.0, "max": 0.8},
    "l2": {"type": "float", "min": 0.0, "max": 1.0},
}


@pytest.fixture
def plane():
    return load_space(PLANE, "mlp")


def quadratic(values):
    """0 at its best: a learning rate of 10 ** -3.3, a dropout of 0.56, l2 of 0.25."""
    return (
        ((math.log10(values["learning_rate"]) + 3.3) / 4) ** 2
        + ((values["dropout"] - 0.56) / 0.8) ** 2
        + (values["l2"] - 0.25) ** 2
    )


def drawn(space, name, count) -> list[Any]:
    """The values of one hyperparameter in so many random trials."""
    return [p.values[name] for p in create_oracle(Random(), space, "min", 1, count, 9).ask(count)]


def best_of(run, strategy, space, seed, sign=1):
    job = run(strategy, space, direction="min" if sign > 0 else "max", seed=seed, max_trials=30)
    trials = job.to_the_end(lambda proposal: sign * quadratic(proposal.values))
    return min(quadratic(proposal.values) for proposal in trials)


@pytest.mark.parametrize(("seed", "sign"), [(0, 1), (1, -1)], ids=["min", "max"])
def test_bayesian_finds_a_better_optimum_than_random(run, plane, seed, sign):
    bayesian = best_of(run, Bayesian(num_initial_points=8), plane, seed, sign)
    assert bayesian < 0.002
    assert bayesian < best_of(run, Random(), plane, seed, sign) / 3


def test_bayesian_goes_the_way_of_the_direction(run, plane):
    """The same scores, wanted small and wanted large, lead to opposite ends."""
    ends = {}
    for direction in ("min", "max"):
        job = run(Bayesian(num_initial_points=6), plane, direction=direction, max_trials=16)
        trials = job.to_the_end(lambda proposal: proposal.values["dropout"])
        ends[direction] = sum(p.values["dropout"] for p in trials[8:]) / 8
    assert ends["min"] < 0.25
    assert ends["max"] > 0.55


def test_trials_asked_for_while_others_run_keep_apart(run, plane):
    job = run(Bayesian(num_initial_points=8), plane, max_trials=30)
    for _ in range(12):
        (proposal,) = job.ask()
        job.tell(proposal.key, quadratic(proposal.values))
    together = job.ask(4)
    assert len(together) == 4
    for one, other in itertools.combinations(together, 2):
        distance = math.dist(
            (math.log10(one.values["learning_rate"]) / 4, one.values["dropout"], one.values["l2"]),
            (
                math.log10(other.values["learning_rate"]) / 4,
                other.values["dropout"],
                other.values["l2"],
            ),
        )
        assert distance > 0.01


def test_bayesian_passes_over_failed_trials(run, plane):
    job = run(Bayesian(num_initial_points=4), plane, max_trials=12)
    trials = job.to_the_end(
        lambda proposal: quadratic(proposal.values),
        fails=lambda proposal: int(proposal.key.rpartition("-")[2]) % 2 == 0,
    )
    assert len(trials) == 12
    for score in (math.inf, -math.inf, math.nan):
        oracle = create_oracle(Bayesian(num_initial_points=1), plane, "min", 1, 9, 9)
        first, second = oracle.ask(2)
        oracle.tell(first.key, score)
        oracle.tell(second.key, 1.0)
        assert len(oracle.ask(2)) == 2


def test_bayesian_learns_from_trials_of_elsewhere(plane):
    points = create_oracle(Random(), plane, "min", 5, 20, 9).ask(20)
    history = [Observation(f"old-{p.key}", p.values, quadratic(p.values)) for p in points]
    strategy = Bayesian(num_initial_points=20)
    (warm,) = create_oracle(strategy, plane, "min", 1, 9, 9, history=history).ask(1)
    assert quadratic(warm.values) < min(quadratic(point.values) for point in points)


@pytest.mark.parametrize("strategy", [Random(), Bayesian(num_initial_points=2)])
@pytest.mark.parametrize("parallel", [1, 3])
def test_a_small_space_is_searched_to_its_end_without_repeats(run, small, strategy, parallel):
    job = run(strategy, small, max_trials=1000)
    trials = job.to_the_end(
        lambda proposal: sum(proposal.values["units"]) + proposal.values["num_layers"],
        parallel=parallel,
        fails=lambda proposal: proposal.values["units"] == [16, 16],
    )
    distinct = {str(proposal.values) for proposal in trials}
    assert len(distinct) == len(trials) == small.size() == 12


def test_a_continuous_space_does_not_end_where_most_draws_repeat(run):
    """Six optimizers of seven have one combination; Keras Tuner gives up after 20 repeats."""
    space = load_space(
        {
            "optimizer": {
                "type": "choice",
                "values": ["adam", "adamw", "nadam", "adagrad", "adamax", "sgd"],
            },
            "momentum": {"type": "float", "min": 0.0, "max": 0.9, "when": {"optimizer": ["sgd"]}},
        },
        "mlp",
    )
    trials = run(Random(), space, max_trials=150).ask(150)
    assert len({str(proposal.values) for proposal in trials}) == 150


def test_random_reaches_every_value_of_a_stepped_range():
    space = load_space(
        {
            "dropout": {"type": "float", "min": 0.0, "max": 0.5, "step": 0.1},
            "l2": {"type": "float", "min": 0.0, "max": 1.0},
        },
        "mlp",
    )
    dropouts = drawn(space, "dropout", 600)
    for value in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5):
        assert 60 < dropouts.count(value) < 150


def test_logarithmic_whole_numbers_stay_in_their_range_and_favour_the_small():
    space = load_space(
        {
            "units": {"type": "int", "min": 4, "max": 1024, "sampling": "log"},
            "l2": {"type": "float", "min": 0.0, "max": 1.0},
        },
        "mlp",
    )
    widths = drawn(space, "units", 400)
    assert min(widths) >= 4
    assert max(widths) <= 1024
    assert 130 < sum(units < 64 for units in widths) < 270


def test_bayesian_stays_in_a_logarithmic_range_of_whole_numbers(run):
    """At the very end of the range Keras Tuner itself answers max + 1."""
    space = load_space(
        {
            "units": {"type": "int", "min": 4, "max": 1024, "sampling": "log"},
            "l2": {"type": "float", "min": 0.0, "max": 1.0},
        },
        "mlp",
    )
    job = run(Bayesian(num_initial_points=3), space, max_trials=12)
    trials = job.to_the_end(lambda proposal: -proposal.values["units"])
    assert max(p.values["units"] for p in trials) == 1024


def test_without_max_trials_a_search_without_end_stops_at_its_default(plane):
    assert len(create_oracle(Random(), plane, "min", 1, None, 9).ask(1000)) == DEFAULT_TRIALS
