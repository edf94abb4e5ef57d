"""Errors, keys and limits have the form of the protocol whose path was asked."""

import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.engine import Database
from tests.dialects.versions import PRICES, ROWS, SIGNATURE, publish, write_flats

Connect = Callable[[Settings], FlaskClient]

KEYS = {"asks": "0123456789abcdef" * 2, "reads": "fedcba9876543210" * 2}
ASKED: dict[str, Any] = {
    "/v1/models/flats:predict": {"instances": ROWS},
    "/v2/models/flats/infer": {
        "inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [1]}]
    },
    "/invocations?model=flats": {"dataframe_records": ROWS},
}


@pytest.fixture(scope="module")
def keyed(published: Settings, connect: Connect) -> FlaskClient:
    text = f"asks:predict:{KEYS['asks']},reads:read:{KEYS['reads']}"
    return connect(replace(published, api_keys=text, max_json_bytes=2000))


def message(response: TestResponse, status: int) -> str:
    assert response.status_code == status, response.text
    assert response.mimetype == "application/json"
    body = response.get_json()
    assert set(body) in ({"error"}, {"error_code", "message"})
    return str(body.get("error") or body["message"])


def bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {KEYS[name]}"}


@pytest.mark.parametrize("path", list(ASKED))
def test_a_key_needs_the_scope_predict(keyed: FlaskClient, path: str) -> None:
    refusal = keyed.post(path, json=ASKED[path])
    assert "API key" in message(refusal, 401)
    assert refusal.headers["WWW-Authenticate"] == 'Bearer realm="luthier"'
    assert "'predict'" in message(keyed.post(path, json={}, headers=bearer("reads")), 403)
    assert keyed.post(path, json=ASKED[path], headers=bearer("asks")).status_code in (200, 400)


def test_metadata_needs_it_and_probes_do_not(keyed: FlaskClient) -> None:
    for path in ("/v1/models/flats", "/v2/models/flats", "/v2/models/flats/ready"):
        message(keyed.get(path), 401)
        assert keyed.get(path, headers=bearer("asks")).status_code == 200
    for path in ("/v2", "/v2/health/live", "/v2/health/ready", "/ping", "/health", "/version"):
        assert keyed.get(path).status_code == 200


@pytest.mark.parametrize("path", list(ASKED))
def test_large_bodies_broken_ones_and_pages_of_others(keyed: FlaskClient, path: str) -> None:
    headers = bearer("asks")
    large = keyed.post(path, data=b" " * 3000, headers=headers)
    assert "LUTHIER_MAX_JSON_BYTES" in message(large, 413)
    packed = {"Content-Encoding": "gzip", **headers}
    assert "gzip" in message(keyed.post(path, data=b"no gzip", headers=packed), 400)
    page = {"Origin": "http://elsewhere.example", **headers}
    assert "other sites" in message(keyed.post(path, json=ASKED[path], headers=page), 403)
    message(keyed.put(path, json={}, headers=headers), 405)


def test_a_fault_of_the_service_tells_nothing_of_its_inside(
    app_client: FlaskClient, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    artifacts = Artifacts(settings.resolved_artifacts)
    with closing(Database(settings.resolved_database_url)) as database:
        files = write_flats(artifacts, 1)
        publish(database, files, "flats", SIGNATURE)
    artifacts.write(f"models/flats/1/{files['model.onnx']['path']}", b"damaged")
    with caplog.at_level(logging.ERROR):
        for path, body in ASKED.items():
            assert settings.data not in message(app_client.post(path, json=body), 500)
        assert message(app_client.get("/v2/models/flats/ready"), 500)


def test_what_the_dialects_answer_is_counted(api: FlaskClient) -> None:
    def counted() -> float:
        for line in api.get("/metrics").text.splitlines():
            if line.startswith('luthier_predicted_rows_total{model="flats",version="1"}'):
                return float(line.split()[-1])
        return 0.0

    before = counted()
    body = api.post("/v1/models/flats:predict", json={"instances": ROWS}).get_json()
    assert body["predictions"] == PRICES
    assert counted() == before + len(ROWS)
