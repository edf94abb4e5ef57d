"""The prediction log: its files, what becomes of them, and the datasets made of them."""

import io
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from flask.testing import FlaskClient
from sqlalchemy import insert

from models.data.columns import ColumnType
from models.jobs.commands import JobCommands
from models.monitoring.dataset import LoggedData
from models.monitoring.drift import UNKNOWN
from models.monitoring.log import LOGGED, LoggedAnswer, PredictionLog, log_file
from models.monitoring.recorder import MAX_PENDING_BYTES, new_id
from models.retention.collection import Collection
from models.retention.deletion import Deletion
from models.retention.remover import Remover
from models.retention.rules import Rules
from models.serving.engine import Prediction
from models.serving.signature import Signature
from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.store.tables import feedback, now
from tests.monitoring.conftest import Publish, houses, instances, monitored, predict

Refused = Callable[..., dict[str, Any]]
ROWS = instances(houses(20, 7))


@pytest.fixture
def client(app_client: FlaskClient, publish: Publish) -> FlaskClient:
    """A client of an API whose model `m` has a version and logs every request."""
    publish()
    assert app_client.patch("/models/m", json={"prediction_log": {}}).status_code == 200
    return app_client


def flush(client: FlaskClient) -> None:
    client.application.extensions["luthier"].recorder.flush(whole=True)


def tables(artifacts: Artifacts) -> list[Any]:
    names = artifacts.names("logs")
    return [pyarrow.parquet.read_table(io.BytesIO(artifacts.read(name))) for name in names]


def test_rows_and_answers_lie_in_a_file_below_the_artifact_root(
    client: FlaskClient, artifacts: Artifacts
) -> None:
    sent = [*ROWS[:2], {"x": 2.0, "town": None}]
    bodies = [predict(client, rows).get_json() for rows in (sent[:1], sent[1:])]
    assert artifacts.names("logs") == []
    flush(client)
    (table,) = tables(artifacts)
    rows = table.to_pylist()
    ids = [body["prediction_id"] for body in bodies]
    assert [row["prediction_id"] for row in rows] == [ids[0], ids[1], ids[1]]
    assert [row["row"] for row in rows] == [0, 0, 1]
    assert [row["inputs"] for row in rows] == sent
    answers = [number for body in bodies for number in body["predictions"]]
    assert [row["prediction"] for row in rows[:2]] == answers[:2]
    assert rows[0]["time"].tzinfo is not None
    (name,) = artifacts.names("logs")
    assert name.startswith("logs/m/20")
    file = log_file(name)
    assert file is not None
    assert (file.model, file.version) == ("m", 1)
    assert (monitored(client)["versions"][0]["log"]) == {"logged": 2, "dropped": 0}


def test_a_share_of_the_requests_is_logged_and_null_ends_the_log(
    client: FlaskClient, artifacts: Artifacts
) -> None:
    assert client.patch("/models/m", json={"prediction_log": {"sample": 0.5}}).status_code == 200
    ids = [predict(client, ROWS[:1]).get_json()["prediction_id"] for _ in range(100)]
    logged = {identity for identity in ids if identity.startswith(LOGGED)}
    assert 20 < len(logged) < 80
    flush(client)
    (table,) = tables(artifacts)
    assert set(table.column("prediction_id").to_pylist()) == logged
    client.patch("/models/m", json={"prediction_log": None})
    assert client.get("/models/m").get_json()["prediction_log"] is None
    assert not predict(client, ROWS[:1]).get_json()["prediction_id"].startswith(LOGGED)


