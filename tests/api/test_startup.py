import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from flask.testing import FlaskClient

from models.settings import Settings
from models.store.engine import Database
from models.store.migrate import migrate
from tests.processes import fetch, free_bind, running
from tests.waiting import wait_until

HEAVY = ("tensorflow", "keras", "keras_tuner", "pandas", "sklearn", "pyarrow", "onnx", "psycopg")
MAX_MEMORY = 150 * 1024**2  # bytes resident


def test_the_api_imports_nothing_heavy() -> None:
    script = "import sys, api.app; print(*sorted(name for name in sys.modules if '.' not in name))"
    process = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert not set(process.stdout.split()) & set(HEAVY)


@pytest.fixture
def api(settings: Settings, tmp_path: Path) -> Iterator[tuple[str, psutil.Process]]:
    """A started `luthier api`, and where it listens."""
    bind = free_bind()
    with running("api", tmp_path / "api.log", bind=bind, data=settings.data) as process:
        wait_until(lambda: _answers(bind))
        yield f"http://{bind}", psutil.Process(process.pid)


def test_a_started_api_is_small(api: tuple[str, psutil.Process]) -> None:
    url, process = api
    assert fetch(f"{url}/tune").json()["items"] == []
    (worker,) = process.children()
    assert worker.memory_info().rss < MAX_MEMORY
    assert process.memory_info().rss < MAX_MEMORY


def test_it_is_alive_before_it_is_ready_and_says_what_is_missing(
    tmp_path: Path,
    connect: Callable[[Settings], FlaskClient],
    refused: Callable[..., dict[str, Any]],
) -> None:
    settings = Settings(data=str(tmp_path))
    client = connect(settings)
    assert client.get("/healthz").get_json() == {"status": "ok"}
    response = client.get("/readyz")
    refused(response, 503)
    assert "luthier migrate" in response.get_json()["detail"]
    database = Database(settings.resolved_database_url)
    migrate(database)
    database.close()
    assert client.get("/readyz").get_json() == {
        "status": "ready",
        "checks": {"process": "ok", "database": "ok", "artifacts": "ok"},
    }


def test_a_database_that_does_not_answer_is_told_apart(
    tmp_path: Path,
    connect: Callable[[Settings], FlaskClient],
    refused: Callable[..., dict[str, Any]],
) -> None:
    client = connect(Settings(database_url=f"sqlite:///{tmp_path}", data=str(tmp_path)))
    response = client.get("/readyz")
    refused(response, 503)
    assert response.get_json()["detail"] == "The database does not answer."
    assert response.get_json()["checks"] == {
        "process": "ok",
        "database": "The database does not answer.",
        "artifacts": "ok",
    }
    assert client.get("/healthz").status_code == 200


def test_artifacts_that_cannot_be_used_are_told_until_they_can(
    settings: Settings, connect: Callable[[Settings], FlaskClient], tmp_path: Path
) -> None:
    root = tmp_path / "artifacts"
    root.write_text("a file where a folder should be")
    client = connect(replace(settings, artifacts=str(root)))
    response = client.get("/readyz")
    assert response.status_code == 503
    checks = response.get_json()["checks"]
    assert checks.pop("artifacts").startswith(f"The artifact root {root} cannot be used: ")
    assert set(checks.values()) == {"ok"}
    root.unlink()
    assert client.get("/readyz").status_code == 200
    assert [file.name for file in root.iterdir()] == [".luthier"], "its mark is all it leaves"


def _answers(bind: str) -> bool:
    try:
        return fetch(f"http://{bind}/healthz").is_success
    except httpx.TransportError:
        return False
