"""A trial over which worker after worker dies; they are really killed."""

from pathlib import Path

from models.jobs.model import JobState, TrialState
from models.jobs.reader import JobReader
from models.settings import Settings
from tests.jobs.steps import manual, present
from tests.processes import descendants, running
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
