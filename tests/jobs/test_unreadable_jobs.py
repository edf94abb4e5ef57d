"""Stored documents that this version cannot read: they cost their own job and nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text, update

from models.jobs.model import Job, JobState
from models.jobs.reader import JobReader
from models.oracles.strategy import Hyperband
from models.settings import Settings
from models.store.engine import Database
from models.store.tables import jobs, trials
from tests.jobs.steps import manual
from tests.processes import running
from tests.waiting import wait_until

SPACE = {"units": {"type": "choice", "values": [4, 8]}}


@pytest.fixture
def rewrite(database: Database) -> Callable[..., None]:
    """Change a stored job as another version, or a broken disk, might have."""

    def change(job: Job, **columns: Any) -> None:
        with database.write() as connection:
            connection.execute(update(jobs).where(jobs.c.id == job.id).values(**columns))

    return change


def test_a_worker_fails_such_jobs_and_goes_on_with_the_others(
    queued: Callable[..., Job],
    reader: JobReader,
    database: Database,
    settings: Settings,
    tmp_path: Path,
    rewrite: Callable[..., None],
) -> None:
    wide = queued(space=SPACE)
    units = {"units": {"type": "int", "min": 1, "max": 5000}}
    rewrite(wide, spec={**wide.document, "search_space": units})
    later = queued()
    rewrite(later, spec={**later.document, "schema_version": 99})
    forgetful = queued(strategy=Hyperband(max_epochs=4, factor=2), space=SPACE)
    rewrite(forgetful, oracle_state={"brackets": "many"}, dataset="ds_1")
    with database.write() as connection:
        row = {"job": forgetful.id, "number": 1, "key": "hyperband-0", "state": "waiting"}
        row |= {"values": {"units": 4}, "epochs": 2, "created": forgetful.created}
        connection.execute(trials.insert().values(row))
    torn = queued()
    with database.write() as connection:
        change = text("UPDATE jobs SET spec = :spec WHERE id = :id")
        connection.execute(change, {"spec": '{"model": ', "id": torn.id})
    sound = queued(1, strategy=manual(1))
    log = tmp_path / "worker.log"
    with running("worker", log, data=settings.data, poll_seconds=0.05, trial_slots=1) as worker:
        wait_until(lambda: worker.poll() is not None or reader.get(sound.id).state.is_final)
        assert worker.poll() is None, log.read_text()
        found = {job.id: reader.get(job.id) for job in (wide, later, forgetful, torn, sound)}
    assert found[sound.id].state == JobState.SUCCEEDED, found[sound.id].error
    for job, field in (
        (wide, "search_space.units.max"),
        (later, "schema_version"),
        (forgetful, "saved state"),
        (torn, "not a JSON object"),
    ):
        assert found[job.id].state == JobState.FAILED
        assert "This version of Luthier cannot read" in str(found[job.id].error)
        assert field in str(found[job.id].error)
        with database.read() as connection:
            query = select(jobs.c.owner).where(jobs.c.id == job.id)
            assert connection.execute(query).scalar_one() is None
