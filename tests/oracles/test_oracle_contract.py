"""What every oracle promises, whatever its strategy."""

import itertools
import json
import math
import random
import subprocess
import sys

import pytest

from models.errors import Conflict, NotFound, Unreadable
from models.oracles.create import create_oracle
from models.oracles.oracle import Observation
from models.oracles.strategy import TPE, Bayesian, Grid, Hyperband, Manual, Random, plan
from models.space.schema import load_space

STRATEGIES = [
    Manual(trials=tuple({"units": units} for units in range(1, 13))),
    Grid(points=2),
    Random(),
    Bayesian(num_initial_points=2),
    TPE(num_initial_points=2),
    Hyperband(max_epochs=9),
]
every_strategy = pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: s.name)


def score(proposal):
    """A stable number from the values; epochs help."""
    values = proposal.values
    wide = sum(values["units"])
    return abs(math.log10(values["learning_rate"]) + 3) + wide / 100 + 1 / (proposal.epochs or 1)


def asked(oracle, n):
    return [(p.key, p.values, p.epochs, p.initial_epoch, p.parent) for p in oracle.ask(n)]


@every_strategy
def test_the_same_seed_gives_the_same_trials_in_the_same_order(strategy, compact, run):
    runs = [
        run(strategy, compact, seed=0, max_trials=7).to_the_end(score, parallel=3) for _ in range(2)
    ]
    assert runs[0] == runs[1]
    assert len(runs[0]) == 7


@pytest.mark.parametrize("strategy", STRATEGIES[2:], ids=lambda s: s.name)
def test_jobs_of_other_seeds_share_no_trials(strategy, conditional):
    drawn = [create_oracle(strategy, conditional, "min", seed, 10, 9).ask(4) for seed in range(6)]
    if strategy.learns and strategy.name != "hyperband":  # they begin with the default values
        assert all(trials.pop(0).values == drawn[0][0].values for trials in drawn[1:])
    for one, other in itertools.combinations(drawn, 2):
        assert not [p for p in one for q in other if p.values == q.values]


@every_strategy
def test_inactive_values_are_absent_and_active_ones_in_the_space(strategy, conditional, run):
    proposals = run(strategy, conditional, max_trials=8).to_the_end(score)
    for proposal in proposals:
        values = proposal.values
        assert len(values["units"]) == values["num_layers"]
        assert ("momentum" in values) == (values["optimizer"] == "sgd")
        assert conditional.covers(values) or strategy.name == "manual"
        assert type(values["learning_rate"]) is float
        assert type(values["batch_size"]) is int
        assert type(values["batch_normalization"]) is bool
        assert json.loads(json.dumps(values, allow_nan=False)) == values
    if strategy.name != "manual":
        assert len({p.values["num_layers"] for p in proposals}) > 1 or strategy.name == "grid"


@every_strategy
@pytest.mark.parametrize("seed", range(2))
def test_a_restored_oracle_goes_on_as_if_nothing_had_happened(strategy, compact, run, seed):
    """Two runs of the same events; one is restarted from JSON after each of them."""
    steady = run(strategy, compact, seed=seed, max_trials=10)
    restarted = run(strategy, compact, seed=seed, max_trials=10)
    events = random.Random(seed)
    proposals = {}
    for _ in range(40):
        running = steady.running()
        if len(running) < 4 and events.random() < 0.6:
            n = events.randint(1, 2)
            expected = steady.ask(n)
            assert restarted.ask(n) == expected
            proposals.update({proposal.key: proposal for proposal in expected})
        elif running:
            key = events.choice(running)
            result = None if events.random() < 0.2 else score(proposals[key])
            steady.tell(key, result)
            restarted.tell(key, result)
        restarted.reborn()
    assert len(steady.proposals) == 10
    assert steady.running() == restarted.running()


@every_strategy
def test_the_state_stays_small(strategy, compact, run):
    job = run(strategy, compact, max_trials=8)
    job.to_the_end(score, parallel=3)
    assert len(json.dumps(job.oracle.state())) < 1000


@every_strategy
@pytest.mark.parametrize("limit", [1, 5])
def test_max_trials_is_held_exactly_also_after_a_restart(strategy, conditional, run, limit):
    job = run(strategy, conditional, max_trials=limit)
    assert len(job.ask(100)) == limit
    assert job.oracle.finished
    job.reborn()
    assert job.oracle.finished
    assert job.ask(100) == []
    job.reborn(max_trials=limit + 2)
    assert len(job.ask(100)) == 2


@every_strategy
def test_the_plan_is_what_happens(strategy, small, run):
    for limit in (None, 3, 1000):
        trials = run(strategy, small, max_trials=limit).to_the_end(
            lambda proposal: sum(proposal.values["units"]), parallel=3
        )
        assert len(trials) == plan(strategy, small, limit, 9).trials


