import math
import random
from collections import Counter

import pytest

from models.errors import Invalid, Unreadable
from models.oracles.create import create_oracle
from models.oracles.oracle import Observation
from models.oracles.strategy import Hyperband, hyperband_schedule, plan
from models.space.schema import load_space

LINE = {"learning_rate": {"type": "float", "min": 1e-5, "max": 1e-1, "sampling": "log"}}


@pytest.fixture
def line():
    return load_space(LINE, "mlp")


def score(proposal):
    return abs(math.log10(proposal.values["learning_rate"]) + 3) + 1 / proposal.epochs


def rungs(trials):
    """How many trials were trained from which epoch to which."""
    return Counter((trial.initial_epoch, trial.epochs) for trial in trials)


def planned_rungs(strategy, epochs, size=None):
    counts: Counter[tuple[int, int]] = Counter()
    for rung in hyperband_schedule(strategy, epochs, size):
        counts[rung.initial_epoch, rung.epochs] += rung.trials
    return counts


@pytest.mark.parametrize("parallel", [1, 4])
@pytest.mark.parametrize(
    ("max_epochs", "factor", "iterations"),
    [(2, 2, 1), (2, 3, 2), (4, 2, 2), (9, 3, 1), (10, 3, 2), (27, 3, 1), (25, 5, 1), (81, 3, 1)],
)
def test_the_schedule_is_the_one_planned(line, run, max_epochs, factor, iterations, parallel):
    strategy = Hyperband(max_epochs, factor, iterations)
    trials = run(strategy, line).to_the_end(score, parallel=parallel)
    assert rungs(trials) == planned_rungs(strategy, 10)
    assert len(trials) == plan(strategy, line, None, 10).trials


def test_the_known_schedule_of_81_epochs(line):
    planned = plan(Hyperband(max_epochs=81), line, 1000, 10)
    first = [(r.trials, r.initial_epoch, r.epochs) for r in planned.schedule if r.bracket == 4]
    assert first == [(81, 0, 1), (27, 1, 3), (9, 3, 9), (3, 9, 27), (1, 27, 81)]
    assert planned.trials == sum(rung.trials for rung in planned.schedule)
    assert plan(Hyperband(max_epochs=81), line, 20, 10).trials == 20


def test_epochs_default_to_the_budget(line, run):
    trials = run(Hyperband(), line, epochs=9).to_the_end(score)
    assert max(trial.epochs for trial in trials) == 9
    assert rungs(trials) == planned_rungs(Hyperband(), 9)


@pytest.mark.parametrize("direction", ["min", "max"])
@pytest.mark.parametrize("parallel", [1, 4])
def test_a_promotion_continues_one_of_the_best_of_the_round_before(line, run, direction, parallel):
    sign = 1 if direction == "min" else -1
    job = run(Hyperband(max_epochs=27), line, direction=direction)
    trials = job.to_the_end(lambda proposal: sign * score(proposal), parallel=parallel)
    by_key = {trial.key: trial for trial in trials}
    promoted = [trial for trial in trials if trial.parent]
    assert promoted
    assert len({trial.parent for trial in promoted}) == len(promoted)
    for trial in promoted:
        parent = by_key[trial.parent]
        assert trial.values == parent.values
        assert trial.initial_epoch == parent.epochs < trial.epochs
    # The first bracket starts with 27 trials, of which 9, then 3, then 1 go on.
    rung = trials[:27]
    first = sorted(rung, key=score)[:9]
    assert {t.parent for t in promoted if t.parent in {r.key for r in rung}} == {
        trial.key for trial in first
    }


