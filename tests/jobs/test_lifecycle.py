import itertools

import pytest

from models.errors import Conflict
from models.jobs.lifecycle import (
    JOB_TRANSITIONS,
    TRIAL_TRANSITIONS,
    JobState,
    TrialState,
    check_job_transition,
    sources_of,
)

LEGAL_FOR_JOBS = {
    ("queued", "running"),
    ("queued", "paused"),
    ("queued", "cancelling"),
    ("queued", "cancelled"),
    ("running", "paused"),
    ("running", "cancelling"),
    ("running", "succeeded"),
    ("running", "failed"),
    ("paused", "queued"),
    ("paused", "cancelling"),
    ("paused", "cancelled"),
    ("cancelling", "cancelled"),
    ("succeeded", "queued"),
    ("failed", "queued"),
}
LEGAL_FOR_TRIALS = {
    ("waiting", "running"),
    ("waiting", "cancelled"),
    ("running", "waiting"),
    ("running", "completed"),
    ("running", "stopped"),
    ("running", "failed"),
    ("running", "cancelled"),
    ("cancelled", "waiting"),
}


@pytest.mark.parametrize(("current", "target"), list(itertools.product(JobState, JobState)))
def test_only_these_changes_of_a_job_are_legal(current: JobState, target: JobState) -> None:
    if (current, target) in LEGAL_FOR_JOBS:
        check_job_transition("job_1", current, target)
    else:
        with pytest.raises(Conflict, match=f"job_1 is {current}; it cannot become {target}"):
            check_job_transition("job_1", current, target)


@pytest.mark.parametrize(("current", "target"), list(itertools.product(TrialState, TrialState)))
def test_only_these_changes_of_a_trial_are_legal(current: TrialState, target: TrialState) -> None:
    assert (current in sources_of(target)) == ((current, target) in LEGAL_FOR_TRIALS)


@pytest.mark.parametrize("table", [JOB_TRANSITIONS, TRIAL_TRANSITIONS])
def test_every_state_is_in_the_table_and_an_ended_one_can_only_begin_again(table) -> None:
    states = type(next(iter(table)))
    assert set(table) == set(states)
    first = next(iter(states))
    for state, targets in table.items():
        assert not state.is_final or targets <= {first}


@pytest.mark.parametrize("table", [JOB_TRANSITIONS, TRIAL_TRANSITIONS])
def test_from_every_state_an_end_can_be_reached(table) -> None:
    ended = {state for state in table if state.is_final}
    while more := {state for state in table if table[state] & ended} - ended:
        ended |= more
    assert ended == set(table)
