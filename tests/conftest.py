import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from processes import free_bind, running, stop
from waiting import wait_until

from api.app import create_app
from luthier.client import Client
from models.settings import Settings
from models.store.engine import Database
from models.store.migrate import migrate


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
    with running("serve", log, bind=bind, data=data, trial_slots=2, worker_bind=worker) as process:
        wait_until(lambda: process.poll() is not None or "Luthier is ready" in log.read_text())
        assert process.poll() is None, log.read_text()
        yield Service(f"http://{bind}", data, log, f"http://{worker}")
        assert stop(process) == 0, log.read_text()
        assert "SIGABRT" not in log.read_text()


@pytest.fixture(scope="session")
def client(service: Service) -> Iterator[Client]:
    with Client(service.url) as client:
        yield client


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file at the newest schema, to be copied: quicker than migrating for each test."""
    path = tmp_path_factory.mktemp("migrated") / "luthier.db"
    database = Database(f"sqlite:///{path}")
    migrate(database)
    database.close()
    return path


@pytest.fixture
def settings(tmp_path: Path, migrated: Path) -> Settings:
    """Settings of a migrated data folder of its own."""
    data = tmp_path / "data"
    data.mkdir()
    shutil.copy(migrated, data / "luthier.db")
    return Settings(data=str(data), trial_slots=2, forecast_seconds=0)


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
def app_client(settings: Settings, connect: Callable[[Settings], FlaskClient]) -> FlaskClient:
    """A client of an API over a fresh database; what is queued is never worked on."""
    return connect(settings)
