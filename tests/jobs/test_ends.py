"""How searches end, over a real store and real oracles: limits and finishing."""

from collections.abc import Callable

import pytest

from models.errors import Conflict, Invalid
from models.jobs.commands import JobCommands
from models.jobs.model import JobState, TrialState
from models.jobs.reader import JobReader
from models.jobs.schema.spec import JobSpecSchema, dump_spec, load_spec
from models.jobs.spec import Budget
from models.oracles.strategy import Hyperband, Random
from models.trials.spec import Failure, FailureKind
from tests.jobs.steps import Work, best_trial, manual, next_trial, present, scored

SPACE = {
    "units": {"type": "choice", "values": [8, 16, 32]},
    "learning_rate": {"type": "float", "min": 1e-4, "max": 1e-1, "sampling": "log"},
}
RANDOM = {"strategy": Random(), "space": SPACE}
FAILURE = Failure(FailureKind.DIVERGED, "no")


def fail(work: Work, count: int) -> None:
    for _ in range(count):
        work.search.failed(next_trial(work.search).number, FAILURE)


def states(work: Work) -> list[TrialState]:
    return [trial.state for trial in work.trials()]


def run_out_of_time(work: Work) -> None:
    """End the search as its time does, while trials run."""
    changes = work.held.job().changes
    assert work.held.end_search("max_seconds", 5.0, changes, (TrialState.WAITING,))


# Failed trials


@pytest.mark.parametrize(
    ("limit", "ended", "allowed"),
    [(3, 1000, 3), (1, 1, 1), (0.5, 5, 10), (0.5, 20, 10), (0.5, 500, 250), (0.1, 99, 10)],
)
def test_failures_are_limited_by_number_or_share(limit: float, ended: int, allowed: float) -> None:
    assert Budget(1, max_failed_trials=limit).failures_allowed(ended) == allowed


def test_a_long_search_outlives_ten_failures_and_ends_when_half_of_it_failed(begin_work) -> None:
    work = begin_work(60, **RANDOM, budget={"max_trials": 60})
    work.train(15)
    fail(work, 14)
    assert work.search.stop_reason() is None
    fail(work, 1)
    assert work.search.stop_reason() == "max_failed_trials"


def test_ten_failures_end_a_search_without_a_score(begin_work) -> None:
    work = begin_work(60, **RANDOM, budget={"max_trials": 60})
    fail(work, 9)
    assert work.search.stop_reason() is None
    fail(work, 1)
    assert work.search.stop_reason() == "max_failed_trials"


def test_a_stored_job_keeps_its_number_of_failed_trials(make_spec) -> None:
    document = dump_spec(make_spec(budget={"max_failed_trials": 10}))
    assert load_spec(document, "it").budget.max_failed_trials == 10
    share = dump_spec(make_spec(budget={"max_failed_trials": 0.25}))
    assert share["budget"]["max_failed_trials"] == 0.25
    assert load_spec(share, "it").budget.max_failed_trials == 0.25


def test_a_share_is_the_default_of_a_request() -> None:
    request = {"model": "m", "dataset": "ds_1", "target": "t"}
    assert JobSpecSchema().load(request).budget.max_failed_trials == 0.5
    whole = JobSpecSchema().load(request | {"budget": {"max_failed_trials": 1.0}})
    assert whole.budget.max_failed_trials == 1


# The best trial


@pytest.mark.parametrize("executions", [1, 2])
def test_a_stopped_trial_ranks_by_its_score_unless_it_was_scored_on_fewer_runs(
    begin_work, reader: JobReader, executions: int
) -> None:
    work = begin_work(strategy=manual(3), executions=executions)
    for score, stopped in ((0.4, True), (0.5, False), (0.3, True)):
        work.search.completed(next_trial(work.search).number, scored(score, stopped=stopped))
    expected = 3 if executions == 1 else 2
    assert best_trial(work.search).number == expected
    assert present(reader.best_trial(reader.get(work.job))).number == expected


# Lower limits


@pytest.fixture
def spent(begin_work) -> Work:
    """A job that has trained two trials, runs a third, and has had three failures of 5 seconds."""
    work = begin_work(20, **RANDOM, budget={"max_trials": 20, "max_seconds": 100.0})
    work.train(2)
    fail(work, 3)
    next_trial(work.search)
    work.held.release(5.0)
    return work


@pytest.mark.parametrize(
    ("limits", "path", "text"),
    [
        ({"max_trials": 4}, "budget.max_trials", "at least 5: so many trials have begun"),
        ({"max_trials": None}, "budget.max_trials", "random needs a number"),
        ({"max_failed_trials": 2}, "budget.max_failed_trials", "3 of 5 trials failed"),
        ({"max_seconds": 4.5}, "budget.max_seconds", "at least 5: so many seconds are spent"),
    ],
    ids=str,
)
def test_no_limit_can_be_below_what_is_spent(
    spent: Work, commands: JobCommands, reader: JobReader, limits, path: str, text: str
) -> None:
    before = reader.get(spent.job)
    with pytest.raises(Invalid) as refusal:
        commands.change(spent.job, {"epochs": 4} | limits)
    assert list(refusal.value.errors) == [path]
    assert text in refusal.value.errors[path][0]
    assert reader.get(spent.job) == before


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"max_trials": 5}, "max_trials"),
        ({"max_failed_trials": 3}, "max_failed_trials"),
        ({"max_seconds": 5.0}, "max_seconds"),
        ({"target_score": 2.0}, "target"),
    ],
    ids=str,
)
def test_a_limit_lowered_to_what_is_spent_ends_the_search(
    spent: Work, commands: JobCommands, take_up_work, limits, reason: str
) -> None:
    commands.change(spent.job, limits)
    work = take_up_work("worker-2")
    assert work.search.next_trials(1) == []
    assert work.search.stop_reason() == reason


