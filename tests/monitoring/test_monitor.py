"""`GET /models/{m}/monitor` over what `POST /predict` has answered."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update

from models.monitoring.storage import drop_old, fold_figures
from models.registry.profile import PROFILE_FILE
from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.store.tables import now, prediction_figures, versions
from tests.monitoring.conftest import Publish, houses, instances, monitored, predict

ROWS = instances(houses(300, 7))


@pytest.fixture
def version(publish: Publish) -> int:
    return publish()


def test_every_answer_has_an_id_of_its_own(app_client: FlaskClient, version: int) -> None:
    answers = [predict(app_client, ROWS[:2]) for _ in range(3)]
    ids = [answer.get_json()["prediction_id"] for answer in answers]
    assert len(set(ids)) == 3
    assert [answer.headers["X-Prediction-ID"] for answer in answers] == ids
    table = app_client.post(
        "/predict?model=m",
        data="x,town\n1,Graz\n",
        content_type="text/csv",
        headers={"Accept": "text/csv"},
    )
    assert table.get_data(as_text=True) == "prediction\r\n3.0\r\n"
    assert table.headers["X-Prediction-ID"] not in ids


def test_requests_rows_errors_and_latency_are_counted_by_version(
    app_client: FlaskClient, publish: Publish
) -> None:
    for _ in range(2):
        publish()
    empty = monitored(app_client)
    assert (empty["versions"], empty["verdict"]) == ([], "no predictions")
    for _ in range(3):
        assert predict(app_client, ROWS[:5], version=1).status_code == 200
    assert predict(app_client, ROWS[:1]).status_code == 200
    assert predict(app_client, [{"x": "far", "town": "Graz"}]).status_code == 422
    assert predict(app_client, ROWS[:1], version=9).status_code == 404
    body = monitored(app_client)
    assert body["model"] == "m"
    assert body["since"] < body["until"]
    champion, first = body["versions"]
    assert [found["version"] for found in (champion, first)] == [2, 1]
    assert champion["aliases"] == ["champion"]
    named = ("requests", "rows", "errors", "refused", "failed", "error_rate")
    assert [champion[name] for name in named] == [2, 1, 1, 1, 0, 0.5]
    assert [first[name] for name in named] == [3, 15, 0, 0, 0, 0.0]
    assert 0 < first["latency_ms"]["p50"] <= first["latency_ms"]["p99"] < 60_000
    assert 0 < first["rate"] <= 3
    assert first["live_score"] is None
    assert first["test_score"] == {"rmse": 0.5}
    assert first["drift"]["verdict"] == "too few rows: 15 of 100"
    assert body["verdict"] == "too few rows: 1 of 100"


def test_a_fault_of_the_service_is_an_error_of_the_version(
    app_client: FlaskClient, version: int, artifacts: Artifacts
) -> None:
    for name in artifacts.names("models"):
        if name.endswith("model.onnx"):
            artifacts.write(name, b"not this")
    assert predict(app_client, ROWS[:1]).status_code == 500
    (found,) = monitored(app_client)["versions"]
    assert (found["requests"], found["failed"], found["refused"]) == (1, 1, 0)
    assert found["latency_ms"] == {"p50": None, "p99": None}


def test_drift_is_told_by_column(app_client: FlaskClient, version: int) -> None:
    predict(app_client, ROWS)
    found = monitored(app_client)
    assert found["verdict"] == "no drift"
    far = [row | {"x": row["x"] + 3} for row in ROWS for _ in range(4)]
    predict(app_client, far)
    (one,) = monitored(app_client)["versions"]
    assert one["drift"]["verdict"] == monitored(app_client)["verdict"] == "drift in x"
    x, town = one["drift"]["columns"]
    assert (x["column"], x["type"], x["verdict"]) == ("x", "number", "drift")
    assert x["psi"] > x["limit"]
    assert x["out_of_range"] > 0.1
    assert (town["verdict"], town["unseen"], town["missing"]) == ("no drift", 0.0, 0.0)


def test_a_version_of_an_older_release_has_no_profile(
    app_client: FlaskClient, version: int, database: Database
) -> None:
    with database.write() as connection:
        files = dict(connection.execute(select(versions.c.files)).scalar_one())
        del files[PROFILE_FILE]
        connection.execute(update(versions).values(files=files))
    predict(app_client, ROWS)
    assert monitored(app_client)["verdict"] == "no profile"


def test_processes_add_up_and_a_window_ends(
    app_client: FlaskClient,
    version: int,
    settings: Settings,
    connect: Callable[[Settings], FlaskClient],
    database: Database,
) -> None:
    other = connect(settings)
    for place, client in enumerate((app_client, other, other)):
        predict(client, ROWS[50 * place :][:50])
        client.application.extensions["luthier"].recorder.flush()
    for client in (app_client, other):
        (found,) = monitored(client)["versions"]
        assert (found["requests"], found["drift"]["rows"]) == (3, 150)
        assert found["drift"]["verdict"] == "no drift"
    with database.write() as connection:
        for (minute,) in connection.execute(select(prediction_figures.c.minute).distinct()).all():
            of_minute = prediction_figures.c.minute == minute
            moved = minute - timedelta(hours=30)
            connection.execute(update(prediction_figures).where(of_minute).values(minute=moved))
    assert monitored(app_client)["versions"] == []
    assert monitored(app_client, query="?hours=48")["versions"][0]["requests"] == 3


@pytest.mark.both_databases
def test_minutes_become_hours_after_a_day_and_end_some_day(
    app_client: FlaskClient,
    version: int,
    database: Database,
    settings: Settings,
    connect: Callable[[Settings], FlaskClient],
) -> None:
    begun = now().replace(minute=0, second=0, microsecond=0) - timedelta(days=2)
    for minute in range(3):
        process = connect(settings)
        predict(process, ROWS[:10])
        process.application.extensions["luthier"].recorder.flush()
        with database.write() as connection:
            recent = prediction_figures.c.minute > now() - timedelta(hours=1)
            moved = begun + timedelta(minutes=minute)
            connection.execute(update(prediction_figures).where(recent).values(minute=moved))
        if minute != 1:  # the second time, there is an hour already
            fold_figures(database)
    with database.read() as connection:
        (row,) = connection.execute(select(prediction_figures)).all()
    assert (row.minute, row.process, row.requests, row.rows) == (begun, "", 3, 30)
    (found,) = monitored(app_client, query="?hours=72")["versions"]
    assert found["drift"]["rows"] == 30
    drop_old(database, begun)
    assert monitored(app_client, query="?hours=72")["versions"] != []
    drop_old(database, begun + timedelta(hours=1))
    assert monitored(app_client, query="?hours=72")["versions"] == []


def test_predictions_are_answered_while_the_database_is_away_and_counted_later(
    app_client: FlaskClient, version: int, database: Database
) -> None:
    found: Any = app_client.application.extensions["luthier"]
    rows = ROWS[:1]
    predict(app_client, rows)
    with database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE prediction_figures RENAME TO away")
    assert predict(app_client, rows).status_code == 200
    with pytest.raises(Exception, match="prediction_figures"):
        found.recorder.flush()
    assert predict(app_client, rows).status_code == 200
    with database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO prediction_figures")
    assert monitored(app_client)["versions"][0]["requests"] == 3


@pytest.mark.parametrize("hours", ["0", "-1", "nan", "1e9", "day"])
def test_hours_are_checked(
    app_client: FlaskClient, version: int, refused: Callable[..., Any], hours: str
) -> None:
    assert list(refused(app_client.get(f"/models/m/monitor?hours={hours}"), 422)) == ["hours"]


def test_an_unknown_model_is_not_found(
    app_client: FlaskClient, refused: Callable[..., Any]
) -> None:
    refused(app_client.get("/models/none/monitor"), 404)


def test_a_deleted_model_leaves_no_figures(
    app_client: FlaskClient, version: int, database: Database
) -> None:
    predict(app_client, ROWS[:1])
    monitored(app_client)
    assert app_client.delete("/models/m").status_code == 204
    with database.read() as connection:
        assert connection.execute(select(prediction_figures)).all() == []