@every_strategy
@pytest.mark.parametrize("state", [{"weights": [1, 2]}, [1], "later"])
def test_a_saved_state_of_another_version_is_refused(strategy, conditional, state):
    with pytest.raises(Unreadable, match="cannot read the saved state of the search: "):
        create_oracle(strategy, conditional, "min", 1, 5, 9, state=state)


@every_strategy
def test_a_key_is_told_once_and_only_if_it_was_asked_for(strategy, conditional, run):
    job = run(strategy, conditional, max_trials=5)
    with pytest.raises(NotFound):
        job.oracle.tell("random-99", 1.0)
    (proposal,) = job.ask()
    job.tell(proposal.key, 1.0)
    with pytest.raises(Conflict):
        job.oracle.tell(proposal.key, 1.0)
    job.reborn()
    with pytest.raises(Conflict):
        job.oracle.tell(proposal.key, 1.0)


@every_strategy
def test_a_trial_from_elsewhere_is_learned_from_and_uses_up_nothing(strategy, conditional, run):
    job = run(strategy, conditional, max_trials=5)
    elsewhere = Observation("user-1", conditional.check({"units": 999}), None, running=True)
    job.oracle.add(elsewhere)
    job.rows["user-1"] = elsewhere
    job.reborn()
    job.tell("user-1", 0.5)
    assert len(job.ask(100)) == 5
    with pytest.raises(Conflict, match="kept for"):
        job.oracle.add(Observation(f"{strategy.name}-77", elsewhere.values, 1.0))
    with pytest.raises(Conflict, match="known already"):
        job.oracle.add(elsewhere)


@pytest.mark.parametrize("strategy", STRATEGIES[1:], ids=lambda s: s.name)
def test_values_that_are_known_from_elsewhere_are_not_proposed(strategy, small, run):
    fresh = run(strategy, small).to_the_end(lambda proposal: 1.0)
    known = [
        Observation(f"user-{number}", proposal.values, 1.0)
        for number, proposal in enumerate(fresh[:5])
        if proposal.parent is None
    ]
    oracle = create_oracle(strategy, small, "min", 1, None, 9, history=known)
    drawn = [p for p in oracle.ask(100) if p.parent is None]
    assert drawn
    assert not [p for p in drawn for past in known if p.values == past.values]


@every_strategy
def test_a_space_without_anything_to_tune_is_one_trial(strategy, run):
    space = load_space({"units": 32}, "mlp")
    if strategy.name == "manual":
        strategy = Manual(trials=({},))
    trials = run(strategy, space).to_the_end(lambda proposal: 1.0)
    assert [p.values for p in trials if p.parent is None] == [space.resolve({})]
    assert len(trials) == plan(strategy, space, None, 9).trials


@every_strategy
def test_no_file_is_written(strategy, conditional, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(strategy, conditional, max_trials=6).to_the_end(score)
    assert list(tmp_path.iterdir()) == []


def test_only_the_strategies_that_need_them_import_heavy_libraries():
    program = """
import sys
from models.oracles import create, schema
from models.oracles.strategy import Manual, Grid, plan
from models.space.schema import load_space
space = load_space({"units": {"type": "choice", "values": [1, 2]}}, "mlp")
plan(Grid(), space, None, 10)
create.create_oracle(Manual(({},)), space, "min", 1, None, 10).ask(1)
create.create_oracle(Grid(), space, "min", 1, None, 10).ask(1)
assert not {"keras_tuner", "tensorflow", "keras", "sklearn"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@every_strategy
@pytest.mark.parametrize("is_running", [False, True])
def test_a_discarded_trial_is_not_proposed_again_and_leaves_the_others_their_number(
    strategy, small, run, is_running
):
    job = run(strategy, small, max_trials=5)
    first, second = job.ask(2)
    job.tell(second.key, 1.0)
    if not is_running:
        job.tell(first.key, 0.0)
    job.discard(first.key)
    proposals = job.to_the_end(lambda proposal: sum(proposal.values["units"]))
    assert len(proposals) == 6
    assert first.values not in [proposal.values for proposal in proposals[1:]]


@pytest.mark.parametrize("strategy", STRATEGIES[:4], ids=lambda s: s.name)
def test_a_discarded_score_teaches_nothing(strategy, compact, run):
    """What follows is the same, whatever the score was."""

    def following(discarded):
        job = run(strategy, compact, max_trials=6)
        first, *others = job.ask(3)
        for number, proposal in enumerate(others):
            job.tell(proposal.key, float(number))
        if discarded is not None:
            job.tell(first.key, discarded)
        job.discard(first.key)
        return [proposal.values for proposal in job.to_the_end(lambda proposal: 1.0)]

    assert following(-1e9) == following(1e9) == following(None)