@pytest.mark.parametrize("parallel", [1, 4])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 1.0])
def test_failed_trials_are_never_continued_and_do_not_stop_the_schedule(line, run, share, parallel):
    for seed in range(3):
        dice = random.Random(seed)
        failed: set[str] = set()

        def fails(proposal, dice=dice, failed=failed):
            if dice.random() < share:
                failed.add(proposal.key)
            return proposal.key in failed

        job = run(Hyperband(max_epochs=9, iterations=2), line, seed=seed)
        trials = job.to_the_end(score, parallel=parallel, fails=fails, seed=seed)
        assert not failed & {trial.parent for trial in trials}
        planned = planned_rungs(Hyperband(max_epochs=9, iterations=2), 9)
        found = rungs(trials)
        assert all(found[rung] <= planned[rung] for rung in found)
        # What draws new values is never cut short.
        for rung in planned:
            if rung[0] == 0:
                assert found[rung] == planned[rung]
        if share <= 0.1:
            assert found[3, 9] > 0


def test_a_score_that_is_not_finite_is_a_failed_trial(line, run):
    for direction, flattering in (("min", -math.inf), ("max", math.inf)):
        job = run(Hyperband(max_epochs=9), line, direction=direction)
        bad = {"hyperband-0", "hyperband-1"}
        trials = job.to_the_end(
            lambda p, bad=bad, flattering=flattering: flattering if p.key in bad else score(p)
        )
        assert not bad & {trial.parent for trial in trials}


def test_a_small_space_is_not_drawn_from_twice_and_still_promotes(small, run):
    strategy = Hyperband(max_epochs=27)
    for parallel in (1, 5):
        trials = run(strategy, small).to_the_end(
            lambda proposal: sum(proposal.values["units"]) / proposal.epochs, parallel=parallel
        )
        drawn = [trial for trial in trials if trial.parent is None]
        assert len({str(trial.values) for trial in drawn}) == len(drawn) == small.size()
        assert rungs(trials) == planned_rungs(strategy, 10, small.size())
        assert max(trial.epochs for trial in trials) == 27


@pytest.mark.parametrize("seed", range(5))
def test_empty_places_outlive_a_restart(small, run, seed):
    """Few values, many failures: most places of the brackets are empty."""
    steady, restarted = (run(Hyperband(max_epochs=27), small, seed=seed) for _ in range(2))
    dice = random.Random(seed)
    while not steady.oracle.finished:
        n = dice.randint(1, 5)
        assert restarted.ask(n) == steady.ask(n)
        restarted.reborn()
        for key in steady.running():
            if dice.random() < 0.7:
                result = None if dice.random() < 0.4 else dice.random()
                steady.tell(key, result)
                restarted.tell(key, result)
                restarted.reborn()
    assert len(steady.proposals) > small.size()


def test_it_waits_for_running_trials_before_it_promotes(line):
    oracle = create_oracle(Hyperband(max_epochs=3, factor=3), line, "min", 1, None, 9)
    asked = oracle.ask(100)
    assert oracle.ask(1) == []
    assert not oracle.finished
    assert all(proposal.parent is None for proposal in asked)
    for proposal in asked:
        oracle.tell(proposal.key, score(proposal))
    (promoted,) = oracle.ask(100)
    assert promoted.parent is not None
    assert oracle.ask(1) == []
    oracle.tell(promoted.key, 0.1)
    assert oracle.ask(1) == []
    assert oracle.finished


def test_a_history_without_its_state_is_refused(line):
    past = Observation("hyperband-0", line.check({}), 1.0)
    with pytest.raises(Unreadable, match="saved state of the search: It is missing"):
        create_oracle(Hyperband(), line, "min", 1, None, 9, history=[past])


PLACE = {"past_id": None, "id": "hyperband-0"}
ROUNDS = {
    "brackets": [{"bracket_num": 2, "rounds": [[PLACE], [], []]}],
    "current_bracket": 2,
    "current_iteration": 0,
}
STATE = {"next": 1, "rounds": ROUNDS}


def restored(state, space):
    """Go on from `state` and its history of one trial until nothing is left."""
    past = Observation("hyperband-0", space.check({}), 1.0)
    strategy = Hyperband(max_epochs=9)
    oracle = create_oracle(strategy, space, "min", 1, None, 9, state=state, history=[past])
    while proposals := oracle.ask(100):
        for proposal in proposals:
            oracle.tell(proposal.key, 1.0)
    assert oracle.finished


def test_a_saved_state_of_this_form_is_restored(line):
    restored(STATE, line)


