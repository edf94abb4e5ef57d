"""Discarded trials, over a real store and real oracles."""

from dataclasses import replace

import pytest

from models.errors import Conflict, NotFound
from models.jobs.commands import JobCommands
from models.jobs.model import JobState, TrialState
from models.jobs.reader import JobReader
from models.oracles.strategy import Bayesian, Grid, Hyperband, Manual, Random
from models.store.artifacts import Artifacts
from models.trials.spec import Failure, FailureKind
from tests.jobs.steps import Work, best_trial, manual, next_trial, present, scored

SPACE = {
    "units": {"type": "choice", "values": [8, 16, 32]},
    "learning_rate": {"type": "float", "min": 1e-4, "max": 1e-1, "sampling": "log"},
}
COUNTABLE = {"units": {"type": "choice", "values": [8, 16, 32]}}
RANDOM = {"strategy": Random(), "space": SPACE}
FAILURE = Failure(FailureKind.DIVERGED, "no")


def fail(work: Work, count: int) -> None:
    for _ in range(count):
        work.search.failed(next_trial(work.search).number, FAILURE)


def states(work: Work) -> list[TrialState]:
    return [trial.state for trial in work.trials()]


STRATEGIES = {
    "manual": Manual(({"units": 8}, {"units": 16}, {"units": 32})),
    "grid": Grid(points=1),
    "random": Random(),
    "bayesian": Bayesian(num_initial_points=1),
}


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
@pytest.mark.parametrize("is_live", [True, False])
def test_a_discarded_trial_is_replaced_by_other_values(
    begin_work, take_up_work, commands: JobCommands, strategy, is_live: bool
) -> None:
    work = begin_work(2, strategy=strategy, space=COUNTABLE, budget={"max_trials": 2})
    work.train(1)
    commands.discard(work.job, 1)
    if is_live:
        work.search.take_changes(work.held.job())
    else:
        work.held.release(1.0)
        work = take_up_work("worker-2")
    assert work.search.best is None
    work.train()
    assert states(work) == [TrialState.DISCARDED, *[TrialState.COMPLETED] * 2]
    assert sorted(trial.values["units"] for trial in work.trials()) == [8, 16, 32]
    assert len({trial.key for trial in work.trials()}) == 3
    assert work.search.stop_reason() == "max_trials"


def test_a_discarded_score_does_not_draw_the_bayesian_oracle(begin_work, commands) -> None:
    """It is the best by far, and the process looks where the scores are good."""
    work = begin_work(
        strategy=Bayesian(num_initial_points=3),
        space={"l2": {"type": "float", "min": 0.0, "max": 1.0}},
        budget={"max_trials": 6},
    )
    commands.enqueue(work.job, {"l2": 0.987})
    work.search.take_changes(work.held.job())
    work.train(4, score=lambda spec: -50.0 if spec.number == 1 else spec.values["l2"])
    commands.discard(work.job, 1)
    work.search.take_changes(work.held.job())
    (spec,) = work.train(1)
    assert spec.values["l2"] < 0.9


def test_discarding_counts_nowhere_and_changes_nothing_the_second_time(
    begin_work, commands: JobCommands, reader: JobReader
) -> None:
    work = begin_work(3, **RANDOM, budget={"max_trials": 3})
    work.train(2)
    fail(work, 1)
    work.end()
    commands.discard(work.job, 2)
    commands.discard(work.job, 3)
    job = reader.with_progress(reader.get(work.job))
    assert present(job.best_trial).number == 1
    progress = present(job.progress)
    assert (progress.total, progress.completed, progress.failed) == (1, 1, 0)
    trial = reader.trial(job, 2)
    assert (trial.state, trial.score, trial.digest) == (TrialState.DISCARDED, None, None)
    assert present(trial.result)["metrics"], "the record stays"
    commands.discard(work.job, 2)
    assert reader.get(work.job) == replace(job, progress=None, best_trial=None)
    with pytest.raises(NotFound):
        commands.discard(work.job, 9)


def test_no_other_job_reuses_a_discarded_trial(begin_work, take_up_work, commands, queued) -> None:
    first = begin_work(2, strategy=manual(2), reuse=True)
    first.train()
    first.end()
    commands.discard(first.job, 1)
    queued(2, strategy=manual(2), reuse=True)
    second = take_up_work()
    assert [spec.number for spec in second.train()] == [1]
    assert [trial.reused_from is None for trial in second.trials()] == [True, False]


def test_the_result_of_a_trial_that_was_just_discarded_is_dropped(begin_work, commands) -> None:
    work = begin_work(2, strategy=manual(2))
    running = next_trial(work.search), next_trial(work.search)
    commands.discard(work.job, 1)
    for spec in running:
        work.search.completed(spec.number, scored(0.1 * spec.number))
    assert not work.held.end_search("exhausted", 1.0, changes=0)
    work.search.take_changes(work.held.job())
    assert best_trial(work.search).number == 2
    work.end()
    assert states(work) == [TrialState.DISCARDED, TrialState.COMPLETED]
    assert work.held.job().planned_trials == 1


def test_a_discarded_trial_that_ends_takes_no_weights_of_others(
    begin_work, commands: JobCommands, artifacts: Artifacts
) -> None:
    work = begin_work(2, strategy=manual(2))
    one, two = next_trial(work.search), next_trial(work.search)
    artifacts.write(f"{two.weights}/weights-0-0.npz", b"weights")
    work.search.completed(two.number, scored(0.2))
    commands.discard(work.job, one.number)
    work.search.completed(one.number, scored(0.1))
    assert artifacts.exists(f"{two.weights}/weights-0-0.npz")


def test_a_trial_whose_weights_others_continue_is_kept(begin_work, commands: JobCommands) -> None:
    work = begin_work(15, strategy=Hyperband(max_epochs=4, factor=2), space=SPACE)
    work.train()
    child = next(trial for trial in work.trials() if trial.parent)
    parent = present(child.parent)
    with pytest.raises(Conflict, match=f"Trial {parent} is continued by .*{child.number}"):
        commands.discard(work.job, parent)


def test_hyperband_goes_on_without_a_discarded_trial(
    begin_work, commands: JobCommands, take_up_work
) -> None:
    work = begin_work(15, strategy=Hyperband(max_epochs=4, factor=2), space=SPACE)
    work.train(1, score=lambda spec: -1.0)
    commands.discard(work.job, 1)
    work.held.release(1.0)
    again = take_up_work("worker-2")
    again.train()
    assert again.search.stop_reason() == "exhausted"
    assert [trial for trial in again.trials() if trial.parent == 1] == []


def test_a_version_can_be_built_anew_once_its_trial_is_discarded(
    begin_work, commands: JobCommands, take_up_work
) -> None:
    work = begin_work(2, strategy=manual(2))
    work.train()
    work.end()
    commands.discard(work.job, 2)
    job = commands.finish(work.job)
    assert (job.state, job.stop_reason) == (JobState.QUEUED, "exhausted")
    assert best_trial(take_up_work("worker-2").search).number == 1


def test_weights_of_a_discarded_trial_are_removed(
    begin_work, commands: JobCommands, artifacts: Artifacts
) -> None:
    work = begin_work(1, strategy=manual(1))
    name = f"{work.search.weights_of(1)}/weights-0-0.npz"
    artifacts.write(name, b"weights")
    work.train()
    commands.discard(work.job, 1)
    assert not artifacts.exists(name)
