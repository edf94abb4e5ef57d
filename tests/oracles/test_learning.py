"""What searches learn from, and when: failures, huge scores, a small budget, trials in parallel."""

import math
from dataclasses import replace

import numpy as np
import pytest

from models.oracles.bayesian import warped_scores
from models.oracles.create import create_oracle
from models.oracles.oracle import FAILED, Observation
from models.oracles.strategy import (
    MAX_INITIAL_POINTS,
    TPE,
    Auto,
    Bayesian,
    Grid,
    Random,
    decide,
    plan,
)
from models.space.defaults import FIRST_TRIALS
from models.space.schema import load_space

every_learner = pytest.mark.parametrize("strategy", [Bayesian(), TPE()], ids=lambda s: s.name)

RATES = {
    "learning_rate": {"type": "float", "min": 1e-4, "max": 10.0, "sampling": "log"},
    "units": {"type": "int", "min": 8, "max": 64},
    "dropout": {"type": "float", "min": 0.0, "max": 0.5},
}


@pytest.fixture
def rates():
    return load_space(RATES, "mlp")


def bowl(values):
    """0 at its best: a rate of 10 ** -2.2, 40 units and a dropout of 0.2."""
    rate = (math.log10(values["learning_rate"]) + 2.2) / 5
    return rate**2 + ((values["units"] - 40) / 56) ** 2 + (values["dropout"] - 0.2) ** 2


def diverges(values):
    return values["learning_rate"] > 0.03


@every_learner
def test_failures_teach(run, rates, strategy):
    """Half of the rates diverge, as with sgd; a search must not go there again and again."""
    job = run(strategy, rates, max_trials=40)
    trials = job.to_the_end(
        lambda proposal: bowl(proposal.values), fails=lambda proposal: diverges(proposal.values)
    )
    assert sum(diverges(proposal.values) for proposal in trials[10:]) <= 6
    assert min(bowl(p.values) for p in trials if not diverges(p.values)) < 0.03


def test_a_search_of_failures_alone_goes_on(run, rates):
    for strategy in (Bayesian(num_initial_points=2), TPE(num_initial_points=2)):
        job = run(strategy, rates, max_trials=8)
        assert len(job.to_the_end(lambda _: math.nan)) == 8


@every_learner
def test_huge_scores_do_not_blind(run, rates, strategy):
    """As with adam and a large rate: scores of up to 1e10 among others near 0."""

    def score(proposal):
        values = proposal.values
        return bowl(values) * (1e10 if values["learning_rate"] > 1.0 else 1.0)

    for seed in range(2):
        found = run(strategy, rates, max_trials=40, seed=seed).to_the_end(score)
        assert min(score(proposal) for proposal in found) < 0.02


@pytest.mark.parametrize(
    "ranks",
    [
        [(0.0, 1.0)],
        [(0.0, 1.0)] * 3,
        [FAILED] * 2,
        [(0.0, 1.0), (0.0, 2.0), (2.0, 0.5), FAILED],
        [(0.0, 1.0), (0.0, 1.0), (0.0, 1.0), (0.0, 2.0)],
        [(0.0, -1e308), (0.0, 1.0), (0.0, 2.0), (0.0, 1e300), (0.0, 1e308)],
        [(0.0, 0.0), (0.0, 5e-324), (0.0, 1.0), (0.0, 1e308), (1e-9, -1e308)],
    ],
)
def test_warped_scores_keep_the_order_and_have_no_outliers(ranks):
    warped = warped_scores(ranks)
    assert (np.diff(warped) >= 0).all()
    assert np.abs(warped).max() < 3
    if len(set(ranks)) == len(ranks):
        assert (np.diff(warped) > 0).all()


