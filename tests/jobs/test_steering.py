"""Trials of the user's own and larger budgets, over a real store and real oracles."""

from dataclasses import replace

import pytest
from marshmallow import ValidationError

from models.errors import Conflict
from models.jobs.commands import JobCommands
from models.jobs.model import Job, JobState, TrialState
from models.oracles.strategy import Bayesian, Grid, Hyperband, Manual, Random
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.trials.spec import Failure, FailureKind, TrialSpec
from tests.jobs.steps import Work, manual, next_trial, scored

SPACE = {
    "units": {"type": "choice", "values": [8, 16, 32]},
    "learning_rate": {"type": "float", "min": 1e-4, "max": 1e-1, "sampling": "log"},
}
COUNTABLE = {"units": {"type": "choice", "values": [8, 16, 32]}}
OWN = {"units": 24, "learning_rate": 0.5}
STRATEGIES = {
    "manual": Manual(({"units": 8}, {"units": 16}, {"units": 32})),
    "grid": Grid(points=1),
    "random": Random(),
    "bayesian": Bayesian(num_initial_points=2),
    "hyperband": Hyperband(max_epochs=4, factor=2),
}
every_strategy = pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)


@pytest.fixture
def steering(database: Database, artifacts: Artifacts) -> JobCommands:
    return JobCommands(database, artifacts)


def own(spec: TrialSpec) -> bool:
    return all(spec.values[name] == value for name, value in OWN.items())


@every_strategy
def test_own_trials_come_next_and_leave_the_strategy_its_share(
    begin_work, steering: JobCommands, strategy
) -> None:
    work = begin_work(3, strategy=strategy, space=SPACE, budget={"max_trials": 3})
    first = work.train(1)
    enqueued = steering.enqueue(work.job, [OWN, {}])
    assert [(trial.number, trial.state) for trial in enqueued] == [(2, "waiting"), (3, "waiting")]
    work.search.take_changes(work.held.job())
    rest = work.train()
    assert [own(spec) for spec in first + rest] == [False, True, False, False, False]
    assert work.search.stop_reason() == "max_trials"
    assert work.held.job().planned_trials == 5
    assert {trial.state for trial in work.trials()} == {TrialState.COMPLETED}


@pytest.mark.parametrize("strategy", ["grid", "random", "bayesian"])
def test_values_that_the_user_tries_are_not_proposed(
    begin_work, steering, take_up_work, strategy
) -> None:
    work = begin_work(3, strategy=STRATEGIES[strategy], space=COUNTABLE)
    steering.enqueue(work.job, {"units": 16})
    work.search.take_changes(work.held.job())
    assert work.train(1)[0].values["units"] == 16
    work.train()
    assert sorted(trial.values["units"] for trial in work.trials()) == [8, 16, 32]
    assert work.held.job().planned_trials == 4
    work.end()
    assert work.held.job().planned_trials == 3


def test_the_score_of_an_own_trial_draws_the_bayesian_oracle_to_it(begin_work, steering) -> None:
    def proposed(score: float) -> list[float]:
        work = begin_work(
            strategy=Bayesian(num_initial_points=3),
            space={"l2": {"type": "float", "min": 0.0, "max": 1.0}},
            budget={"max_trials": 5},
        )
        steering.enqueue(work.job, {"l2": 0.987})
        work.search.take_changes(work.held.job())
        trained = work.train(score=lambda spec: score if spec.number == 1 else spec.values["l2"])
        work.end(JobState.FAILED)
        return [spec.values["l2"] for spec in trained]

    good, bad = proposed(-50.0), proposed(50.0)
    assert good[:3] == bad[:3]
    assert good[3] > 0.9 > bad[3]


def test_own_values_are_checked_at_their_paths(queued, steering: JobCommands, reader) -> None:
    job = queued()
    with pytest.raises(ValidationError) as one:
        steering.enqueue(job.id, {"units": 0, "momentm": 1})
    assert set(one.value.messages_dict["values"]) == {"units", "momentm"}
    with pytest.raises(ValidationError) as several:
        steering.enqueue(job.id, [{}, {"learning_rate": -1}])
    assert set(several.value.messages_dict["trials"][1]) == {"learning_rate"}
    assert reader.trials(job) == []
    assert reader.get(job.id) == job


def test_own_trials_can_be_enqueued_before_a_worker_comes_and_during_a_pause(
    queued, steering: JobCommands, commands: JobCommands, take_up_work
) -> None:
    job = queued(3, strategy=manual(3))
    steering.enqueue(job.id, {"learning_rate": 0.7})
    commands.pause(job.id)
    steering.enqueue(job.id, {"learning_rate": 0.8})
    commands.resume(job.id)
    rates = [spec.values["learning_rate"] for spec in take_up_work().train()]
    assert rates[:2] == [0.7, 0.8]
    assert len(rates) == 5


