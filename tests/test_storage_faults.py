"""Full, read-only, locked and damaged disks under the API: what probes and requests answer."""

import io
import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy.exc import DBAPIError

import api.monitoring
from models.errors import StorageFull, Unavailable
from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.engine import Database

Connect = Callable[[Settings], FlaskClient]
CONTENT = b"n\n" + b"\n".join(b"%d" % n for n in range(9))
WANTED = {"model": "iris", "dataset": "builtin:iris", "target": "target"}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, of 8 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "luthier-test", folder], capture_output=True
    )
    if made.returncode:
        pytest.skip(f"This machine mounts no disk: {made.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let readiness try to write at every question."""
    monkeypatch.setattr(api.monitoring, "WRITE_EVERY", 0.0)


def fill(folder: Path) -> Path:
    """Fill the disk of a folder by one file."""
    path = folder / "ballast"
    with path.open("wb", buffering=0) as file:
        for size in (64 * 1024, 1024, 1):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                continue
    return path


def remount(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", folder], check=True)


def upload(client: FlaskClient) -> Any:
    return client.post("/datasets", data={"file": (_file(), "a.csv")})


def _file() -> Any:
    return io.BytesIO(CONTENT)


@pytest.mark.usefixtures("always")
def test_a_full_disk_of_the_database_is_told_by_probes_and_requests(
    disk: Path, settings: Settings, connect: Connect, tmp_path: Path
) -> None:
    shutil.copy(Path(settings.data) / "luthier.db", disk)
    client = connect(replace(settings, data=str(disk), artifacts=str(tmp_path / "artifacts")))
    assert client.get("/readyz").status_code == 200
    ballast = fill(disk)
    checks = client.get("/readyz").get_json()["checks"]
    assert checks == {
        "process": "ok",
        "database": "The disk of the database is full.",
        "artifacts": "ok",
    }
    assert client.get("/healthz").status_code == 200
    answers = [client.post("/tune", json=WANTED) for _ in range(200)]
    refused = next(answer for answer in answers if answer.status_code != 202)
    assert refused.status_code == 507, "once the log of SQLite has no room left"
    assert refused.get_json()["detail"] == "The disk of the database is full."
    assert client.get("/tune").status_code == 200, "what only reads is answered"
    ballast.unlink()
    assert client.get("/readyz").status_code == 200
    assert client.post("/tune", json=WANTED).status_code == 202


@pytest.mark.usefixtures("always")
def test_a_full_disk_of_the_artifacts_is_told_by_probes_and_requests(
    disk: Path, settings: Settings, connect: Connect
) -> None:
    client = connect(replace(settings, artifacts=str(disk)))
    assert client.get("/readyz").status_code == 200
    ballast = fill(disk)
    message = f"The disk of the artifact root {disk} is full."
    checks = client.get("/readyz").get_json()["checks"]
    assert checks == {"process": "ok", "database": "ok", "artifacts": message}
    answer = upload(client)
    assert answer.status_code == 507
    assert answer.get_json()["detail"] == message
    ballast.unlink()
    assert client.get("/readyz").status_code == 200
    assert upload(client).status_code == 201
    assert not list(disk.rglob("*.tmp")), "nothing half written is left"


@pytest.mark.usefixtures("always")
def test_a_read_only_disk_is_told_by_probes_and_requests(
    disk: Path, settings: Settings, connect: Connect
) -> None:
    shutil.copy(Path(settings.data) / "luthier.db", disk)
    client = connect(replace(settings, data=str(disk)))
    assert client.get("/readyz").status_code == 200
    services = client.application.extensions["luthier"]
    services.database.close()  # Linux refuses while a file is open for writing
    remount(disk, "ro")
    try:
        checks = client.get("/readyz").get_json()["checks"]
        assert checks == {
            "process": "ok",
            "database": "The database is read-only.",
            "artifacts": f"The artifact root {disk}/artifacts is read-only.",
        }
        answer = client.post("/tune", json=WANTED)
        assert answer.status_code == 503
        assert answer.get_json()["detail"] == "The database is read-only."
        assert upload(client).status_code == 503
    finally:
        remount(disk, "rw")
    assert client.get("/readyz").status_code == 200


def test_a_disk_that_is_read_only_from_the_start_is_told(
    disk: Path, settings: Settings, connect: Connect, tmp_path: Path
) -> None:
    shutil.copy(Path(settings.data) / "luthier.db", disk)
    remount(disk, "ro")
    try:
        client = connect(replace(settings, data=str(disk), artifacts=str(tmp_path / "artifacts")))
        checks = client.get("/readyz").get_json()["checks"]
        assert checks["database"] == "The database is read-only."
    finally:
        remount(disk, "rw")


def test_a_damaged_database_is_told_apart_from_one_that_does_not_answer(
    settings: Settings, connect: Connect
) -> None:
    path = Path(settings.data) / "luthier.db"
    with path.open("r+b") as file:
        file.seek(100)
        file.write(os.urandom(path.stat().st_size - 100))
    client = connect(settings)
    checks = client.get("/readyz").get_json()["checks"]
    assert checks["database"] == "The database file is damaged; restore it from a backup."
    answer = client.get("/tune")
    assert answer.status_code == 500
    assert "damaged" in answer.get_json()["detail"]


def test_a_lock_of_others_is_told_and_does_not_count_against_readiness(
    settings: Settings, connect: Connect
) -> None:
    client = connect(replace(settings, database_wait=0.2))
    path = Path(settings.data) / "luthier.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert client.get("/readyz").status_code == 200
        answer = client.post("/tune", json=WANTED)
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "1"
        assert "locked" in answer.get_json()["detail"]
        other.execute("ROLLBACK")
    assert client.post("/tune", json=WANTED).status_code == 202


def test_writing_is_tried_once_in_some_seconds(settings: Settings, connect: Connect) -> None:
    client = connect(settings)
    with closing(sqlite3.connect(Path(settings.data) / "luthier.db")) as other:
        numbers = set()
        for _ in range(5):
            assert client.get("/readyz").status_code == 200
            numbers |= {other.execute("PRAGMA user_version").fetchone()[0]}
    assert len(numbers) == 1


@pytest.mark.both_databases
def test_the_test_of_writing_works_on_either_database(database: Database) -> None:
    database.check_writable()
    database.check_writable()


def test_postgresql_that_only_reads_is_told(migrated_postgresql: Database) -> None:
    url = migrated_postgresql.engine.url.update_query_dict(
        {"options": "-c default_transaction_read_only=on"}
    )
    database = Database(url.render_as_string(hide_password=False))
    try:
        with pytest.raises(DBAPIError) as caught:
            database.check_writable()
        assert str(database.explain(caught.value)) == "The database is read-only."
    finally:
        database.close()


@pytest.mark.both_stores
def test_the_test_of_writing_works_in_either_store(settings: Settings) -> None:
    artifacts = Artifacts(settings.resolved_artifacts)
    artifacts.check()
    artifacts.check()
    assert artifacts.names() == []


def test_a_full_disk_is_one_that_waiting_may_help(disk: Path) -> None:
    artifacts = Artifacts(str(disk))
    fill(disk)
    with pytest.raises(StorageFull) as caught:
        artifacts.write("a", bytes(64 * 1024))
    assert isinstance(caught.value, Unavailable)


@pytest.mark.parametrize("name", ["a?b", "a%20b", "a#b", "a::b", "a [b] *", "ä+&=b"])
def test_the_data_may_lie_in_a_folder_of_any_name(
    name: str, tmp_path: Path, connect: Connect, migrated: Path
) -> None:
    data = tmp_path / name
    data.mkdir()
    shutil.copy(migrated, data / "luthier.db")
    settings = Settings(data=str(data))
    client = connect(settings)
    assert client.get("/readyz").status_code == 200
    dataset = upload(client).get_json()["id"]
    assert client.get(f"/datasets/{dataset}/preview").get_json()["items"][0] == {"n": 0}
    assert client.delete(f"/datasets/{dataset}").status_code == 204
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]
    assert {path.name for path in data.iterdir()} >= {"luthier.db", "artifacts"}
    assert client.post("/tune", data=json.dumps(WANTED), content_type="application/json").is_json
