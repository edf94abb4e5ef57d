"""Graphs of others over HTTP: registered, served, kept, and never promoted by themselves."""

import io
import json
from collections.abc import Callable
from typing import Any

import onnxruntime
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from models.retention.collection import Collection
from models.retention.remover import Remover
from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.engine import Database
from tests import foreign_graphs as graphs

Refused = Callable[..., dict[str, Any]]


def send(client: FlaskClient, content: bytes, model: str = "m", **wanted: Any) -> TestResponse:
    """Upload a graph, with a request if something is wanted."""
    form: dict[str, Any] = {"file": (io.BytesIO(content), "graph.onnx")}
    if wanted:
        form["request"] = json.dumps(wanted)
    return client.post(f"/models/{model}/versions", data=form)


@pytest.mark.both_databases
@pytest.mark.both_stores
def test_a_graph_becomes_a_version_that_answers(
    app_client: FlaskClient, database: Database, settings: Settings
) -> None:
    made = send(app_client, graphs.linear(3), columns=["a", "b", "c"], tags=["theirs"])
    assert made.status_code == 201, made.get_json()
    assert made.headers["Location"] == "/models/m/versions/1"
    version = made.get_json()
    assert version["source"] == "imported"
    assert (version["job"], version["trial"], version["metrics"]) == (None, None, None)
    assert version["evidence"]["note"] == "imported: no evidence"
    assert version["evidence"]["tags"] == ["theirs"]
    assert version["promotion"]["promoted"] is True
    assert set(version["files"]) == {"README.md", "model.onnx", "signature.json", "evidence.json"}
    rows = [{"a": 1, "b": 2, "c": 3}, [0, 0, 1]]
    answer = app_client.post("/predict", json={"model": "m", "instances": rows}).get_json()
    assert answer["predictions"] == [14.0, 3.0]
    graph = app_client.get("/models/m/versions/1/artifacts/model.onnx").data
    assert [item.name for item in onnxruntime.InferenceSession(graph).get_inputs()] == list("abc")
    assert app_client.get("/models/m/versions/1").get_json() == version

    again = send(app_client, graphs.linear(3)).get_json()
    assert again["version"] == 2
    assert again["promotion"]["promoted"] is False
    assert "imported" in again["promotion"]["reason"]
    assert app_client.get("/models/m").get_json()["aliases"] == {"champion": 1}
    moved = app_client.put("/models/m/aliases/champion", json={"version": 2})
    assert moved.get_json()["aliases"] == {"champion": 2}

    artifacts = Artifacts(settings.resolved_artifacts)
    remover = Remover(database, artifacts)
    assert Collection(artifacts, remover).find(0) == []
    kept = set(artifacts.names("models/m/2"))
    assert app_client.delete("/models/m/versions/1").status_code == 204
    assert set(artifacts.names("models")) == kept


def test_classes_come_from_the_graph(app_client: FlaskClient) -> None:
    version = send(app_client, graphs.classifier(("cat", "dog"))).get_json()
    assert version["task"] == "binary"
    body = {"model": "m", "instances": [[1.0, 2.0]], "threshold": 0.99}
    answer = app_client.post("/predict", json=body).get_json()
    assert (answer["classes"], answer["predictions"]) == (["cat", "dog"], ["cat"])


def test_a_refused_graph_leaves_nothing(
    app_client: FlaskClient, refused: Refused, settings: Settings
) -> None:
    assert "file" in refused(send(app_client, b"no graph"), 422)
    assert "request.classes" in refused(send(app_client, graphs.ending("Softmax")), 422)
    wrong = refused(send(app_client, graphs.linear(), task="clustering", more=1), 422)
    assert set(wrong) == {"request.task", "request.more"}
    assert "request.columns" in refused(send(app_client, graphs.linear(), columns=["a", "a"]), 422)
    assert "request.classes.1" in refused(
        send(app_client, graphs.ending("Softmax"), classes=["a", 1.5]), 422
    )
    form = {"data": {"request": "{}"}, "content_type": "multipart/form-data"}
    assert "file" in refused(app_client.post("/models/m/versions", **form), 422)
    assert "model" in refused(send(app_client, graphs.linear(), model="a b"), 422)
    refused(app_client.post("/models/m/versions", json={}), 415)
    refused(app_client.get("/models/m"), 404)
    assert Artifacts(settings.resolved_artifacts).names("models") == []


def test_a_request_sent_again_makes_no_second_version(app_client: FlaskClient) -> None:
    headers = {"Idempotency-Key": "once"}
    made = [
        app_client.post(
            "/models/m/versions",
            data={"file": (io.BytesIO(graphs.linear()), "graph.onnx")},
            headers=headers,
        )
        for _ in range(2)
    ]
    assert [response.status_code for response in made] == [201, 201]
    assert made[0].get_json() == made[1].get_json()
    assert len(app_client.get("/models/m").get_json()["versions"]) == 1