@pytest.mark.parametrize("state", ["cancelled", "cancelling", "succeeded", "failed", "saving"])
def test_a_job_that_has_ended_takes_no_more_trials(
    begin_work, steering: JobCommands, commands: JobCommands, reader, state: str
) -> None:
    work = begin_work(1, strategy=manual(1))
    work.train()
    if state == "saving":
        work.held.end_search("exhausted", 1.0, 0)
    elif state.startswith("cancel"):
        commands.cancel(work.job)
        if state == "cancelled":
            work.held.finish(JobState.CANCELLED)
    else:
        work.end(JobState(state))
    with pytest.raises(Conflict, match="exhausted" if state == "saving" else state):
        steering.enqueue(work.job, {})
    assert len(reader.trials(reader.get(work.job))) == 1


def test_a_search_does_not_end_over_a_trial_that_it_has_not_seen(begin_work, steering) -> None:
    work = begin_work(1, strategy=manual(1))
    work.train()
    assert work.search.stop_reason() == "exhausted"
    steering.enqueue(work.job, {"learning_rate": 0.7})
    assert not work.held.end_search("exhausted", 1.0, changes=0)
    assert work.trials()[1].state == TrialState.WAITING
    with pytest.raises(Conflict, match="goes on"):
        work.held.finish(JobState.SUCCEEDED, changes=0)
    work.search.take_changes(work.held.job())
    assert len(work.train()) == 1


def test_own_trials_survive_their_worker(begin_work, take_up_work, steering: JobCommands) -> None:
    work = begin_work(3, strategy=Random(), space=SPACE, budget={"max_trials": 3})
    work.train(1)
    steering.enqueue(work.job, OWN)
    work.held.release(1.0)
    again = take_up_work("worker-2").train()
    assert [(spec.number, own(spec)) for spec in again] == [(2, True), (3, False), (4, False)]


@every_strategy
def test_initial_trials_come_first(
    commands: JobCommands, make_spec, take_up_work, strategy
) -> None:
    spec = make_spec(strategy=strategy, space=SPACE, budget={"max_trials": 2})
    commands.create(spec, 3, enqueued=[spec.space.check(OWN)])
    work = take_up_work()
    assert [own(spec) for spec in work.train()] == [True, False, False]


@every_strategy
def test_a_job_goes_on_as_if_its_budget_had_always_been_larger(
    begin_work, take_up_work, steering: JobCommands, commands: JobCommands, strategy
) -> None:
    plan = {"strategy": strategy, "space": SPACE}
    whole = begin_work(3, **plan, budget={"max_trials": 3, "epochs": 4})
    expected = [spec.values for spec in whole.train()]
    whole.end()
    work = begin_work(2, **plan, budget={"max_trials": 2, "epochs": 4})
    begun = work.train()
    work.end()
    job = steering.change(work.job, {"max_trials": 3})
    assert (job.state, job.planned_trials) == (JobState.QUEUED, 3)
    assert (job.stop_reason, job.finished, job.error) == (None, None, None)
    assert job.spec.budget.max_trials == 3
    work = take_up_work("worker-2")
    assert [spec.values for spec in begun + work.train()] == expected
    assert work.search.stop_reason() == "max_trials"
    work.end()
    assert work.held.job().state == JobState.SUCCEEDED


def test_a_live_job_takes_a_larger_budget_on(begin_work, steering: JobCommands) -> None:
    work = begin_work(2, strategy=Random(), space=SPACE, budget={"max_trials": 2})
    work.train()
    assert work.search.stop_reason() == "max_trials"
    job = steering.change(work.job, {"max_trials": 4, "epochs": 7})
    assert job.state == JobState.RUNNING
    assert not work.held.end_search("max_trials", 1.0, changes=0)
    work.search.take_changes(job)
    assert [(spec.number, spec.epochs) for spec in work.train()] == [(3, 7), (4, 7)]


def test_a_budget_raised_while_the_winner_is_saved_lets_the_search_go_on(
    begin_work, steering
) -> None:
    work = begin_work(1, strategy=Random(), space=SPACE, budget={"max_trials": 1})
    work.train()
    work.held.end_search("max_trials", 1.0, changes=0)
    job = steering.change(work.job, {"max_trials": 2})
    assert (job.state, job.stop_reason) == (JobState.RUNNING, None)
    with pytest.raises(Conflict, match="goes on"):
        work.held.finish(JobState.SUCCEEDED, changes=0)


