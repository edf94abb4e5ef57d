"""Real `luthier worker` processes, some of which are really killed."""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import select

from models.data.preparation.tasks import Task
from models.errors import Conflict
from models.jobs.model import Job, JobState, Trial, TrialState
from models.jobs.spec import JobSpec
from models.oracles.strategy import Manual
from models.store.tables import jobs, versions
from tests.jobs.plane import Plane, opened
from tests.jobs.steps import (
    LINEAR,
    endless_trials,
    manual,
    present,
    reporting,
    store_dataset,
)
from tests.processes import STOP_WITHIN, descendants, held_up, trial_processes
from tests.waiting import PATIENCE, wait_until

MANY = 60  # trials of a job that is not over before a test has looked at it
ENDLESS = 100_000  # epochs that no test waits for
SOON = {"epochs": 2}


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """A worker with two slots, for all tests that leave it alive."""
    with opened(tmp_path_factory.mktemp("plane") / "data") as plane:
        plane.start_worker(trial_slots=2)
        yield plane


@pytest.fixture
def own_plane(tmp_path: Path) -> Iterator[Plane]:
    """A plane of a test's own, whose workers may be killed."""
    with opened(tmp_path / "data") as plane:
        yield plane


@pytest.fixture
def start(plane: Plane, make_spec: Callable[..., JobSpec]) -> Callable[..., Job]:
    """Queue a job on the shared plane."""

    def start_job(planned: int = 3, **changes: Any) -> Job:
        return plane.commands.create(make_spec(**changes), planned)

    return start_job


def endless(count: int = 2, **changes: Any) -> dict[str, Any]:
    """A job whose trials end only when they are ended: of very many, very slow epochs."""
    return {"strategy": endless_trials(count), "budget": {"epochs": ENDLESS, **changes}}


def test_a_killed_worker_loses_and_doubles_no_trial(
    own_plane: Plane, make_spec: Callable[..., JobSpec]
) -> None:
    plane = own_plane
    job = plane.commands.create(make_spec(strategy=manual(MANY), budget={"epochs": 20}), MANY)
    plane.start_worker(trial_slots=1)
    holder = plane.holder(job)
    plane.start_worker(trial_slots=2)
    plane.until_trials(job, 3, TrialState.COMPLETED)
    children = descendants(holder)
    holder.kill()
    holder.wait()
    committed = plane.trials(job, TrialState.COMPLETED)
    assert len(committed) < MANY, "the worker was killed too late to show anything"
    plane.until(job, JobState.SUCCEEDED)
    found = plane.trials(job)
    assert [trial.number for trial in found] == list(range(1, MANY + 1))
    assert {trial.state for trial in found} == {TrialState.COMPLETED}
    assert [trial.values["learning_rate"] for trial in found] == [
        trial["learning_rate"] for trial in manual(MANY).trials
    ]
    assert {_key(trial) for trial in committed} <= {_key(trial) for trial in found}
    assert _versions(plane, job) == [1]
    wait_until(lambda: not any(child.is_running() for child in children))


def test_a_worker_that_is_stopped_lets_its_job_go(
    own_plane: Plane, make_spec: Callable[..., JobSpec]
) -> None:
    """Two workers: one is held up until its lease has run out, the other is stopped meanwhile."""
    plane = own_plane
    job = plane.commands.create(make_spec(strategy=manual(MANY), budget={"epochs": 20}), MANY)
    plane.start_worker(trial_slots=1)
    first = plane.holder(job)
    plane.until_trials(job, 3, TrialState.COMPLETED)
    wait_until(lambda: held_up(first, plane.data / "luthier.db"), PATIENCE)
    try:
        committed = plane.trials(job, TrialState.COMPLETED)
        plane.start_worker(trial_slots=1)
        second, log = plane.workers[-1]
        wait_until(lambda: job.id in log.read_text(), PATIENCE)
        plane.until_trials(job, 1, TrialState.RUNNING)
        second.terminate()
        assert second.wait(STOP_WITHIN) == 0, log.read_text()
        assert _owner_is_gone(plane, job), "another need not wait for the end of the lease"
        assert plane.trials(job, TrialState.RUNNING) == []
        kept = {_key(trial) for trial in plane.trials(job, TrialState.COMPLETED)}
        assert {_key(trial) for trial in committed} <= kept
    finally:
        first.send_signal(signal.SIGCONT)
    plane.until(job, JobState.SUCCEEDED)
    found = plane.trials(job)
    assert [trial.number for trial in found] == list(range(1, MANY + 1))
    assert {trial.state for trial in found} == {TrialState.COMPLETED}
    assert {_key(trial) for trial in committed} <= {_key(trial) for trial in found}


