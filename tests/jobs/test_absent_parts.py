"""Real workers whose database or storage goes away while they train, and comes back."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text

from models.jobs.commands import JobCommands
from models.jobs.model import Job, JobState, TrialState
from models.jobs.reader import JobReader
from models.jobs.spec import JobSpec
from models.jobs.store.events import EventFeed, EventKind
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.store.migrate import migrate
from tests.jobs.steps import endless_trials, manual
from tests.postgres import PostgresServer
from tests.processes import Process, running, trial_processes
from tests.waiting import PATIENCE, wait_until

LEASE_SECONDS = 1.0
REFUSE_EPOCHS = """
    CREATE TRIGGER refuse_epochs BEFORE INSERT ON events WHEN NEW.kind = 'epoch'
    BEGIN SELECT RAISE(ABORT, 'no epochs now'); END
"""
ENDLESS = 100_000  # epochs that no test waits for


@dataclass(frozen=True)
class Site:
    """A worker, and what it needs."""

    database: Database
    artifacts: Path
    worker: Process
    log: Path

    def create(self, spec: JobSpec, trials: int) -> Job:
        return JobCommands(self.database, Artifacts(str(self.artifacts))).create(spec, trials)

    def get(self, job: Job) -> Job:
        return JobReader(self.database).get(job.id)

    def until(self, job: Job, state: JobState) -> Job:
        def reached() -> Job | None:
            found = self.get(job)
            assert found.state == state or not found.state.is_final, found
            return found if found.state == state else None

        return wait_until(reached)

    def epochs(self, job: Job) -> list[int]:
        """The epochs that the first trial has reported, in order."""
        told = EventFeed(self.database).after(job.id, 0, limit=100_000).events
        parts = [event.data for event in told if event.kind == EventKind.EPOCH]
        return [epoch for part in parts for epoch in range(part["first_epoch"], part["epoch"] + 1)]

    def begins(self, job: Job) -> int:
        """How often a trial of the job has begun."""
        told = EventFeed(self.database).after(job.id, 0, limit=100_000).events
        return sum(
            event.kind == EventKind.TRIAL and event.data["state"] == TrialState.RUNNING
            for event in told
        )

    def logged(self, text: str) -> int:
        """How often a text is in the log."""
        return self.log.read_text().count(text)

    def go_on(self) -> None:
        """Let the trial processes go on that were suspended."""
        for process in self.trial_processes():
            process.resume()

    def trial_processes(self) -> list[psutil.Process]:
        return trial_processes(self.worker)


@contextmanager
def opened(root: Path, url: str) -> Iterator[Site]:
    database = Database(url)
    migrate(database)
    artifacts, log = root / "artifacts", root / "worker.log"
    with ExitStack() as stack:
        worker = stack.enter_context(
            running(
                "worker",
                log,
                data=root / "data",
                database_url=url,
                artifacts=artifacts,
                lease_seconds=LEASE_SECONDS,
                trial_slots=1,
            )
        )
        yield Site(database, artifacts, worker, log)
        worker.terminate()
        assert worker.wait(PATIENCE) == 0, log.read_text()
    database.close()


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL server that may be stopped."""
    server = PostgresServer()
    yield server
    server.remove()


