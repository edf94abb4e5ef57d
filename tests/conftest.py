import gc
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from api.app import create_app
from luthier.client import Client
from models.settings import Settings
from models.store.engine import Database
from models.store.migrate import migrate
from models.store.tables import metadata
from tests.object_store import s3_server
from tests.postgres import PostgresServer
from tests.processes import free_bind, running, stop
from tests.waiting import PATIENCE, wait_until

# The same examples in every run, and nothing that depends on how fast they are made.
hypothesis_settings.register_profile(
    "luthier",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
hypothesis_settings.load_profile("luthier")

# Marks for tests, or modules, that hold over either kind: mark -> fixture, its kinds.
_KINDS = {
    "both_databases": ("backend", ["sqlite", "postgresql"]),
    "both_stores": ("store", ["folder", "s3"]),
}

# `make test-fast` leaves out these files and folders, which import TensorFlow or start processes;
# tests that use one of these fixtures, or kinds of database and store; and tests marked `slow`.
_SLOW_PATHS = {
    Path(__file__).parent / path
    for path in (
        "api/test_dry_run.py",
        "api/test_imports.py",
        "api/test_startup.py",
        "batches/test_batch_worker.py",
        "chaos/test_slice.py",
        "client/test_distribution.py",
        "commands/test_without_a_service.py",
        "dashboard",
        "dialects/test_grpc.py",
        "dialects/test_protocols_page.py",
        "dialects/test_triton_client.py",
        "executors",
        "fuzzing",
        "jobs/test_absent_parts.py",
        "jobs/test_last_scores.py",
        "jobs/test_forecast_points.py",
        "jobs/test_oracle_thread.py",
        "jobs/test_reuse.py",
        "jobs/test_search.py",
        "jobs/test_steering.py",
        "jobs/test_unreadable_jobs.py",
        "jobs/test_worker.py",
        "jobs/test_worker_deaths.py",
        "networks",
        "oracles/test_hyperband.py",
        "oracles/test_oracle_contract.py",
        "oracles/test_sampling.py",
        "registry",
        "retention/test_commands.py",
        "retention/test_sweep.py",
        "reports/test_report_evidence.py",
        "reports/test_report_pages.py",
        "serving/test_imports.py",
        "space/test_narrowing.py",
        "space/test_space_properties.py",
        "test_api_processes.py",
        "test_cli.py",
        "test_client_retries.py",
        "test_docs_site.py",
        "test_documented_commands.py",
        "test_images.py",
        "test_keras_tuner_import.py",
        "test_monitoring_service.py",
        "test_promotion_service.py",
        "test_routing_service.py",
        "test_slow_clients.py",
        "test_upload_memory.py",
        "test_storage_faults.py",
        "test_strategies.py",
        "test_trial_exports.py",
        "trials",
    )
}
_SLOW_FIXTURES = {"service", "postgres", "migrated_postgresql", "s3"}
_SLOW_KINDS = {"postgresql", "s3"}


# Files that take minutes come first, the longest before all: the others fill what is left.
_LONGEST = (
    "chaos/test_slice.py",
    "test_steering_service.py",
    "jobs/test_worker.py",
    "jobs/test_absent_parts.py",
    "test_images.py",
    "jobs/test_last_scores.py",
    "test_readme.py",
    "test_strategies.py",
    "test_cli.py",
    "trials/test_numpy_parity.py",
    "test_examples.py",
    "test_promotion_service.py",
    "trials/test_keras_trainer.py",
    "test_reports_of_real_jobs.py",
    "test_parts_apart.py",
    "jobs/test_worker_deaths.py",
    "registry/test_stand_alone.py",
)
_RANKS = {Path(__file__).parent / path: rank for rank, path in enumerate(_LONGEST)}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="no server, no TensorFlow")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return True if config.getoption("fast") and collection_path in _SLOW_PATHS else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    slow = {item for item in items if _is_slow(item)}
    if config.getoption("fast"):
        config.hook.pytest_deselected(items=list(slow))
        items[:] = [item for item in items if item not in slow]
        return
    first = {item.path for item in slow}
    items.sort(key=lambda item: (_RANKS.get(item.path, len(_RANKS)), item.path not in first))


def pytest_collection_finish() -> None:
    """Let no garbage collection look at what lives to the end: Keras collects at every training."""
    gc.collect()
    gc.freeze()