def test_every_type_of_column_and_class_is_kept(tmp_path: Path, database: Database) -> None:
    kinds = ("number", "boolean", "datetime", "category", "text", "image")
    columns = [{"name": kind, "type": kind} for kind in kinds]
    columns[-1]["shape"] = [1, 2]  # type: ignore[assignment]
    document = {"task": "binary", "target": "y", "columns": columns, "classes": [False, True]}
    signature = Signature.from_json(document | {"sample": {}})
    rows = [
        [1.5, True, "2024-05-04T12:00:00Z", "Βόλος", "a b", [[0.0, 1.0]]],
        [None, None, None, None, None, [[2.0, 3.0]]],
    ]
    answer = Prediction("m", 1, [True, False], [[0.1, 0.9], [0.8, 0.2]], [False, True])
    inputs = signature.feed(rows)
    log = PredictionLog(Artifacts(str(tmp_path)), lambda *_: signature, 60)
    identity = new_id(is_logged=True)
    log.add([LoggedAnswer(identity, Prediction(**_fields(answer) | {"inputs": inputs}))])
    log.flush()
    assert list(log.files("m")) == [], "it is not due"
    log.flush(whole=True)
    (file,) = log.files("m")
    first, second = log.read(file).to_pylist()
    assert first["inputs"]["datetime"].isoformat() == "2024-05-04T12:00:00+00:00"
    named = ("number", "boolean", "category", "text", "image")
    assert [first["inputs"][name] for name in named] == [1.5, True, "Βόλος", "a b", [0, 1]]
    assert [second["inputs"][name] for name in kinds] == [*[None] * 5, [2, 3]]
    assert (first["prediction"], first["probabilities"]) == (True, [0.1, 0.9])
    found = log.find("m", {identity, new_id(is_logged=True)})
    assert found[identity].answers == [[0.1, 0.9], [0.8, 0.2]]
    assert len(found) == 1

    row = {"model": "m", "version": 1, "prediction_id": identity, "received": now()}
    with database.write() as connection:
        connection.execute(insert(feedback).values(**row, truth=[1, 0], answers=[[], []]))
    logged = LoggedData(database, log, lambda *_: signature).rows("m", None, None, 10)
    dataset = logged.dataset
    assert (dataset.rows, logged.versions, logged.without_truth) == (2, (1,), 0)
    assert dataset.names == (*kinds, "y")
    for kind in kinds:
        assert dataset.column(kind).type == kind
        expected, cells = inputs[kind], dataset.values[kind]
        if kind == "image":
            assert cells.tolist() == expected.tolist()
        elif expected.dtype == object:
            assert [text or "" for text in cells] == expected[:, 0].tolist()
        else:
            np.testing.assert_array_equal(cells, expected[:, 0])
    assert dataset.values["y"].tolist() == [1, 0]
    assert (
        LoggedData(database, log, lambda *_: signature).rows("m", None, None, 1).dataset.rows == 1
    )


def _fields(answer: Prediction) -> dict[str, Any]:
    return {
        name: getattr(answer, name)
        for name in ("model", "version", "predictions", "probabilities", "classes")
    }