@every_learner
@pytest.mark.parametrize(("trials", "initial"), [(1, 1), (8, 2), (20, 5), (40, 6), (500, 6)])
def test_a_small_budget_begins_with_fewer_points(strategy, rates, trials, initial):
    decided = decide(strategy, rates, trials)
    assert isinstance(decided, Bayesian | TPE)
    assert decided.num_initial_points == initial
    assert plan(strategy, rates, trials, 9).initial_points == initial


@every_learner
def test_the_default_budget_is_more_than_random_search(run, rates, strategy):
    job = run(strategy, rates, max_trials=20)
    found = job.to_the_end(lambda proposal: bowl(proposal.values))
    first = min(bowl(proposal.values) for proposal in found[:5])
    late = sorted(bowl(proposal.values) for proposal in found[10:])
    assert late[len(late) // 2] < first * 1.5


@every_learner
def test_the_number_of_initial_points_is_an_option(strategy, rates):
    chosen = type(strategy)(num_initial_points=7)
    assert decide(chosen, rates, 500) == chosen
    assert plan(chosen, rates, 5, 9).initial_points == 5


@every_learner
def test_a_search_begins_with_the_default_values(strategy, rates):
    (first,) = create_oracle(strategy, rates, "min", 3, 20, 9).ask(1)
    own = rates.known
    default = {name: own[name].default for name in RATES}
    assert first.values == rates.resolve(default)


@every_learner
def test_trials_of_others_count_as_initial_points(strategy, rates):
    points = create_oracle(Random(), rates, "min", 5, 20, 9).ask(20)
    told = [Observation(f"user-{p.key}", p.values, bowl(p.values)) for p in points]
    (first,) = create_oracle(strategy, rates, "min", 1, 20, 9, history=told).ask(1)
    assert first.values != rates.resolve(rates.nearest({}))
    assert bowl(first.values) < sorted(bowl(p.values) for p in points)[10]


@every_learner
def test_trials_in_parallel_are_never_equal(run, strategy, small):
    job = run(type(strategy)(num_initial_points=2), small, max_trials=1000)
    trials = job.to_the_end(lambda proposal: sum(proposal.values["units"]), parallel=4)
    assert len({str(proposal.values) for proposal in trials}) == len(trials) == small.size()


def test_auto_tries_all_that_fits_into_the_budget(small, rates):
    assert isinstance(decide(Auto(), small, 12), Grid)
    assert plan(Auto(), small, 100, 9).trials == 12
    assert isinstance(decide(Auto(), small, 11), Bayesian)
    assert decide(Auto(initial_trials=({"units": 8},)), rates, 20) == Bayesian(
        num_initial_points=5, initial_trials=({"units": 8},)
    )


def test_auto_takes_every_value_of_a_range_that_fits(run):
    space = load_space({"units": {"type": "int", "min": 1, "max": 17}}, "mlp")
    trials = run(Auto(), space, max_trials=20).to_the_end(lambda _: 1.0)
    assert sorted(proposal.values["units"] for proposal in trials) == list(range(1, 18))


@every_learner
def test_a_search_of_the_default_space_begins_with_strong_trials(strategy):
    space = load_space(None, "mlp")
    listed = FIRST_TRIALS["mlp"]
    assert len(listed) == MAX_INITIAL_POINTS
    expected = [space.resolve(space.nearest(values)) for values in listed]
    assert [{name: trial[name] for name in listed[0]} for trial in expected] == list(listed)
    trials = create_oracle(strategy, space, "min", 3, 24, 9).ask(6)
    assert [trial.values for trial in trials] == expected


@every_learner
def test_a_part_of_the_default_space_has_its_strong_trials_too(strategy):
    """An image drops the encodings of columns."""
    space = load_space(None, "mlp")
    rest = {name: each for name, each in space.parameters.items() if name != "numeric_encoding"}
    space = replace(space, parameters=rest)
    (first,) = create_oracle(strategy, space, "min", 3, 24, 9).ask(1)
    best = dict(FIRST_TRIALS["mlp"][0])
    del best["numeric_encoding"]
    assert {name: first.values[name] for name in best} == best
