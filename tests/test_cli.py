"""The commands as real processes: how they start, refuse to start, and stop."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from sqlalchemy import text

from luthier import __version__
from luthier.server import check_bind
from models.errors import SettingError
from models.settings import Settings
from models.store.engine import Database
from tests.postgres import PostgresServer
from tests.processes import (
    STOP_WITHIN,
    Process,
    descendants,
    fetch,
    free_bind,
    has_ended,
    run,
    running,
    subcommand,
)
from tests.waiting import wait_until


@dataclass(frozen=True)
class Started:
    process: Process
    bind: str
    log: Path


@contextmanager
def serving(folder: Path) -> Iterator[Started]:
    bind, log = free_bind(), folder / "log"
    with running("serve", log, bind=bind, data=folder / "data", trial_slots=1) as process:
        wait_until(lambda: process.poll() is not None or "ready" in log.read_text())
        yield Started(process, bind, log)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Started]:
    """A `luthier serve` that has said that it is ready."""
    with serving(tmp_path) as started:
        yield started


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """The same, one for all tests that leave it running."""
    with serving(tmp_path_factory.mktemp("shared")) as started:
        yield started


def test_serve_says_when_it_is_ready_and_stops_cleanly(served: Started) -> None:
    assert f"Luthier is ready at http://{served.bind}\n" in served.log.read_text()
    assert fetch(f"http://{served.bind}/readyz").json()["status"] == "ready"
    everything = descendants(served.process)
    assert len(everything) >= 3
    served.process.terminate()
    assert served.process.wait(STOP_WITHIN) == 0
    wait_until(lambda: all(has_ended(process.pid) for process in everything))
    assert "SIGABRT" not in served.log.read_text()
    with pytest.raises(httpx.ConnectError):
        fetch(f"http://{served.bind}/healthz")


def test_serve_waits_for_a_database_that_does_not_answer_yet(tmp_path: Path) -> None:
    server, log = PostgresServer(), tmp_path / "log"
    settings: dict[str, Any] = {"database_url": server.url("postgres"), "data": tmp_path}
    try:
        server.stop()
        with running("serve", log, bind=free_bind(), trial_slots=1, **settings) as process:
            wait_until(lambda: process.poll() is not None or "Waiting for it." in log.read_text())
            assert process.poll() is None, log.read_text()
            server.start()
            wait_until(lambda: process.poll() is not None or "is ready at" in log.read_text())
            assert process.poll() is None, log.read_text()
    finally:
        server.remove()


def test_serve_can_be_stopped_while_it_waits(tmp_path: Path) -> None:
    (tmp_path / "data").touch()  # where there should be a folder
    log = tmp_path / "log"
    with running("serve", log, bind=free_bind(), data=tmp_path / "data") as process:
        wait_until(lambda: process.poll() is not None or "Waiting for it." in log.read_text())
        process.terminate()
        assert process.wait(STOP_WITHIN) == 0, log.read_text()


def test_a_worker_that_dies_is_started_again(shared: Started) -> None:
    first = wait_until(lambda: subcommand(shared.process, "worker"))
    first.kill()

    def restarted() -> psutil.Process | None:
        found = subcommand(shared.process, "worker")
        return found if found != first else None

    second = wait_until(restarted)
    assert second.pid != first.pid
    assert fetch(f"http://{shared.bind}/readyz").is_success
    assert "starting it again" in shared.log.read_text()


def test_serve_ends_with_its_api_and_leaves_nothing_behind(served: Started) -> None:
    everything = descendants(served.process)
    wait_until(lambda: subcommand(served.process, "api")).kill()
    assert served.process.wait(STOP_WITHIN) == 1
    wait_until(lambda: all(has_ended(process.pid) for process in everything))


def test_a_killed_serve_takes_its_processes_along(served: Started) -> None:
    everything = descendants(served.process)
    served.process.kill()
    served.process.wait()
    wait_until(lambda: all(has_ended(process.pid) for process in everything))


def test_a_port_in_use_is_told_and_nothing_is_left_running(shared: Started, tmp_path: Path) -> None:
    refused = run("serve", bind=shared.bind, data=tmp_path / "other")
    assert refused.returncode != 0
    assert f"LUTHIER_BIND='{shared.bind}': Address already in use" in refused.stderr
    assert "ready" not in refused.stdout
    assert fetch(f"http://{shared.bind}/readyz").is_success
    assert not (tmp_path / "other").exists(), "it has started nothing"


@pytest.mark.parametrize("command", ["serve", "api"])
def test_an_address_beyond_this_machine_is_not_served_unasked(tmp_path: Path, command: str) -> None:
    refused = run(command, bind="0.0.0.0:8000", data=tmp_path / "data")
    assert refused.returncode == 1
    assert "LUTHIER_BIND='0.0.0.0:8000'" in refused.stderr
    assert "LUTHIER_ALLOW_ANONYMOUS=1" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("bind", ["0.0.0.0:80", "[::]:80", "192.0.2.1:80", "luthier.test:80"])
def test_an_address_beyond_this_machine_must_be_asked_for_by_name(bind: str) -> None:
    with pytest.raises(SettingError, match="LUTHIER_ALLOW_ANONYMOUS=1"):
        check_bind(Settings(bind=bind))
    check_bind(Settings(bind=bind, allow_anonymous=True))


@pytest.mark.parametrize("bind", ["127.0.0.1:80", "127.1.2.3:80", "[::1]:80", "localhost:80"])
def test_an_address_of_this_machine_needs_nothing(bind: str) -> None:
    check_bind(Settings(bind=bind))


@pytest.mark.parametrize("bind", ["8000", "127.0.0.1", "127.0.0.1:http", "127.0.0.1:99999", ""])
def test_an_address_without_a_port_is_refused(bind: str) -> None:
    with pytest.raises(SettingError) as refusal:
        check_bind(Settings(bind=bind))
    assert f"LUTHIER_BIND={bind!r}: expected address and port" in str(refusal.value)


def test_an_address_beyond_this_machine_is_served_when_it_is_asked_for(
    tmp_path: Path, settings: Settings
) -> None:
    bind, log = free_bind().replace("127.0.0.1", "0.0.0.0"), tmp_path / "log"
    with running("api", log, bind=bind, data=settings.data, allow_anonymous=1) as process:
        wait_until(lambda: process.poll() is not None or "Listening at" in log.read_text())
        assert process.poll() is None


def test_a_bad_setting_ends_every_command_with_its_name() -> None:
    for command in ("serve", "api", "worker", "migrate", "openapi"):
        refused = run(command, trial_slots="many")
        assert refused.returncode == 1
        assert "LUTHIER_TRIAL_SLOTS='many': expected a whole number." in refused.stderr
        assert "Traceback" not in refused.stderr


def test_migrate_brings_a_database_to_the_newest_schema(tmp_path: Path) -> None:
    for _ in range(2):
        assert run("migrate", data=tmp_path).returncode == 0
    database = Database(Settings(data=str(tmp_path)).resolved_database_url)
    assert database.is_current
    database.close()


@pytest.mark.parametrize(
    ("revision", "says"),
    [("0001", "stands at 0001, this version of Luthier needs"), ("9999", "newer than this")],
)
def test_api_and_worker_refuse_a_schema_that_they_do_not_know(
    settings: Settings, database: Database, revision: str, says: str
) -> None:
    with database.write() as connection:
        connection.execute(text(f"UPDATE alembic_version SET version_num = '{revision}'"))
    for command in ("api", "worker"):
        refused = run(command, bind=free_bind(), data=settings.data)
        assert refused.returncode == 1
        assert says in refused.stderr
        assert "Traceback" not in refused.stderr


def test_a_database_that_does_not_answer_is_named_without_its_password() -> None:
    url = f"postgresql://luthier:secret@{free_bind()}/luthier"
    refused = run("migrate", database_url=url)
    assert refused.returncode == 1
    assert "The database cannot be migrated: " in refused.stderr
    assert "secret" not in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_worker_that_must_have_a_gpu_ends_without_one(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"data": tmp_path, "trial_slots": 1}
    assert run("migrate", **settings).returncode == 0
    ended = run("worker", **settings, require_gpu=1, log_level="ERROR")
    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: LUTHIER_REQUIRE_GPU=1: TensorFlow sees no GPU.")


def test_help_and_version_are_told() -> None:
    shown = run("--help").stdout
    assert all(command in shown for command in ("serve", "api", "worker", "migrate", "openapi"))
    assert run("--version").stdout == f"luthier, version {__version__}\n"