def test_what_finds_no_place_is_dropped_and_counted_and_the_answer_is_given(
    client: FlaskClient, artifacts: Artifacts
) -> None:
    long = "x" * (MAX_PENDING_BYTES // 5)
    for _ in range(6):
        assert predict(client, [{"x": 1.0, "town": long}]).status_code == 200
    (found,) = monitored(client)["versions"]
    assert (found["requests"], found["log"]) == (6, {"logged": 4, "dropped": 2})
    assert found["drift"]["rows"] == 4


def test_an_artifact_root_that_is_away_fails_no_answer(
    client: FlaskClient, artifacts: Artifacts, settings: Settings
) -> None:
    predict(client, ROWS[:1])
    root = Path(settings.resolved_artifacts)
    away = root.rename(root.with_name("away"))
    with pytest.raises(Exception, match="artifact root"):
        flush(client)
    assert predict(client, ROWS[:1]).status_code == 200
    (found,) = monitored(client)["versions"]
    assert (found["requests"], found["drift"]["verdict"]) == (2, UNKNOWN)
    away.rename(root)
    flush(client)
    (table,) = tables(artifacts)
    assert len(table) == 2


def test_a_sweep_deletes_old_files_by_the_days_of_their_model(
    client: FlaskClient, artifacts: Artifacts, database: Database, settings: Settings
) -> None:
    client.patch("/models/m", json={"prediction_log": {"keep_days": 5}})
    names = {}
    for model in ("m", "unset"):
        for days in (1, 10, 31):
            last = round((now() - timedelta(days=days)).timestamp() * 1000)
            name = f"logs/{model}/20240101/{1:011x}-{last:011x}-v1-{0:08x}.parquet"
            names[model, days] = name
            artifacts.write(name, b"x")
    artifacts.write("logs/m/notes.txt", b"x")
    deletion = Deletion(database, JobCommands(database, artifacts), Remover(database, artifacts))
    Rules(database, artifacts, deletion, settings).apply()
    kept = [names["m", 1], names["unset", 1], names["unset", 10], "logs/m/notes.txt"]
    assert artifacts.names("logs") == sorted(kept)


def test_a_deleted_model_leaves_no_log(
    client: FlaskClient, artifacts: Artifacts, database: Database
) -> None:
    predict(client, ROWS[:1])
    flush(client)
    remover = Remover(database, artifacts)
    assert Collection(artifacts, remover).find(0) == []
    predict(client, ROWS[:1])
    client.application.extensions["luthier"].recorder.flush()
    Deletion(database, JobCommands(database, artifacts), remover).model("m")
    assert artifacts.names("logs") == []
    flush(client)
    assert artifacts.names("logs") == [], "it was in memory"


@pytest.mark.parametrize(
    ("log", "path"),
    [
        ({"sample": 1.5}, "sample"),
        ({"sample": -0.1}, "sample"),
        ({"sample": True}, "sample"),
        ({"keep_days": 0}, "keep_days"),
        ({"days": 3}, "days"),
    ],
)
def test_the_settings_of_a_log_are_checked(
    client: FlaskClient, refused: Refused, log: dict[str, Any], path: str
) -> None:
    errors = refused(client.patch("/models/m", json={"prediction_log": log}), 422)
    assert list(errors) == [f"prediction_log.{path}"]


def test_logged_rows_with_their_truth_are_a_dataset(
    client: FlaskClient, refused: Refused, publish: Publish
) -> None:
    assert list(refused(client.post("/datasets", json={"from_log": "m"}), 422)) == ["from_log"]
    publish()
    for version in (1, 2, 1):
        answer = predict(client, ROWS[:3], version=version).get_json()
        truth = [100.0 * version, None, 5]
        told = {"prediction_id": answer["prediction_id"], "truth": truth}
        assert client.post("/models/m/feedback", json=told).status_code == 200
    predict(client, ROWS[:5])
    made = client.post("/datasets", json={"from_log": "m", "name": "seen"})
    body = made.get_json()
    assert made.status_code == 201, body
    assert (body["rows"], body["name"]) == (6, "seen")
    assert [(column["name"], column["type"]) for column in body["columns"]] == [
        ("x", "number"),
        ("town", "category"),
        ("y", "number"),
    ]
    assert body["reading"]["versions"] == [1, 2]
    assert body["reading"]["without_truth"] == 8
    items = client.get(f"/datasets/{body['id']}/preview").get_json()["items"]
    assert {item["y"] for item in items} == {100, 200, 5}
    assert {item["town"] for item in items} <= {row["town"] for row in ROWS[:3]}
    assert client.post("/datasets", json={"from_log": "m"}).get_json()["id"] == body["id"]
    tuned = {"model": "m", "dataset": body["id"], "target": "y"}
    assert client.post("/tune", json=tuned | {"budget": {"max_trials": 1}}).status_code in (
        201,
        202,
        422,
    )

    never = {"since": "2020-01-02T00:00:00Z", "until": "2020-01-01T00:00:00Z"}
    assert list(refused(client.post("/datasets", json=never | {"from_log": "m"}), 422)) == ["until"]
    early = {"from_log": "m", "until": "2020-01-01T00:00:00Z"}
    assert list(refused(client.post("/datasets", json=early), 422)) == ["from_log"]
    late = {"from_log": "m", "since": "2020-01-01T00:00:00Z"}
    assert client.post("/datasets", json=late).get_json()["rows"] == 6


def test_a_dataset_of_a_log_is_asked_for_in_one_way(client: FlaskClient, refused: Refused) -> None:
    for body, path in (
        ({"from_log": "m", "types": {"x": "number"}}, "types"),
        ({"from_log": "m", "options": {"header": 1}}, "options"),
        ({"records": [{"a": 1}], "since": "2020-01-01T00:00:00Z"}, "since"),
        ({"from_log": "m", "records": []}, "records"),
        ({"from_log": "-"}, "from_log"),
    ):
        assert list(refused(client.post("/datasets", json=body), 422)) == [path]
    refused(client.post("/datasets", json={"from_log": "none"}), 404)


def test_classes_of_logged_rows_are_those_of_the_version(
    app_client: FlaskClient, publish: Publish
) -> None:
    for name, classes, kind in (
        ("words", ["cheap", "dear"], ColumnType.CATEGORY),
        ("flags", [False, True], ColumnType.BOOLEAN),
        ("numbers", [1, 2], ColumnType.NUMBER),
    ):
        publish(name, classes=classes)
        app_client.patch(f"/models/{name}", json={"prediction_log": {}})
        answer = predict(app_client, [[0.9], [0.2]], name).get_json()
        told = {"prediction_id": answer["prediction_id"], "truth": classes}
        app_client.post(f"/models/{name}/feedback", json=told)
        made = app_client.post("/datasets", json={"from_log": name}).get_json()
        assert made["columns"][-1]["type"] == kind
        items = app_client.get(f"/datasets/{made['id']}/preview").get_json()["items"]
        assert [item["y"] for item in items] == classes
        assert json.dumps(items[0]["x"]) == "0.9"
