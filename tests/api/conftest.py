import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from luthier.client import Client
from models.settings import Settings
from tests.waiting import PATIENCE

PROBLEM = "application/problem+json"
TINY: dict[str, Any] = {
    "search_space": {"num_layers": 1, "units": {"type": "choice", "values": [4, 8]}},
    "strategy": "grid",
    "budget": {"epochs": 2, "max_trials": 2},
}

SMALL_LIMITS: dict[str, Any] = {
    "max_body_bytes": 20_000,
    "max_inflated_bytes": 50_000,
    "max_rows": 100,
    "max_columns": 20,
    "max_cell_length": 50,
    "max_instances": 3,
    "max_queued_jobs": 2,
    "max_trials_per_job": 5,
    "max_json_depth": 8,
}


@pytest.fixture(scope="module")
def shared_client(
    tmp_path_factory: pytest.TempPathFactory,
    migrated: Path,
    connect: Callable[[Settings], FlaskClient],
) -> FlaskClient:
    """Like `app_client`, but one for a whole module, whose tests must not depend on each other."""
    data = tmp_path_factory.mktemp("api")
    shutil.copy(migrated, data / "luthier.db")
    return connect(
        Settings(data=str(data), trial_slots=2, forecast_seconds=0, max_body_bytes=1_000_000)
    )


@pytest.fixture
def refused() -> Callable[..., dict[str, Any]]:
    """Check that a response is a problem of this status; answer its messages by path."""

    def check(response: TestResponse, status: int) -> dict[str, Any]:
        body = response.get_json()
        assert response.status_code == status, body
        assert response.mimetype == PROBLEM
        assert body["status"] == status
        assert body["detail"] == body["error"]
        assert body["instance"] == response.request.path
        return body.get("errors", {})

    return check


@pytest.fixture
def small(settings: Settings, connect: Callable[[Settings], FlaskClient]) -> FlaskClient:
    return connect(Settings(data=settings.data, **SMALL_LIMITS))


@pytest.fixture
def names(
    small: FlaskClient, refused: Callable[..., dict[str, Any]]
) -> Callable[..., dict[str, Any]]:
    """Send a request; it must be refused with this status and name this setting."""

    def check(setting: str, status: int, path: str, **request: Any) -> dict[str, Any]:
        response = small.post(path, **request)
        errors = refused(response, status)
        assert f"LUTHIER_{setting.upper()}" in response.get_json()["detail"]
        return errors

    return check


@dataclass(frozen=True)
class Trained:
    """What the service has trained for all tests: `flats` in two versions, `iris` and `stock`."""

    client: Client
    http: httpx.Client
    rows: list[dict[str, Any]]  # of flats, without the target
    jobs: dict[str, dict[str, Any]]  # by model; the last one of flats


@pytest.fixture(scope="session")
def http(service: Any) -> Iterator[httpx.Client]:
    """Plain HTTP to the service."""
    with httpx.Client(base_url=service.url, timeout=PATIENCE) as http:
        yield http


@pytest.fixture(scope="session")
def trained(client: Client, http: httpx.Client) -> Trained:
    rows = flats()
    requests: dict[str, dict[str, Any]] = {
        "flats": {"dataset": {"records": rows}, "target": "price"},
        "iris": {"dataset": "builtin:iris", "target": "target"},
        "stock": {"dataset": {"records": rows}, "target": "kind", "features": ["area", "town"]},
    }
    ended = [client.wait(client.tune(TINY | {"model": "flats"} | requests["flats"])["id"])]
    again = TINY | {"seed": 2, "promote": "always"}  # the second of `flats` is the champion
    started = [client.tune(again | {"model": m} | requests[m]) for m in requests]
    ended += [client.wait(job["id"], every=0.1) for job in started]
    assert [job["state"] for job in ended] == ["succeeded"] * 4, ended
    inputs = [{name: cell for name, cell in row.items() if name != "price"} for row in rows]
    return Trained(client, http, inputs, {job["model"]: job for job in ended})


def flats() -> list[dict[str, Any]]:
    """Rows with every type of column but images, and with missing cells."""
    return [
        {
            "area": None if n % 11 == 0 else 40.0 + n,
            "town": None if n % 13 == 0 else ["Graz", "Wien", "Linz"][n % 3],
            "garden": n % 2 == 0,
            "sold": f"2024-{1 + n % 12:02}-{1 + n % 28:02}",
            "kind": "dear" if n % 3 == 1 else "cheap",
            "price": 1000.0 * n + 500.0 * (n % 3),
        }
        for n in range(60)
    ]