def _is_slow(item: pytest.Item) -> bool:
    assert isinstance(item, pytest.Function)
    if item.get_closest_marker("slow") or not _SLOW_PATHS.isdisjoint(
        [item.path, *item.path.parents]
    ):
        return True
    kinds = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return not _SLOW_FIXTURES.isdisjoint(item.fixturenames) or any(
        kind in _SLOW_KINDS for kind in kinds if isinstance(kind, str)
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("fast"):
        if gone := [str(path) for path in (*_SLOW_PATHS, *_RANKS) if not path.exists()]:
            raise pytest.UsageError(f"tests/conftest.py names slow tests that are gone: {gone}")
        sys.modules["tensorflow"] = None  # type: ignore[assignment]  # an import of it now fails
    for mark, (_, kinds) in _KINDS.items():
        config.addinivalue_line("markers", f"{mark}: run over each of {', '.join(kinds)}")
    config.addinivalue_line("markers", "slow: left out by make test-fast")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test over its kinds; over both databases and both stores in pairs, not all four.

    Nothing depends on the database and the store together.
    """
    found = {
        fixture: kinds
        for mark, (fixture, kinds) in _KINDS.items()
        if fixture in metafunc.fixturenames and metafunc.definition.get_closest_marker(mark)
    }
    if found:
        pairs = list(zip(*found.values(), strict=True))
        metafunc.parametrize(list(found), pairs, indirect=True)


@dataclass(frozen=True)
class Service:
    """A `luthier serve` that is ready."""

    url: str
    data: Path
    log: Path
    worker_url: str


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The whole service on a free port; it must stop cleanly at the end."""
    folder = tmp_path_factory.mktemp("service")
    bind, data, log = free_bind(), folder / "data", folder / "service.log"
    worker = free_bind()
    # A forecast may take as long as a busy machine needs to start its process.
    settings = {"data": data, "trial_slots": 2, "forecast_seconds": PATIENCE / 2}
    settings["sweep_seconds"] = 0  # events of ended jobs are looked at, at any time
    with running("serve", log, bind=bind, worker_bind=worker, **settings) as process:
        wait_until(lambda: process.poll() is not None or "Luthier is ready" in log.read_text())
        assert process.poll() is None, log.read_text()
        yield Service(f"http://{bind}", data, log, f"http://{worker}")
        assert stop(process) == 0, log.read_text()
        assert "SIGABRT" not in log.read_text()


@pytest.fixture(scope="session")
def client(service: Service) -> Iterator[Client]:
    with Client(service.url, timeout=PATIENCE) as client:
        yield client


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file at the newest schema, to be copied: quicker than migrating for each test."""
    path = tmp_path_factory.mktemp("migrated") / "luthier.db"
    database = Database(f"sqlite:///{path}")
    migrate(database)
    database.close()
    return path


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server for all tests."""
    server = PostgresServer()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def migrated_postgresql(postgres: PostgresServer) -> Iterator[Database]:
    """A database of the server at the newest schema."""
    database = Database(postgres.url("postgres"))
    migrate(database)
    yield database
    database.close()


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """An S3 server for all tests; the URL of its bucket."""
    with s3_server() as url:
        yield url


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> str:
    """The kind of database; SQLite unless a test is marked with `both_databases`."""
    return str(getattr(request, "param", "sqlite"))


@pytest.fixture
def store(request: pytest.FixtureRequest) -> str:
    """The kind of artifact root; a folder unless a test is marked with `both_stores`."""
    return str(getattr(request, "param", "folder"))


@pytest.fixture
def settings(
    tmp_path: Path, migrated: Path, backend: str, store: str, request: pytest.FixtureRequest
) -> Settings:
    """Settings of a migrated, empty database and an empty artifact root of its own."""
    data = tmp_path / "data"
    data.mkdir()
    url = artifacts = ""
    if backend == "sqlite":
        shutil.copy(migrated, data / "luthier.db")
    else:
        database: Database = request.getfixturevalue("migrated_postgresql")
        _empty(database)
        url = database.engine.url.render_as_string(hide_password=False)
    if store == "s3":
        artifacts = f"{request.getfixturevalue('s3')}/{secrets.token_hex(8)}"
    return Settings(
        data=str(data), database_url=url, artifacts=artifacts, trial_slots=2, forecast_seconds=0
    )


def _empty(database: Database) -> None:
    with database.write() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    database = Database(settings.resolved_database_url)
    yield database
    database.close()


@pytest.fixture(scope="session")
def connect() -> Iterator[Callable[[Settings], FlaskClient]]:
    """Make a client of an API over these settings, without a server or a worker."""
    opened = []

    def make(settings: Settings) -> FlaskClient:
        app = create_app(settings)
        opened.append(app.extensions["luthier"].database)
        return app.test_client()

    yield make
    for database in opened:
        database.close()


@pytest.fixture
def app_client(
    settings: Settings, connect: Callable[[Settings], FlaskClient]
) -> Iterator[FlaskClient]:
    """A client of an API over a fresh database; what is queued is never worked on."""
    client = connect(settings)
    yield client
    # A server has places for 60 connections, which the clients of many tests would take.
    client.application.extensions["luthier"].database.close()
