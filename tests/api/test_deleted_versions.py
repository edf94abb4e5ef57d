"""What clients get from a version while it is deleted, and afterwards."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask.testing import FlaskClient

from models.registry.catalog.catalog import ModelCatalog
from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.engine import Database
from tests.tiny_versions import write_version
from tests.waiting import wait_until

Refused = Callable[..., dict[str, Any]]
CLIENTS = 4


@pytest.fixture
def publish(database: Database, settings: Settings) -> Callable[[], int]:
    """Publish the next version of `m`, which doubles and adds its number."""
    catalog, artifacts = ModelCatalog(database), Artifacts(settings.resolved_artifacts)

    def publish_next() -> int:
        version = catalog.reserve("m", "regression", "job_1", 1)
        files = write_version(artifacts, "m", version)
        with database.write() as connection:
            details = {"metrics": None, "baseline": None}
            catalog.publish(connection, "m", version, 1, files, details)
        return version

    return publish_next


def test_requests_under_way_are_answered_and_later_ones_are_not_found(
    app_client: FlaskClient, publish: Callable[[], int]
) -> None:
    publish()
    publish()
    body = {"model": "m", "version": 1, "instances": [{"x": 3.0}]}
    answered: Counter[int] = Counter()
    is_gone = threading.Event()

    def ask(number: int) -> list[tuple[int, Any]]:
        """Predict until some answers came after the deletion was answered."""
        client, found, late = app_client.application.test_client(), [], 0
        while late < 3:
            is_late = is_gone.is_set()
            response = client.post("/predict", json=body)
            found.append((response.status_code, response.get_json().get("predictions")))
            answered[number] += 1
            late += is_late
        return found

    with ThreadPoolExecutor(CLIENTS) as threads:
        asking = [threads.submit(ask, number) for number in range(CLIENTS)]
        wait_until(lambda: len(answered) == CLIENTS and min(answered.values()) > 5)
        assert app_client.delete("/models/m/versions/1").status_code == 204
        is_gone.set()
        found = [future.result() for future in asking]
    for answers in found:
        statuses = [status for status, _ in answers]
        assert set(statuses) == {200, 404}
        assert statuses == sorted(statuses), "found again after it was gone"
        assert statuses[-3:] == [404] * 3
        assert all(values == [7.0] for status, values in answers if status == 200)


def test_a_loaded_version_serves_those_who_found_it_before_it_was_deleted(
    app_client: FlaskClient, publish: Callable[[], int], settings: Settings, refused: Refused
) -> None:
    publish()
    publish()
    body = {"model": "m", "version": 1, "instances": [{"x": 3.0}]}
    assert app_client.post("/predict", json=body).status_code == 200
    assert app_client.delete("/models/m/versions/1").status_code == 204
    assert not Artifacts(settings.resolved_artifacts).names("models/m/1")
    refused(app_client.post("/predict", json=body), 404)
    engine = app_client.application.extensions["luthier"].predictions
    # As a request does that resolved the version before.
    assert engine.predict("m", 1, [{"x": 3.0}]).predictions == [7.0]
    assert ("m", 1) in engine.held()


def test_a_number_never_comes_to_mean_another_version(
    app_client: FlaskClient, publish: Callable[[], int], refused: Refused
) -> None:
    assert publish() == 1
    body = {"model": "m", "instances": [{"x": 3.0}]}
    assert app_client.post("/predict", json=body).get_json()["predictions"] == [7.0]
    assert app_client.delete("/models/m").status_code == 204
    refused(app_client.post("/predict", json=body), 404)
    assert publish() == 2
    answer = app_client.post("/predict", json=body).get_json()
    assert (answer["version"], answer["predictions"]) == (2, [8.0])
