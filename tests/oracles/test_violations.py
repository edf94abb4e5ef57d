"""A trial that violates constraints is worse than all that keep them."""

import pytest

from models.oracles.create import create_oracle
from models.oracles.oracle import Observation
from models.oracles.strategy import TPE, Hyperband
from models.space.schema import load_space

PLANE = {"l2": {"type": "float", "min": 0.0, "max": 1.0}}


def test_hyperband_continues_the_trials_that_keep_the_constraints(run):
    job = run(Hyperband(max_epochs=3), load_space(PLANE, "mlp"))
    first = job.ask(3)
    for place, proposal in enumerate(first):
        job.oracle.tell(proposal.key, float(place), violation=0.0 if place == 2 else 1.0)
    assert job.ask(1)[0].parent == first[2].key


@pytest.mark.parametrize("strategy", [TPE(num_initial_points=4)], ids=lambda s: s.name)
def test_a_search_leaves_the_region_that_violates(strategy, run):
    """The score alone would lead to l2 = 1, where the constraint l2 <= 0.5 does not hold."""
    job = run(strategy, load_space(PLANE, "mlp"), max_trials=40)
    while proposals := job.ask(1):
        value = proposals[0].values["l2"]
        job.oracle.tell(proposals[0].key, -value, violation=max(0.0, value - 0.5))
    late = [proposal.values["l2"] for proposal in job.proposals[20:]]
    assert sum(value <= 0.55 for value in late) > len(late) / 2


def test_hyperband_continues_a_violating_trial_before_a_failed_one(run):
    job = run(Hyperband(max_epochs=3), load_space(PLANE, "mlp"))
    first = job.ask(3)
    for proposal, score in zip(first, (None, 9.0, None), strict=True):
        job.oracle.tell(proposal.key, score, violation=2.0)
    assert job.ask(1)[0].parent == first[1].key


def test_tpe_finds_the_front_of_two_objectives(run):
    """By x and (x - 1)² the front is the whole range; by -x and -x alone it is one end."""

    def late(losses):
        job = run(TPE(num_initial_points=5), load_space(PLANE, "mlp"), max_trials=40)
        while proposals := job.ask(1):
            value = proposals[0].values["l2"]
            first, second = losses(value)
            job.oracle.tell(proposals[0].key, first, losses=(first, second))
        return [proposal.values["l2"] for proposal in job.proposals[20:]]

    both = late(lambda x: (x, (x - 1) ** 2))
    assert min(both) < 0.3
    assert max(both) > 0.7
    ends = late(lambda x: (-x, -x))
    assert sum(value > 0.7 for value in ends) > len(ends) / 2


def test_tpe_of_two_objectives_continues_from_its_history(run):
    job = run(TPE(num_initial_points=3), load_space(PLANE, "mlp"), max_trials=12)
    seen = []
    for _ in range(8):
        (proposal,) = job.ask(1)
        value = proposal.values["l2"]
        job.oracle.tell(proposal.key, value, losses=(value, -value))
        seen.append(Observation(proposal.key, proposal.values, value, losses=(value, -value)))
    space = load_space(PLANE, "mlp")
    again = create_oracle(TPE(num_initial_points=3), space, "min", 1, 12, 9, {}, seen)
    assert again.ask(1)[0].values == job.ask(1)[0].values