def test_a_live_search_begins_no_trial_beyond_a_lowered_limit(
    begin_work, commands: JobCommands, take_up_work
) -> None:
    work = begin_work(9, **RANDOM, budget={"max_trials": 9})
    work.train(2)
    work.search.look_ahead(3)
    work.search.take_proposals(wait=True)
    assert states(work)[2:] == [TrialState.WAITING] * 3
    job = commands.change(work.job, {"max_trials": 3})
    assert job.planned_trials == 3
    work.search.take_changes(job)
    assert len(work.train()) == 1
    assert work.search.stop_reason() == "max_trials"
    work.end()
    assert states(work)[3:] == [TrialState.CANCELLED] * 2
    commands.change(work.job, {"max_trials": 5})
    assert [spec.number for spec in take_up_work("worker-2").train()] == [4, 5]


def test_epochs_can_be_lowered_for_the_trials_that_follow(begin_work, commands) -> None:
    work = begin_work(3, **RANDOM, budget={"max_trials": 3, "epochs": 8})
    work.train(1)
    work.search.take_changes(commands.change(work.job, {"epochs": 2}))
    assert [spec.epochs for spec in work.train()] == [2, 2]


def test_hyperband_takes_fewer_trials_and_more_again(
    begin_work, commands: JobCommands, take_up_work
) -> None:
    work = begin_work(15, strategy=Hyperband(max_epochs=4, factor=2), space=SPACE)
    whole = begin_work(15, strategy=Hyperband(max_epochs=4, factor=2), space=SPACE, seed=3)
    expected = [spec.values for spec in whole.train()]
    whole.end()
    begun = work.train(4)
    job = commands.change(work.job, {"max_trials": 6})
    assert job.planned_trials == 6
    work.search.take_changes(job)
    begun += work.train()
    assert (len(begun), work.search.stop_reason()) == (6, "max_trials")
    work.end()
    commands.change(work.job, {"max_trials": 15})
    begun += take_up_work("worker-2").train()
    assert [spec.values for spec in begun] == expected


def test_an_ended_search_goes_on_only_with_more_of_what_ended_it(begin_work, commands) -> None:
    work = begin_work(3, **RANDOM, budget={"max_trials": 3})
    work.train()
    work.end()
    for limits in ({"max_trials": 3}, {"max_failed_trials": 2}, {"max_seconds": 1000.0}):
        with pytest.raises(Conflict, match=r"raise budget\.max_trials"):
            commands.change(work.job, limits)


# The end by time


def test_what_ran_when_the_worker_died_at_the_end_is_cut_off_and_costs_no_retry(
    begin_work, take_up_work, commands: JobCommands, crash: Callable[[], None]
) -> None:
    work = begin_work(3, **RANDOM, budget={"max_trials": 3, "max_seconds": 5.0})
    work.train(1)
    next_trial(work.search)
    run_out_of_time(work)
    assert states(work)[1] == TrialState.RUNNING
    crash()
    again = take_up_work("worker-2")
    assert states(again)[:2] == [TrialState.COMPLETED, TrialState.CANCELLED]
    assert again.trials()[1].retries == 0
    assert best_trial(again.search).number == 1
    again.held.finish(JobState.SUCCEEDED)
    commands.change(work.job, {"max_seconds": 1000.0})
    assert [spec.number for spec in take_up_work("worker-3").train()] == [2, 3]


# To finish


@pytest.mark.parametrize("state", ["running", "paused", "queued"])
def test_a_live_job_is_finished_once(
    begin_work, commands: JobCommands, reader: JobReader, take_up_work, state: str
) -> None:
    work = begin_work(9, **RANDOM, budget={"max_trials": 9})
    work.train(2)
    if state != "running":
        commands.pause(work.job)
        work.held.release(1.0)
    if state == "queued":
        commands.resume(work.job)
    job = commands.finish(work.job)
    expected = JobState.RUNNING if state == "running" else JobState.QUEUED
    assert (job.state, job.stop_reason, job.changes) == (expected, "finish", 1)
    assert commands.finish(work.job) == job
    with pytest.raises(Conflict, match="ended by finish"):
        commands.enqueue(work.job, {})
    if state == "running":
        assert not work.held.end_search("max_trials", 1.0, changes=0)
        work.held.release(1.0)
    again = take_up_work("worker-2")
    assert again.held.job().stop_reason == "finish"
    assert set(states(again)) <= {TrialState.COMPLETED, TrialState.CANCELLED}


@pytest.mark.parametrize("state", ["queued", "cancelling", "cancelled"])
def test_a_job_without_a_score_to_come_cannot_be_finished(
    begin_work, queued, commands: JobCommands, reader: JobReader, state: str
) -> None:
    if state == "queued":
        identity = queued().id
    else:
        work = begin_work()
        identity = work.job
        work.train(1)
        commands.cancel(identity)
        if state == "cancelled":
            work.held.finish(JobState.CANCELLED)
    before = reader.get(identity)
    with pytest.raises(Conflict, match="No trial" if state == "queued" else state):
        commands.finish(identity)
    assert reader.get(identity) == before


def test_a_search_that_was_to_finish_goes_on_with_another_budget(begin_work, commands) -> None:
    work = begin_work(9, **RANDOM, budget={"max_trials": 9})
    work.train(1)
    commands.finish(work.job)
    job = commands.change(work.job, {"max_trials": 3})
    assert (job.state, job.stop_reason) == (JobState.RUNNING, None)
    work.search.take_changes(job)
    assert len(work.train()) == 2
