"""Real workers that are killed over a trial, or stopped for longer than their lease."""

import signal
from pathlib import Path

from sqlalchemy import select

from models.jobs.commands import JobCommands
from models.jobs.model import JobState, TrialState
from models.jobs.reader import JobReader
from models.settings import Settings
from models.store.engine import Database
from models.store.tables import removals
from tests.jobs.steps import endless_trials, manual, present
from tests.processes import descendants, held_up, running
from tests.waiting import PATIENCE, wait_until


def test_a_trial_that_takes_its_worker_down_is_lost_after_two(
    queued, reader: JobReader, settings: Settings, tmp_path: Path
) -> None:
    job = queued(1, dataset="ds_1", strategy=manual(1))
    for death in range(3):
        log = tmp_path / f"worker-{death}.log"
        with running(
            "worker",
            log,
            data=settings.data,
            lease_seconds=6,
            poll_seconds=0.05,
            trial_slots=1,
        ) as worker:
            if death == 2:
                wait_until(lambda: reader.get(job.id).state.is_final, PATIENCE)
                break
            wait_until(
                lambda: any(t.retries == death for t in reader.trials(job, states=["running"])),  # noqa: B023
                PATIENCE,
            )
            children = descendants(worker)
            worker.kill()
            worker.wait()
            for child in children:
                child.wait(PATIENCE)
    failed = reader.get(job.id)
    assert failed.state == JobState.FAILED
    assert "lost: Its worker died each time that it ran." in present(failed.error)
    (trial,) = reader.trials(job)
    assert (trial.state, trial.failure_kind, trial.retries) == (TrialState.FAILED, "lost", 1)


def test_files_of_a_worker_that_goes_on_after_its_job_has_ended_are_looked_for(
    queued,
    reader: JobReader,
    commands: JobCommands,
    database: Database,
    settings: Settings,
    tmp_path: Path,
) -> None:
    """Its trial trained on while it was stopped, and may have written weights."""
    job = queued(1, dataset="builtin:iris", strategy=endless_trials(1), budget={"epochs": 100_000})

    def entries() -> list[str]:
        query = select(removals.c.name).where(removals.c.name == f"jobs/{job.id}")
        with database.read() as connection:
            return list(connection.execute(query).scalars())

    options = {
        "data": settings.data,
        "lease_seconds": 1,
        "poll_seconds": 0.05,
        "trial_slots": 1,
        "sweep_seconds": 0,
    }
    with running("worker", tmp_path / "first.log", **options) as first:
        wait_until(lambda: reader.trials(job, states=["running"]))
        wait_until(lambda: held_up(first, Path(settings.data) / "luthier.db"))
        try:
            with running("worker", tmp_path / "second.log", **options):
                wait_until(lambda: job.id in (tmp_path / "second.log").read_text())
                commands.cancel(job.id)
                wait_until(lambda: reader.get(job.id).state.is_final)
            before = len(entries())
            assert before
        finally:
            first.send_signal(signal.SIGCONT)
        wait_until(lambda: len(entries()) > before)
