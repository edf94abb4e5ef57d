"""Files that no row needs go, those that one needs stay, and a store that is away delays both."""

import shutil
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update

from models.data.library.library import DatasetLibrary
from models.errors import Unavailable
from models.jobs.commands import JobCommands
from models.jobs.model import JobState
from models.jobs.store.held_job import HeldJob
from models.jobs.store.queue import MAX_ATTEMPTS, JobQueue
from models.registry.catalog.catalog import ModelCatalog
from models.retention.collection import Collection
from models.retention.remover import Remover
from models.retention.sweep import Sweeper
from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.store.tables import datasets, jobs, now, removals, trials, versions
from tests.retention.conftest import REQUEST, ROWS, MakeJob, Publish

pytestmark = pytest.mark.both_databases


def listed(database: Database) -> list[str]:
    with database.read() as connection:
        return sorted(set(connection.execute(select(removals.c.name)).scalars()))


def sweep(database: Database, artifacts: Artifacts, **changes: Any) -> None:
    """Make one sweep in which everything listed is old enough."""
    settings = Settings(lease_seconds=1, **changes)
    with database.write() as connection:
        connection.execute(update(removals).values(created=now() - timedelta(seconds=60)))
    Sweeper(database, artifacts, settings).sweep(threading.Event())


@pytest.mark.both_stores
def test_of_an_ended_job_only_the_weights_of_the_best_trial_stay(
    make_job: MakeJob, database: Database, artifacts: Artifacts, app_client: FlaskClient
) -> None:
    job = make_job()
    assert app_client.get(f"/tune/{job}").get_json()["bytes"] is None
    sweep(database, artifacts)
    assert artifacts.names("jobs") == [f"jobs/{job}/trials/2/weights-0-0.npz"]
    assert listed(database) == []
    assert app_client.get(f"/tune/{job}").get_json()["bytes"] == 2


def test_an_ended_job_of_two_objectives_keeps_the_weights_of_its_front(
    make_job: MakeJob, database: Database, artifacts: Artifacts, app_client: FlaskClient
) -> None:
    job = make_job(objective=["loss", "parameters"])
    with database.write() as connection:
        for number, scores in enumerate([(0.5, 3.0), (0.1, 9.0), (0.3, 9.0)], 1):
            named = dict(zip(("loss", "parameters"), scores, strict=True))
            row = update(trials).where(trials.c.job == job, trials.c.number == number)
            connection.execute(row.values(scores=named))
    sweep(database, artifacts)
    kept = [f"jobs/{job}/trials/{number}/weights-0-0.npz" for number in (1, 2)]
    assert artifacts.names("jobs") == kept
    assert app_client.get(f"/tune/{job}").get_json()["front"] == [2, 1]


def test_an_ended_job_keeps_the_weights_that_an_ensemble_is_made_of(
    make_job: MakeJob, database: Database, artifacts: Artifacts
) -> None:
    job = make_job(ensemble=3)
    artifacts.write(f"jobs/{job}/trials/9/weights-0-0.npz", b"x")
    sweep(database, artifacts)
    scored = [f"jobs/{job}/trials/{number}/weights-0-0.npz" for number in (1, 2, 3)]
    assert artifacts.names("jobs") == scored


def test_an_unfinished_job_keeps_everything(
    make_job: MakeJob, database: Database, artifacts: Artifacts
) -> None:
    job = make_job(JobState.PAUSED)
    sweep(database, artifacts)
    assert len(artifacts.names(f"jobs/{job}")) == 3


def test_old_weights_go_where_a_setting_says_so(
    make_job: MakeJob, database: Database, artifacts: Artifacts
) -> None:
    make_job(finished=now() - timedelta(days=3))
    young = make_job()
    for _ in range(2):  # the first counts them, which the second finds
        sweep(database, artifacts, keep_weights_days=2)
    assert artifacts.names("jobs") == [f"jobs/{young}/trials/2/weights-0-0.npz"]


@pytest.mark.both_stores
def test_a_failed_export_leaves_nothing_beside_what_was_registered(
    publish: Publish, database: Database, artifacts: Artifacts
) -> None:
    artifacts.write("models/m/1/0123456789abcdef/evidence.json", b"of an export that failed")
    assert publish() == 1
    sweep(database, artifacts)
    entries = ModelCatalog(database).files("m", 1).values()
    assert artifacts.names("models") == sorted(f"models/m/1/{entry['path']}" for entry in entries)


@pytest.mark.parametrize("end", ["cancelled", "failed", "given up", "discarded"])
def test_a_number_reserved_for_a_version_goes_with_its_job_and_its_files(
    app_client: FlaskClient, dataset: str, database: Database, artifacts: Artifacts, end: str
) -> None:
    app_client.post("/tune", json=REQUEST | {"dataset": dataset})
    job = JobQueue(database, "worker-1", 60).claim()
    assert job is not None
    held, catalog = HeldJob(database, job.id, "worker-1"), ModelCatalog(database)
    number = catalog.reserve("m", "regression", job.id, 1)
    artifacts.write(f"models/m/{number}/0123456789abcdef/model.onnx", b"half of it")
    if end == "cancelled":
        JobCommands(database, artifacts).cancel(job.id)
        held.finish(JobState.CANCELLED)
    elif end == "failed":
        held.finish(JobState.FAILED, error="why")
    elif end == "discarded":
        with held.unit_of_work() as unit:
            assert catalog.discard(unit.connection, "m", number)
    else:
        with database.write() as connection:
            past = {"attempts": MAX_ATTEMPTS, "lease_until": None}
            connection.execute(update(jobs).values(past))
        assert JobQueue(database, "worker-2", 60).claim() is None
    with database.read() as connection:
        assert connection.execute(select(versions.c.version)).all() == []
    sweep(database, artifacts)
    assert artifacts.names("models") == []
    # What was half written under a number must not be taken for another version's.
    assert catalog.reserve("m", "regression", "job_2", 1) == number + 1