@pytest.mark.parametrize(
    ("state", "field"),
    [
        ("nothing", "_schema"),
        ([STATE], "_schema"),
        ({"next": 1}, "rounds"),
        ({"rounds": ROUNDS}, "next"),
        (STATE | {"next": "1"}, "next"),
        (STATE | {"next": None}, "next"),
        (STATE | {"next": -1}, "next"),
        (STATE | {"version": 2}, "version"),
        (STATE | {"rounds": None}, "rounds"),
        (STATE | {"rounds": []}, "rounds"),
        (STATE | {"rounds": ROUNDS | {"brackets": None}}, "rounds.brackets"),
        (STATE | {"rounds": ROUNDS | {"brackets": {"2": []}}}, "rounds.brackets"),
        (STATE | {"rounds": ROUNDS | {"current_bracket": 7}}, "rounds"),
        (STATE | {"rounds": ROUNDS | {"current_bracket": 1.5}}, "rounds.current_bracket"),
        (STATE | {"rounds": ROUNDS | {"current_iteration": 1}}, "rounds.current_iteration"),
        (STATE | {"rounds": ROUNDS | {"rungs": []}}, "rounds.rungs"),
        (STATE | {"rounds": {"brackets": ROUNDS["brackets"]}}, "rounds.current_bracket"),
    ],
)
def test_a_saved_state_that_cannot_be_restored_is_told_with_the_field(line, state, field):
    with pytest.raises(Unreadable, match=rf"cannot read the saved state of the search: .*{field}"):
        restored(state, line)


@pytest.mark.parametrize(
    ("bracket", "field"),
    [
        (None, "brackets.0"),
        ([PLACE], "brackets.0"),
        ({"bracket_num": 2}, "brackets.0.rounds"),
        ({"bracket_num": "2", "rounds": [[PLACE], [], []]}, "brackets.0.bracket_num"),
        ({"bracket_num": 2, "rounds": []}, "brackets.0.rounds"),
        ({"bracket_num": 2, "rounds": [[PLACE]]}, "brackets.0.rounds"),
        ({"bracket_num": 9, "rounds": [[PLACE]] * 10}, "There are only 3 brackets"),
        ({"bracket_num": 2, "rounds": [PLACE, [], []]}, "brackets.0.rounds.0"),
        ({"bracket_num": 2, "rounds": [["hyperband-0"], [], []]}, "brackets.0.rounds.0.0"),
        ({"bracket_num": 2, "rounds": [[{"id": 3, "past_id": None}], [], []]}, "rounds.0.0.id"),
        ({"bracket_num": 2, "rounds": [[{"id": "hyperband-0"}], [], []]}, "rounds.0.0.past_id"),
    ],
)
def test_a_saved_bracket_that_cannot_be_restored_is_told_with_the_field(line, bracket, field):
    state = STATE | {"rounds": ROUNDS | {"brackets": [bracket]}}
    with pytest.raises(Unreadable, match=rf"saved state of the search: .*{field}"):
        restored(state, line)


def test_trials_of_a_schedule_that_do_not_fit_the_space_are_told(line):
    past = Observation("hyperband-0", {"units": "many"}, 1.0)
    with pytest.raises(Unreadable, match="trial 'hyperband-0'"):
        create_oracle(Hyperband(max_epochs=9), line, "min", 1, None, 9, STATE, [past])


@pytest.mark.parametrize(("min_epochs", "shortest"), [(1, 1), (2, 3), (3, 3), (4, 9), (27, 27)])
def test_no_training_is_shorter_than_min_epochs(run, line, min_epochs, shortest):
    strategy = Hyperband(max_epochs=27, min_epochs=min_epochs)
    trials = run(strategy, line).to_the_end(score, parallel=2)
    assert min(trial.epochs for trial in trials) == shortest
    assert rungs(trials) == planned_rungs(strategy, 9)


def test_the_shortest_training_is_at_most_the_longest(line):
    with pytest.raises(Invalid, match="Must be at most 9"):
        plan(Hyperband(min_epochs=10), line, None, 9)
