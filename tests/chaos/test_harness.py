"""The harness itself: plans follow from seeds, tables count, a growing measure is seen."""

import os
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.__main__ import in_lanes
from tests.chaos.plan import DATABASES, KINDS, plan_round
from tests.chaos.rounds import Known, Outcome
from tests.chaos.soak import rendered as rendered_soak
from tests.chaos.table import described, read_json, rendered, write_json
from tests.chaos.watch import WatchedJob

SEEDS = range(1, 301)
ENDED = {
    name: None
    for name in (
        *("values", "metrics", "history", "epochs", "retries", "failure", "started", "finished"),
        *("seconds", "parent", "folds"),
    )
}


def test_a_seed_always_gives_the_same_round() -> None:
    assert [plan_round(seed) for seed in SEEDS] == [plan_round(seed) for seed in SEEDS]


def test_all_faults_and_all_strategies_come_up() -> None:
    plans = [plan_round(seed) for seed in SEEDS]
    local = {fault.kind for plan in plans for fault in plan.faults}
    over_ray = [plan_round(seed, executor="ray") for seed in SEEDS]
    assert local == set(KINDS) - {"slot_kill", "node_kill"}
    assert {fault.kind for plan in over_ray for fault in plan.faults} == set(KINDS)
    assert {plan.database for plan in plans} == set(DATABASES)
    assert len({job.strategy for plan in plans for job in plan.jobs}) == 5


def test_every_round_is_in_one_lane_with_those_of_its_database() -> None:
    plans = [plan_round(seed) for seed in SEEDS]
    lanes = in_lanes(plans, 3)
    assert len(lanes) == 3
    assert sorted(plan.seed for _, own in lanes for plan in own) == list(SEEDS)
    assert all(plan.database == name for name, own in lanes for plan in own)


def outcome(**breaches: list[str]) -> Outcome:
    return Outcome(plan_round(7, "sqlite"), 1.0, ["child_kill"], [], 1, {}, {}, breaches, "/kept")


def test_a_breach_is_counted_and_told_with_its_seed() -> None:
    broken = outcome(lost=["trial 3 is lost"])
    assert "| fault: child kill | 2 |" in (table := rendered([outcome(), broken]))
    assert "| breaches: a trial is `lost` only where something died | 1 |" in table
    assert "| breaches: no ended trial changed | 0 |" in table
    assert "BREACH lost: trial 3 is lost" in described(broken)
    assert described(broken).endswith("--rounds 1 --seed 7 --database sqlite")
    over_ray = replace(broken, plan=plan_round(7, "sqlite", "ray"))
    assert described(over_ray).endswith("--seed 7 --database sqlite --executor ray")


def test_rounds_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    made = [replace(outcome(lost=["trial 3"]), statuses={200: 7, 503: 1}), outcome()]
    made.append(replace(outcome(), plan=plan_round(9, "sqlite", "ray")))
    write_json(made, tmp_path / "rounds.json")
    assert read_json(tmp_path / "rounds.json") == made
    assert read_json(tmp_path / "none.json") == []


def test_what_one_round_left_is_no_breach_of_the_next() -> None:
    known = Known()
    assert known.new("files", ["a"]) == ["a"]
    assert known.new("files", ["a", "b"]) == ["b"]


def test_a_change_of_an_ended_trial_is_seen() -> None:
    job = WatchedJob("job_1")
    running = {**ENDED, "number": 1, "state": "running", "score": None}
    ended = {**running, "state": "completed", "score": 0.5}
    for trials in ([running], [ended], [ended]):
        job.compare(trials)
    assert job.changed == []
    job.compare([{**ended, "score": 0.6}])
    assert job.changed == ["trial 1 of job_1 changed its score"]


@pytest.mark.parametrize(("step", "grown"), [(0.0, []), (5.0, ["memory: api"])])
def test_a_measure_that_grows_after_the_warm_up_is_named(step: float, grown: list[str]) -> None:
    samples = [
        (float(at), {"memory: api": 100.0 + max(0, at - 10) * step, "threads: api": 9.0})
        for at in range(40)
    ]
    table, names = rendered_soak(samples)
    assert names == grown
    assert "| threads: api | 9.0 | 9.0 | 9.0 | 0.0 | 3.0 |" in table


def test_a_clock_is_moved_without_a_change_of_types(tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    clock.write_bytes(struct.pack("d", -86400.0 * 3650))
    code = (
        "import pickle, time; from datetime import datetime, UTC; import pandas;"
        "found = pickle.loads(pickle.dumps(datetime.now(UTC)));"
        "assert type(found) is datetime and abs(found.timestamp() - time.time()) < 60;"
        "print(found.year, datetime(2020, 1, 1).year)"
    )
    path = os.pathsep.join([str(Path(__file__).parent / "service" / "clock"), *sys.path])
    variables = {**os.environ, "CHAOS_CLOCK": str(clock), "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True
    )
    year, other = map(int, done.stdout.split())
    assert other == 2020
    assert year < 2020