def test_a_store_that_is_away_fails_no_deletion_and_the_sweep_catches_up(
    make_job: MakeJob,
    publish: Publish,
    app_client: FlaskClient,
    database: Database,
    artifacts: Artifacts,
    tmp_path: Path,
    dataset: str,
) -> None:
    job, version = make_job(), publish()
    app_client.delete("/models/m/aliases/champion")
    root, away = Path(artifacts.root), tmp_path / "away"
    shutil.move(root, away)
    root.write_bytes(b"no folder")  # nobody can enter it, not even root
    for path in (f"/tune/{job}", f"/datasets/{dataset}", f"/models/m/versions/{version}"):
        assert app_client.delete(path).status_code == 204, path
        assert app_client.get(path).status_code == 404
    with pytest.raises(Unavailable):
        sweep(database, artifacts)
    assert listed(database) == [f"datasets/{dataset}", f"jobs/{job}", f"models/m/{version}"]
    root.unlink()
    shutil.move(away, root)
    assert len(artifacts.names()) > 5
    sweep(database, artifacts)
    assert artifacts.names("datasets") + artifacts.names("jobs") + artifacts.names("models") == []
    assert listed(database) == []


@pytest.mark.both_stores
def test_a_dataset_that_was_stored_again_keeps_its_files(
    app_client: FlaskClient, dataset: str, database: Database, artifacts: Artifacts
) -> None:
    assert app_client.delete(f"/datasets/{dataset}").status_code == 204
    assert listed(database) == [f"datasets/{dataset}"]
    again = app_client.post("/datasets", json=ROWS).get_json()
    assert again["id"] == dataset
    artifacts.write(f"datasets/{dataset}/source/{'0' * 64}", b"of another upload")
    sweep(database, artifacts)
    assert len(artifacts.names(f"datasets/{dataset}")) == 2
    assert app_client.get(f"/datasets/{dataset}/preview").status_code == 200
    assert app_client.get(f"/datasets/{dataset}").get_json()["bytes"] == again["bytes"]
    assert again["bytes"] == artifacts.size(f"datasets/{dataset}")


def test_bytes_of_datasets_of_older_versions_are_counted(
    dataset: str, database: Database, artifacts: Artifacts, library: DatasetLibrary
) -> None:
    with database.write() as connection:
        connection.execute(update(datasets).values(bytes=None))
    for _ in range(2):
        sweep(database, artifacts)
    assert library.catalog.get(dataset).bytes == artifacts.size(f"datasets/{dataset}")


@pytest.mark.both_stores
def test_collection_finds_what_no_row_names_and_leaves_the_young_and_the_foreign(
    make_job: MakeJob, publish: Publish, artifacts: Artifacts, remover: Remover, dataset: str
) -> None:
    make_job()
    held = make_job(JobState.RUNNING)
    publish()
    needed = set(artifacts.names())
    needed -= {
        name
        for name in needed
        if f"jobs/{held}" not in name and "/trials/2/" not in name and name.startswith("jobs/")
    }
    leftovers = [
        "datasets/ds_gone/columns.parquet",
        f"datasets/{dataset}/columns.parquet.12ab34cd.tmp",
        "jobs/job_gone/trials/1/weights-0-0.npz",
        "models/m/1/0123456789abcdef/model.onnx",
        "models/m/7/0123456789abcdef/model.onnx",
    ]
    foreign = ["backup/of.mine", "models/README"]
    for name in (*leftovers, *foreign):
        artifacts.write(name, b"12345")
    collection = Collection(artifacts, remover)
    assert collection.find(3600) == []
    found = collection.find(0)
    names = {file.name for garbage in found for file in garbage.files}
    assert set(leftovers) < names
    assert names == set(artifacts.names()) - needed - set(foreign)
    assert {file.name for file in collection.remove(found)} == names
    assert set(artifacts.names()) == needed | set(foreign)
    assert collection.find(0) == []


def test_a_file_that_became_needed_since_it_was_found_stays(
    artifacts: Artifacts, remover: Remover, app_client: FlaskClient, dataset: str
) -> None:
    names = artifacts.names(f"datasets/{dataset}")
    app_client.delete(f"/datasets/{dataset}")
    for name in names:
        artifacts.write(name, b"left behind")
    collection = Collection(artifacts, remover)
    found = collection.find(0)
    assert {file.name for garbage in found for file in garbage.files} == set(names)
    app_client.post("/datasets", json=ROWS)
    assert collection.remove(found) == []
    assert app_client.get(f"/datasets/{dataset}/preview").status_code == 200
