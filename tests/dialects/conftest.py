import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.engine import Database
from tests.dialects.versions import publish_all
from tests.processes import answers, free_bind, running
from tests.waiting import wait_until


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Settings:
    """Settings of a service that has the versions of `publish_all`."""
    data = tmp_path_factory.mktemp("published")
    shutil.copy(migrated, data / "luthier.db")
    settings = Settings(data=str(data), max_instances=100)
    with closing(Database(settings.resolved_database_url)) as database:
        publish_all(database, Artifacts(settings.resolved_artifacts))
    return settings


@pytest.fixture(scope="session")
def api(published: Settings, connect: Callable[[Settings], FlaskClient]) -> FlaskClient:
    """A client of an API over the published versions."""
    return connect(published)


@pytest.fixture(scope="session")
def served(published: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real server of the same versions."""
    bind, log = free_bind(), tmp_path_factory.mktemp("served") / "api.log"
    with running("api", log, bind=bind, data=published.data, max_instances=100) as process:
        wait_until(lambda: process.poll() is not None or answers(f"http://{bind}/readyz"))
        assert process.poll() is None, log.read_text()
        yield bind


@pytest.fixture(scope="session")
def grpc_served(api: FlaskClient) -> Iterator[str]:
    """The address of a gRPC server in this process, which needs no key."""
    grpc = pytest.importorskip("grpc")
    from api.dialects.grpc_service import InferenceService

    service = InferenceService(api.application.extensions["luthier"], is_open=True)
    server = grpc.server(ThreadPoolExecutor(2), (service.handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()
