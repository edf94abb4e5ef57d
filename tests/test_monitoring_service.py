"""Monitoring over HTTP, by two real API processes that add up what they count."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from luthier.client import Client, RequestRefused
from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.engine import Database
from tests.monitoring.conftest import houses, instances, publisher
from tests.processes import answers, fetch, free_bind, running, stop
from tests.waiting import PATIENCE, wait_until

ROWS = instances(houses(100, 7))


@pytest.fixture
def url(settings: Settings, database: Database, tmp_path: Path) -> Iterator[str]:
    """An API of two processes whose model `m` has two versions."""
    publish = publisher(database, Artifacts(settings.resolved_artifacts))
    publish()
    publish()
    bind, log = free_bind(), tmp_path / "api.log"
    options: dict[str, Any] = {"data": settings.data, "bind": bind, "api_processes": 2}
    options |= {"monitoring_seconds": 0.05, "prediction_log_seconds": 0.05}
    with running("api", log, **options) as process:
        url = f"http://{bind}"
        wait_until(lambda: process.poll() is not None or answers(f"{url}/readyz"))
        yield url
        assert stop(process) == 0, log.read_text()


def test_two_processes_count_log_and_guard_as_one(url: str, settings: Settings) -> None:
    changes = {"prediction_log": {}, "rollback_when": {"error_rate": 0.1, "min_requests": 50}}
    assert fetch(f"{url}/models/m", "PATCH", json=changes).is_success
    # Each call has a connection of its own, which either process may take.
    wait_until(lambda: all(predict(url).startswith("log") for _ in range(10)))
    identity = predict(url)
    for _ in range(20):
        predict(url, ROWS[:5])
    wait_until(lambda: version(url)["rows"] >= 100)
    counted = version(url)
    assert counted["errors"] == 0
    assert counted["drift"]["rows"] == counted["rows"]

    with Client(url, PATIENCE) as client:
        wait_until(lambda: scored(client, identity))
        assert client.monitor("m")["versions"][0]["live_score"]["rows"] == 1

    def fails() -> bool:
        body = {"model": "m", "instances": [{"x": "far", "town": "Graz"}], "version": 2}
        assert fetch(f"{url}/predict", "POST", json=body).status_code == 422
        return champion(url) == 1

    wait_until(fails)
    moves = fetch(f"{url}/models/m/aliases/champion/history").json()["items"]
    assert [(move["from"], move["to"]) for move in moves] == [(2, 1), (1, 2), (None, 1)]
    assert moves[0]["by"] == "luthier guard"
    assert "the error rate" in moves[0]["reason"]


def test_what_is_not_written_yet_is_written_at_the_end(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    artifacts = Artifacts(settings.resolved_artifacts)
    publisher(database, artifacts)()
    bind, log = free_bind(), tmp_path / "api.log"
    options: dict[str, Any] = {"data": settings.data, "bind": bind}
    options |= {"monitoring_seconds": 0.05, "prediction_log_seconds": 3600}
    with running("api", log, **options) as process:
        url = f"http://{bind}"
        wait_until(lambda: process.poll() is not None or answers(f"{url}/readyz"))
        assert fetch(f"{url}/models/m", "PATCH", json={"prediction_log": {}}).is_success
        assert predict(url).startswith("log")
        assert artifacts.names("logs") == []
        assert stop(process) == 0, log.read_text()
    assert len(artifacts.names("logs")) == 1


def predict(url: str, rows: Any = ROWS[:1]) -> str:
    """Predict rows; return the id of the answer."""
    body = {"model": "m", "instances": rows}
    return str(fetch(f"{url}/predict", "POST", json=body).json()["prediction_id"])


def scored(client: Client, identity: str) -> bool:
    """Whether the log has the prediction already; the other process may hold it in memory."""
    try:
        return client.feedback("m", identity, 5.0) == {"predictions": 1, "rows": 1}
    except RequestRefused as refused:
        if refused.status != 409:
            raise
        return False


def version(url: str) -> Any:
    """What the monitor says of the newest version."""
    return fetch(f"{url}/models/m/monitor").json()["versions"][0]


def champion(url: str) -> int:
    return int(fetch(f"{url}/models/m").json()["aliases"]["champion"])