def test_max_trials_are_trained_and_no_more(plane: Plane, start) -> None:
    job = plane.until(
        start(2, strategy=manual(5), budget={"epochs": 2, "max_trials": 2}), JobState.SUCCEEDED
    )
    assert job.stop_reason == "max_trials"
    assert [trial.state for trial in plane.trials(job)] == [TrialState.COMPLETED] * 2
    assert job.finished is not None
    assert job.error is None


def test_two_jobs_progress_side_by_side(plane: Plane, start) -> None:
    # Without its own limit, the job whose first proposals come sooner may take both slots.
    both = [start(**endless(), parallelism=1) for _ in range(2)]
    for job in both:
        plane.until_trials(job, 1, TrialState.RUNNING)
    assert [len(plane.trials(job, TrialState.RUNNING)) for job in both] == [1, 1]
    for job in both:
        plane.commands.cancel(job.id)
        plane.until(job, JobState.CANCELLED)


def test_a_paused_job_starts_nothing_and_goes_on_when_resumed(plane: Plane, start) -> None:
    job = start(MANY, strategy=manual(MANY), budget={"epochs": 20})
    plane.until_trials(job, 1, TrialState.COMPLETED)
    plane.commands.pause(job.id)
    plane.wait(lambda: not plane.trials(job, TrialState.RUNNING))
    paused = plane.trials(job)
    assert len(paused) < MANY
    plane.until(start(strategy=manual(1), budget=SOON), JobState.SUCCEEDED)
    assert plane.trials(job) == paused
    assert plane.get(job).state == JobState.PAUSED
    plane.commands.resume(job.id)
    plane.until(job, JobState.SUCCEEDED)
    completed = plane.trials(job, TrialState.COMPLETED)
    assert [trial.number for trial in completed] == list(range(1, MANY + 1))


@pytest.mark.parametrize("ask", ["pause", "cancel"])
def test_a_request_that_comes_while_the_winner_is_saved_is_followed(
    plane: Plane, start, ask: str
) -> None:
    def interrupt() -> Job | None:
        job = start(1, strategy=manual(1), budget=SOON)
        plane.wait(lambda: _versions(plane, job))
        with contextlib.suppress(Conflict):  # the winner was saved before
            getattr(plane.commands, ask)(job.id)
            return job
        return None

    job = wait_until(interrupt)
    if ask == "pause":
        plane.wait(lambda: _owner_is_gone(plane, job))
        assert plane.get(job).state == JobState.PAUSED
        plane.commands.resume(job.id)
        job = plane.until(job, JobState.SUCCEEDED)
        assert _versions(plane, job) == [job.version]
    else:
        plane.until(job, JobState.CANCELLED)
        assert _versions(plane, job) == []
    assert plane.alive()


def test_a_job_whose_trials_all_diverge_has_failed_and_says_why(plane: Plane, start) -> None:
    job = plane.until(
        start(
            5,
            dataset="builtin:diabetes",
            task=Task.REGRESSION,
            strategy=_wild(5),
            budget={"epochs": 30, "max_failed_trials": 3},
        ),
        JobState.FAILED,
    )
    assert job.stop_reason == "max_failed_trials"
    assert "No trial has a score" in present(job.error)
    assert "diverged" in present(job.error)
    # Another one may have been under way, and its end is recorded.
    assert len(plane.trials(job, TrialState.FAILED)) in (3, 4)
    assert {t.failure_kind for t in plane.trials(job, TrialState.FAILED)} == {"diverged"}
    assert _versions(plane, job) == []


def test_a_dataset_that_cannot_be_loaded_fails_the_job(plane: Plane, start) -> None:
    store_dataset(plane.database, "ds_lost")  # without its files
    job = plane.until(start(dataset="ds_lost"), JobState.FAILED)
    assert "ds_lost" in present(job.error)


def test_a_job_survives_the_death_of_a_trial_process(plane: Plane, start) -> None:
    job = start(MANY, strategy=manual(MANY), budget={"epochs": 60})
    holder = plane.holder(job)
    plane.until_trials(job, 1, TrialState.COMPLETED)
    _kill(trial_processes(holder)[:1])
    plane.until(job, JobState.SUCCEEDED)
    found = plane.trials(job)
    assert [trial.number for trial in found] == list(range(1, MANY + 1))
    assert {trial.state for trial in found} == {TrialState.COMPLETED}


