"""Real workers at the end of searches: trials that do not stop, and workers that end meanwhile."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from sqlalchemy import update

from models.jobs.commands import JobCommands
from models.jobs.model import Job, JobState, TrialState
from models.jobs.reader import JobReader
from models.jobs.spec import JobSpec
from models.settings import Settings
from models.store.engine import Database
from models.store.tables import jobs
from tests.jobs.steps import endless_trials, present, reporting
from tests.processes import Process, running, stop, trial_processes
from tests.waiting import wait_until

ENDLESS = 100_000  # epochs that no test waits for
LONG = 600.0  # seconds, that no test waits for either


@dataclass(frozen=True)
class Site:
    """A database with one job of two endless trials, and its workers."""

    job: Job
    database: Database
    commands: JobCommands
    reader: JobReader
    start_worker: Callable[..., Process]

    def get(self) -> Job:
        return self.reader.get(self.job.id)

    def states(self) -> list[TrialState]:
        return [trial.state for trial in self.reader.trials(self.job)]

    def ended(self) -> Job | None:
        job = self.get()
        return job if job.state.is_final else None

    def is_training(self, *trials: int) -> bool:
        """Whether these trials, and no others, have reported an epoch."""
        return reporting(self.database, self.job.id) == set(trials)


@pytest.fixture
def site(
    database: Database,
    commands: JobCommands,
    reader: JobReader,
    make_spec: Callable[..., JobSpec],
    settings: Settings,
    tmp_path: Path,
) -> Iterator[Site]:
    job = commands.create(make_spec(strategy=endless_trials(2), budget={"epochs": ENDLESS}), 2)
    with ExitStack() as stack:

        def start_worker(**more: object) -> Process:
            shared = {"data": settings.data, "lease_seconds": 2}
            return stack.enter_context(running("worker", tmp_path / "log", **shared, **more))

        yield Site(job, database, commands, reader, start_worker)


def hold_trials(worker: Process, count: int) -> list[psutil.Process]:
    """Let trial processes stand still, as in an epoch that takes very long."""
    busy = sorted(trial_processes(worker), key=lambda process: -sum(process.cpu_times()[:2]))
    for process in busy[:count]:
        process.send_signal(signal.SIGSTOP)
    return busy[:count]


def test_a_trial_that_does_not_stop_in_time_is_cut_off(site: Site) -> None:
    worker = site.start_worker(trial_slots=2, stop_seconds=0.5)
    wait_until(lambda: site.is_training(1, 2))
    hold_trials(worker, 1)
    site.commands.finish(site.job.id)
    job = wait_until(site.ended)
    assert (job.state, job.stop_reason) == (JobState.SUCCEEDED, "finish")
    assert sorted(site.states()) == [TrialState.CANCELLED, TrialState.STOPPED]


def test_a_worker_that_dies_while_trials_stop_leaves_an_end_that_another_completes(
    site: Site,
) -> None:
    worker = site.start_worker(trial_slots=1, stop_seconds=LONG)
    wait_until(lambda: site.is_training(1))
    held = hold_trials(worker, 1)
    site.commands.change(site.job.id, {"max_seconds": 0.1})
    wait_until(lambda: site.get().stop_reason)
    assert site.states()[0] == TrialState.RUNNING
    worker.kill()
    worker.wait()
    for process in held:
        process.kill()
    site.start_worker(trial_slots=1)
    job = wait_until(site.ended)
    assert (job.state, job.stop_reason) == (JobState.FAILED, "max_seconds")
    assert "No trial has a score; the search ended by max_seconds." in present(job.error)
    assert set(site.states()) == {TrialState.CANCELLED}
    assert next(trial.retries for trial in site.reader.trials(job)) == 0
    site.commands.change(job.id, {"max_seconds": None})
    wait_until(lambda: site.states()[0] == TrialState.RUNNING)
    site.commands.cancel(job.id)
    wait_until(site.ended)


def test_a_worker_that_is_told_to_end_scores_what_cannot_be_trained_anew(site: Site) -> None:
    spent, left = 1000.0, 8.0  # seconds
    site.commands.change(site.job.id, {"max_seconds": spent + left})
    with site.database.write() as connection:
        connection.execute(update(jobs).values(seconds=spent))
    worker = site.start_worker(trial_slots=1)
    wait_until(lambda: site.is_training(1))
    time.sleep(left / 2)  # now it has trained for longer than there is left
    assert stop(worker) == 0
    assert site.states()[0] == TrialState.STOPPED
    assert present(site.reader.best_trial(site.get())).number == 1


def test_a_worker_that_is_told_to_end_early_lets_trials_begin_anew(site: Site) -> None:
    site.commands.change(site.job.id, {"max_seconds": LONG})
    worker = site.start_worker(trial_slots=1)
    wait_until(lambda: site.is_training(1))
    assert stop(worker) == 0
    assert site.states()[0] == TrialState.WAITING
    assert site.get().state == JobState.RUNNING