@pytest.fixture(scope="module")
def apart(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with opened(tmp_path_factory.mktemp("apart"), server.url("postgres")) as site:
        yield site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("site")
    with opened(root, f"sqlite:///{root}/luthier.db") as site:
        yield site


def test_a_trial_trains_on_while_the_database_is_away_for_longer_than_the_lease(
    apart: Site, server: PostgresServer, make_spec: Callable[..., JobSpec]
) -> None:
    endless = {"strategy": endless_trials(1), "budget": {"epochs": ENDLESS}}
    job = apart.create(make_spec(**endless), 1)
    for _ in range(2):
        before = wait_until(lambda: apart.epochs(job))
        server.stop()
        time.sleep(3 * LEASE_SECONDS)
        server.start()
        wait_until(lambda: len(apart.epochs(job)) > len(before))  # noqa: B023
    assert apart.logged("do not answer")
    epochs = apart.epochs(job)
    assert epochs == list(range(1, len(epochs) + 1)), "none is missing, none told twice"
    assert apart.begins(job) == 1
    (trial,) = JobReader(apart.database).trials(job)
    assert (trial.state, trial.retries) == (TrialState.RUNNING, 0)
    JobCommands(apart.database, Artifacts(str(apart.artifacts))).cancel(job.id)
    apart.until(job, JobState.CANCELLED)


def test_reports_that_could_not_be_written_are_written_later(
    site: Site, make_spec: Callable[..., JobSpec]
) -> None:
    job = site.create(make_spec(strategy=endless_trials(1), budget={"epochs": ENDLESS}), 1)
    wait_until(lambda: site.epochs(job))
    with site.database.write() as connection:
        connection.execute(text(REFUSE_EPOCHS))
    before, seen = site.logged("do not answer"), site.epochs(job)
    wait_until(lambda: site.logged("do not answer") > before)
    with site.database.write() as connection:
        connection.execute(text("DROP TRIGGER refuse_epochs"))
    epochs = wait_until(lambda: site.epochs(job)[len(seen) :])
    assert epochs == list(range(len(seen) + 1, len(seen) + 1 + len(epochs)))
    assert site.begins(job) == 1
    JobCommands(site.database, Artifacts(str(site.artifacts))).cancel(job.id)
    site.until(job, JobState.CANCELLED)


def test_what_ends_while_the_database_is_away_is_recorded_afterwards(
    apart: Site, server: PostgresServer, make_spec: Callable[..., JobSpec]
) -> None:
    job = apart.create(make_spec(strategy=manual(3), budget={"epochs": 2_000}), 3)
    wait_until(lambda: apart.epochs(job))
    server.stop()
    time.sleep(3 * LEASE_SECONDS)
    server.start()
    apart.until(job, JobState.SUCCEEDED)
    trials = JobReader(apart.database).trials(job)
    assert [(t.state, t.retries) for t in trials] == [(TrialState.COMPLETED, 0)] * 3
    assert apart.begins(job) == 3
    epochs = apart.epochs(job)
    assert epochs == list(range(1, 2_001)) * 3


@pytest.mark.parametrize("place", ["nothing", "a file", "an empty folder"])
def test_storage_that_is_away_costs_no_trial_and_no_job(
    site: Site, make_spec: Callable[..., JobSpec], place: str
) -> None:
    def held_in_first_trial() -> Job | None:
        job = site.create(make_spec(strategy=manual(2), budget={"epochs": 5_000}), 2)
        wait_until(lambda: site.epochs(job))
        for process in site.trial_processes():
            process.suspend()
        first, *_ = JobReader(site.database).trials(job)
        if first.state == TrialState.RUNNING:
            return job
        site.go_on()
        site.until(job, JobState.SUCCEEDED)
        return None  # it was too fast

    job = wait_until(held_in_first_trial)
    away = site.artifacts.rename(site.artifacts.with_name("away"))
    if place == "a file":
        site.artifacts.touch()
    elif place == "an empty folder":  # as where a file system is mounted
        site.artifacts.mkdir()
    before = site.logged("Trying again in")
    site.go_on()
    wait_until(lambda: site.logged("Trying again in") > before)
    assert "artifact" in wait_until(lambda: site.get(job).waiting_for)
    if place == "a file":
        site.artifacts.unlink()
    elif place == "an empty folder":
        site.artifacts.rmdir()
    away.rename(site.artifacts)
    assert site.until(job, JobState.SUCCEEDED).waiting_for is None
    trials = JobReader(site.database).trials(job)
    assert [(t.state, t.retries) for t in trials] == [(TrialState.COMPLETED, 0)] * 2
    assert site.begins(job) == 2


def test_an_export_whose_process_is_killed_is_tried_again(
    site: Site, make_spec: Callable[..., JobSpec]
) -> None:
    before = site.logged("is tried again")

    def interrupted() -> bool:
        job = site.create(make_spec(strategy=manual(1), budget={"epochs": 1}), 1)
        wait_until(lambda: site.get(job).stop_reason)
        for process in site.trial_processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        assert site.until(job, JobState.SUCCEEDED).version is not None
        return site.logged("is tried again") > before

    wait_until(interrupted)


def test_a_failed_job_can_be_told_to_build_its_version(
    site: Site, make_spec: Callable[..., JobSpec]
) -> None:
    """Its export loses its process each time, as one does that is too large for the machine."""

    def failed_to_export() -> Job | None:
        job = site.create(make_spec(strategy=manual(2), budget={"epochs": 1}), 2)
        wait_until(lambda: site.get(job).stop_reason)
        while not site.get(job).state.is_final:
            for process in site.trial_processes():
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            time.sleep(0.05)
        found = site.get(job)
        return found if found.state == JobState.FAILED else None  # perhaps killed too late

    job = failed = wait_until(failed_to_export)
    assert "The winner could not be saved" in str(failed.error)
    commands = JobCommands(site.database, Artifacts(str(site.artifacts)))
    assert commands.finish(job.id).state == JobState.QUEUED
    finished = site.until(job, JobState.SUCCEEDED)
    assert (finished.version is None, finished.error) == (False, None)
    assert site.begins(job) == 2, "nothing was trained again"