def test_a_target_ends_the_search_and_its_other_trials(plane: Plane, start) -> None:
    job = start(9, strategy=manual(9), budget={"epochs": 2, "target_score": 1e9})
    job = plane.until(job, JobState.SUCCEEDED)
    assert job.stop_reason == "target"
    assert len(plane.trials(job)) < 9
    assert plane.trials(job, TrialState.RUNNING, TrialState.WAITING) == []
    left = plane.data / "artifacts" / "jobs" / job.id / "trials"
    wait_until(lambda: [folder.name for folder in left.iterdir()] == [str(_best(plane, job))])


def _best(plane: Plane, job: Job) -> int:
    best = plane.reader.best_trial(job)
    assert best is not None
    return best.number


def test_a_trial_whose_process_is_killed_is_tried_again(plane: Plane, start) -> None:
    job = start(**endless(1))
    holder = plane.holder(job)
    plane.until_trials(job, 1, TrialState.RUNNING)
    # A trial is stored as running before a process has it, and then killing one is too early.
    while not plane.get(job).state.is_final:
        _kill(trial_processes(holder))
        time.sleep(0.05)
    failed = plane.until(job, JobState.FAILED)
    assert "lost: Its process died" in present(failed.error)
    (trial,) = plane.trials(job)
    assert (trial.state, trial.failure_kind, trial.retries) == (TrialState.FAILED, "lost", 1)


def test_cancelling_ends_a_running_job_and_its_trials(plane: Plane, start) -> None:
    job = start(**endless())
    plane.until_trials(job, 2, TrialState.RUNNING)
    plane.commands.cancel(job.id)
    plane.until(job, JobState.CANCELLED)
    assert [trial.state for trial in plane.trials(job)] == [TrialState.CANCELLED] * 2
    assert plane.get(job).version is None
    assert _versions(plane, job) == []


def test_a_budget_of_seconds_ends_trials_that_are_under_way(plane: Plane, start) -> None:
    job = start(**endless())
    plane.wait(lambda: reporting(plane.database, job.id) == {1, 2})
    plane.commands.change(job.id, {"max_seconds": 0.1})
    job = plane.until(job, JobState.SUCCEEDED)
    assert job.stop_reason == "max_seconds"
    trials = plane.trials(job)
    assert [trial.state for trial in trials] == [TrialState.STOPPED] * 2
    best = min(trials, key=lambda trial: present(trial.score))
    assert (_best(plane, job), _versions(plane, job)) == (best.number, [job.version])


def test_a_job_is_finished_with_the_scores_of_what_runs(plane: Plane, start) -> None:
    job = start(**endless(8))
    plane.wait(lambda: reporting(plane.database, job.id) == {1, 2})
    plane.commands.pause(job.id)
    plane.commands.finish(job.id)
    job = plane.until(job, JobState.SUCCEEDED)
    assert job.stop_reason == "finish"
    stopped = [trial.number for trial in plane.trials(job, TrialState.STOPPED)]
    assert stopped == [1, 2]
    assert job.version is not None
    assert plane.commands.finish(job.id) == plane.get(job), "it has its version"


def test_a_discarded_trial_is_ended_and_another_takes_its_place(plane: Plane, start) -> None:
    job = start(**endless(3))
    plane.wait(lambda: reporting(plane.database, job.id) == {1, 2})
    plane.commands.discard(job.id, 1)
    plane.wait(lambda: 3 in reporting(plane.database, job.id))
    plane.commands.finish(job.id)
    plane.until(job, JobState.SUCCEEDED)
    states = [trial.state for trial in plane.trials(job)]
    assert states == [TrialState.DISCARDED, TrialState.STOPPED, TrialState.STOPPED]


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended by itself
            process.kill()


def _key(trial: Trial) -> tuple[int, float | None]:
    return trial.number, trial.score


def _versions(plane: Plane, job: Job) -> list[int]:
    """The versions that a job has published or holds."""
    with plane.database.read() as connection:
        query = select(versions.c.version).where(versions.c.job == job.id)
        return list(connection.execute(query).scalars())


def _owner_is_gone(plane: Plane, job: Job) -> bool:
    with plane.database.read() as connection:
        query = select(jobs.c.owner).where(jobs.c.id == job.id)
        return connection.execute(query).scalar_one() is None


def _wild(count: int) -> Manual:
    rates = [10.0 - index / 10 for index in range(count)]
    return Manual(tuple({**LINEAR, "optimizer": "sgd", "learning_rate": rate} for rate in rates))