def test_trials_that_the_end_cut_off_are_trained_when_the_job_goes_on(
    begin_work, take_up_work, steering: JobCommands
) -> None:
    work = begin_work(3, strategy=Grid(), space=COUNTABLE, budget={"target_score": 0.5})
    specs = [next_trial(work.search), next_trial(work.search)]
    work.search.completed(2, scored(0.4))
    work.end()
    states = [trial.state for trial in work.trials()]
    assert states == [TrialState.CANCELLED, TrialState.COMPLETED]
    steering.change(work.job, {"target_score": 0.1})
    work = take_up_work("worker-2")
    again = work.train(score=lambda spec: 1.0)
    assert again[0] == replace(specs[0], to_beat=0.4)
    assert sorted(trial.values["units"] for trial in work.trials()) == [8, 16, 32]


@pytest.mark.parametrize(
    ("budget", "limits"),
    [
        ({"target_score": 0.5}, {"target_score": 0.2}),
        ({"target_score": 0.5}, {"target_score": None}),
        ({"max_seconds": 1e-9}, {"max_seconds": 1000.0}),
        ({"max_seconds": 1e-9}, {"max_seconds": None}),
        ({"max_trials": 1}, {"max_trials": 2, "max_failed_trials": 11}),
        ({"max_trials": 1}, {"max_trials": None}),
        ({"max_failed_trials": 1}, {"max_failed_trials": 2}),
    ],
    ids=str,
)
def test_every_limit_that_ended_a_job_can_be_raised(
    begin_work, take_up_work, steering: JobCommands, budget, limits
) -> None:
    work = begin_work(3, strategy=manual(3), budget=budget)
    if "max_failed_trials" in budget:
        spec = next_trial(work.search)
        work.search.failed(spec.number, Failure(FailureKind.DIVERGED, "no"))
        work.end(JobState.FAILED)
    else:
        work.train(1, score=lambda spec: 0.4)
        work.end()
    assert steering.change(work.job, limits).state == JobState.QUEUED
    assert take_up_work("worker-2").train()


def test_a_limit_that_did_not_end_the_job_does_not_let_it_go_on(begin_work, steering) -> None:
    work = begin_work(1, strategy=Random(), space=SPACE, budget={"max_trials": 1})
    work.train()
    work.end()
    with pytest.raises(Conflict, match=r"ended by max_trials: raise budget\.max_trials"):
        steering.change(work.job, {"max_failed_trials": 20, "epochs": 9})
    assert work.held.job().state == JobState.SUCCEEDED


def test_a_strategy_that_has_no_more_cannot_go_on(begin_work, steering: JobCommands) -> None:
    work = begin_work(3, strategy=Random(), space=COUNTABLE, budget={"max_trials": 9})
    work.train()
    work.end()
    with pytest.raises(Conflict, match="tried all"):
        steering.change(work.job, {"max_trials": 20})


@pytest.mark.parametrize("state", ["cancelled", "cancelling", "broken"])
def test_other_ends_are_final(begin_work, steering, commands: JobCommands, state: str) -> None:
    work = begin_work()
    if state == "broken":
        work.held.finish(JobState.FAILED, error="The dataset could not be loaded.")
    else:
        commands.cancel(work.job)
        if state == "cancelled":
            work.held.finish(JobState.CANCELLED)
    with pytest.raises(Conflict, match="could not be loaded" if state == "broken" else state):
        steering.change(work.job, {"max_failed_trials": 20})


def test_hyperband_runs_its_schedule_more_often_for_more_trials(
    begin_work, take_up_work, steering: JobCommands
) -> None:
    plan = {"strategy": Hyperband(max_epochs=4, factor=2), "space": SPACE}
    doubled = Hyperband(max_epochs=4, factor=2, iterations=2)
    twice = begin_work(**plan | {"strategy": doubled})
    expected = [(spec.values, spec.epochs) for spec in twice.train()]
    twice.end()
    work = begin_work(15, **plan)
    begun = work.train()
    assert len(begun) == 15
    work.end()
    with pytest.raises(Conflict, match="tried all"):
        steering.change(work.job, {"max_trials": 15})
    job = steering.change(work.job, {"max_trials": 25})
    assert (job.spec.strategy, job.planned_trials) == (doubled, 25)
    rest = take_up_work("worker-2").train()
    assert [(spec.values, spec.epochs) for spec in begun + rest] == expected[:25]


def test_hyperband_says_what_it_cannot_follow(begin_work, steering: JobCommands) -> None:
    work = begin_work(strategy=Hyperband(), space=COUNTABLE, budget={"epochs": 4})
    with pytest.raises(Conflict, match="made for the epochs"):
        steering.change(work.job, {"epochs": 8})
    with pytest.raises(Conflict, match="no more than"):
        steering.change(work.job, {"max_trials": 10_000})


def test_a_raised_budget_counts_enqueued_trials_too(begin_work, steering: JobCommands) -> None:
    work: Work = begin_work(2, strategy=Random(), space=SPACE, budget={"max_trials": 2})
    steering.enqueue(work.job, [OWN, {}])
    job: Job = steering.change(work.job, {"max_trials": 5})
    assert job.planned_trials == 7
    assert job.changes == 2
