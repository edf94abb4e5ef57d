"""Workers, `luthier gc` and `luthier fsck` as processes, and the space that SQLite gives back."""

import json
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, insert, select, text, update

from models.jobs.store.events import EventKind
from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.store.migrate import migrate
from models.store.tables import events, jobs, now, removals, sweeps
from models.trials.run import save_weights
from tests.processes import run, running, stop
from tests.retention.conftest import MakeJob, Publish
from tests.retention.test_removal_of_files import listed, sweep
from tests.waiting import wait_until


def luthier(settings: Settings, *arguments: str) -> tuple[int, str]:
    """Run a command over these settings; return its exit status and its output."""
    done = run(
        *arguments,
        data=settings.data,
        database_url=settings.resolved_database_url,
        artifacts=settings.resolved_artifacts,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout


@pytest.mark.both_databases
def test_gc_prints_what_it_would_remove_and_then_removes_it(
    settings: Settings, publish: Publish, artifacts: Artifacts
) -> None:
    publish()
    needed = artifacts.names()
    left = {"jobs/job_gone/trials/1/weights-0-0.npz": 1000, "models/m/9/0123/model.onnx": 234}
    for name, size in left.items():
        artifacts.write(name, b"x" * size)
    found = {"files": [{"name": n, "bytes": s} for n, s in sorted(left.items())], "bytes": 1234}
    nothing = {"files": [], "bytes": 0}
    young = ("--older-than", "0")

    def gc(*arguments: str) -> Any:
        status, output = luthier(settings, "gc", "--json", *arguments)
        assert status == 0
        body = json.loads(output)
        return body | {"files": sorted(body["files"], key=lambda file: file["name"])}

    assert gc("--dry-run") == nothing
    assert gc("--dry-run", *young) == found
    status, output = luthier(settings, "gc", "--dry-run", *young)
    assert status == 0
    assert "2 files would be removed: 1,234 bytes." in output
    assert gc() == nothing
    assert gc(*young) == found
    assert gc("--dry-run", *young) == nothing
    assert artifacts.names() == needed


@pytest.mark.both_stores
def test_fsck_finds_missing_and_changed_files(
    settings: Settings,
    publish: Publish,
    make_job: MakeJob,
    artifacts: Artifacts,
    database: Database,
    dataset: str,
) -> None:
    for _ in range(3):
        publish()
    jobs_of = [make_job() for _ in range(3)]
    weights = [f"jobs/{job}/trials/2/weights-0-0.npz" for job in jobs_of]
    for name in weights:
        save_weights(artifacts, name, [np.zeros((2, 2), np.float32)])
    sweep(database, artifacts)
    assert luthier(settings, "fsck") == (0, "0 faults.\n")
    assert luthier(settings, "fsck", "--json") == (0, '{"faults": []}\n')

    names = artifacts.names()
    missing = next(name for name in names if name.startswith("models/m/1/"))
    changed = next(name for name in names if name.startswith("models/m/2/"))
    source = next(name for name in names if "/source/" in name)
    artifacts.delete(missing)
    artifacts.write(changed, b"other")
    artifacts.write(source, b"other")
    artifacts.write(f"datasets/{dataset}/columns.parquet", b"PAR1")
    artifacts.delete(weights[0])
    content = bytearray(artifacts.read(weights[1]))
    content[len(content) // 2] ^= 255
    artifacts.write(weights[1], bytes(content))
    status, output = luthier(settings, "fsck", "--json")
    assert status == 1
    faults = json.loads(output)["faults"]
    assert {(fault["kind"], fault["name"]) for fault in faults} == {
        ("dataset", f"datasets/{dataset}"),
        ("source", source),
        ("version", missing),
        ("version", changed),
        ("weights", f"jobs/{jobs_of[0]}"),
        ("weights", weights[1]),
    }
    assert all(fault["message"] for fault in faults)
    status, output = luthier(settings, "fsck")
    assert status == 1
    assert "6 faults." in output


def test_a_database_of_another_version_is_refused(tmp_path: Path) -> None:
    settings = Settings(data=str(tmp_path))
    for command in ("gc", "fsck"):
        assert luthier(settings, command)[0] == 1


def fill_and_empty(database: Database, job: str) -> int:
    """Write and delete many events; return the bytes of the database when it was full."""
    rows = [
        {"job": job, "id": n, "kind": "epoch", "data": {"text": "x" * 4000}}
        for n in range(1000, 3500)
    ]
    with database.write() as connection:
        connection.execute(insert(events), rows)
    full = database.bytes()
    with database.write() as connection:
        connection.execute(events.delete().where(events.c.id >= 1000))
    assert database.bytes() == full
    return full


def test_sqlite_gives_space_back_at_a_sweep(
    make_job: MakeJob, database: Database, artifacts: Artifacts
) -> None:
    before = database.bytes()
    full = fill_and_empty(database, make_job())
    assert full > before + 8_000_000
    for _ in range(3):
        sweep(database, artifacts)
    assert database.bytes() < before + 1_000_000


def test_gc_gives_the_space_of_an_older_database_back(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with sqlite3.connect(path) as old:  # as versions before made it
        old.execute("PRAGMA journal_mode=WAL")
        old.execute("CREATE TABLE made_before (a)")
    database = Database(f"sqlite:///{path}")
    migrate(database)
    with database.write() as connection:
        row = {"id": "job_1", "model": "m", "state": "succeeded", "spec": {}, "planned_trials": 1}
        connection.execute(insert(jobs).values(row | {"created": text("CURRENT_TIMESTAMP")}))
        connection.execute(update(jobs).values(seconds=0.0))
    full = fill_and_empty(database, "job_1")
    database.give_space_back()  # a sweep does not rewrite it
    assert database.bytes() == full
    other = Settings(data=settings.data, database_url=f"sqlite:///{path}")
    assert luthier(other, "gc")[0] == 0
    assert database.bytes() < full / 10
    again = fill_and_empty(database, "job_1")
    for _ in range(3):
        database.give_space_back()
    assert database.bytes() < again / 10
    database.close()


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_one_of_several_workers_sweeps(
    settings: Settings, make_job: MakeJob, database: Database, tmp_path: Path
) -> None:
    """Real workers take turns: what is listed goes, and the turn is never two workers'."""
    job = make_job()
    with database.write() as connection:
        connection.execute(update(removals).values(created=now() - timedelta(seconds=60)))
    environment = {
        "data": settings.data,
        "database_url": settings.resolved_database_url,
        "artifacts": settings.resolved_artifacts,
        "trial_slots": 1,
        "sweep_seconds": 0.2,
        "lease_seconds": 1,
    }
    with (
        running("worker", tmp_path / "1.log", **environment) as one,
        running("worker", tmp_path / "2.log", **environment) as two,
    ):
        wait_until(lambda: listed(database) == [])
        for process in (one, two):
            assert stop(process) == 0
    artifacts = Artifacts(settings.resolved_artifacts)
    assert artifacts.names("jobs") == [f"jobs/{job}/trials/2/weights-0-0.npz"]
    with database.read() as connection:
        assert connection.execute(select(func.count()).select_from(sweeps)).scalar_one() == 1
        epochs = select(func.count()).where(events.c.kind == EventKind.EPOCH)
        assert connection.execute(epochs).scalar_one() == 0
