"""A job's trials as one table."""

import csv
import io
import tracemalloc
from typing import Any

import pandas as pd
import pytest
from flask.testing import FlaskClient

from api.schemas.tables import TrialTable
from models.jobs.reader import JobReader
from models.store.engine import Database
from tests.reports.recorded import record_job, trial_row

CSV = {"Accept": "text/csv"}
UNITS = {"units": [16, 8], "activation": "relu", "dropout": 0.25, "batch_norm": True}


@pytest.fixture
def job(database: Database) -> str:
    """Trials of one, two and three layers, one that was pruned, one that failed, one that waits."""
    metrics = {"loss": 0.5, "größe": None}
    rows = [
        trial_row(1, 0.5, UNITS),
        trial_row(2, 0.25, UNITS | {"units": [4, 2, 1]}, state="stopped"),
        trial_row(3, None, {"units": 32, "activation": "=1+1", "new": '5" x 2,\n"'}),
        trial_row(4, None, {"units": [64]}, state="waiting", failure_kind=None, seconds=None),
    ]
    rows[0]["result"] |= {"metrics": metrics}
    rows[1]["result"] |= {"metrics": {"loss": 0.25, "mae": 1e-7}}
    return record_job(database, "job_1", rows)


def table(client: FlaskClient, job: str, **query: Any) -> list[dict[str, str]]:
    response = client.get(f"/tune/{job}/trials", headers=CSV, query_string=query)
    assert response.status_code == 200, response.get_json()
    assert response.content_type == "text/csv; charset=utf-8"
    assert "Accept" in response.headers["Vary"]
    text = response.get_data().decode("utf-8")
    assert not text.startswith("\ufeff")
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.mark.both_databases
def test_every_figure_has_a_column(app_client: FlaskClient, job: str) -> None:
    first, second, third, fourth = table(app_client, job)
    assert list(first) == [
        *("number", "state", "score", "fits", "seconds", "epochs", "spread", "epochs_trained"),
        *("best_epoch", "parameters", "trainer", "failure", "started", "finished"),
        *("metrics.loss", "metrics.größe", "metrics.mae"),
        *("values.units", "values.units_1", "values.units_2", "values.units_3"),
        *("values.activation", "values.dropout", "values.batch_norm", "values.new"),
    ]
    assert (first["number"], first["state"], first["score"]) == ("1", "completed", "0.5")
    assert (first["seconds"], first["epochs"], first["epochs_trained"]) == ("1.0", "3", "3")
    assert (first["metrics.loss"], first["metrics.größe"]) == ("0.5", "")
    assert first["values.batch_norm"] == "true"
    assert [second[f"values.units_{n}"] for n in (1, 2, 3)] == ["4", "2", "1"]
    assert (second["state"], second["metrics.mae"]) == ("stopped", "1e-07")
    assert (third["failure"], third["score"], third["metrics.loss"]) == ("diverged", "", "")
    assert (third["values.units"], third["values.units_1"]) == ("32", "")
    assert third["values.new"] == '5" x 2,\n"'
    assert (fourth["state"], fourth["seconds"], fourth["values.units_1"]) == ("waiting", "", "64")


def test_a_spreadsheet_runs_no_text_of_a_table(app_client: FlaskClient, job: str) -> None:
    assert table(app_client, job)[2]["values.activation"] == "'=1+1"


def test_pandas_reads_the_table(app_client: FlaskClient, job: str) -> None:
    response = app_client.get(f"/tune/{job}/trials", headers=CSV)
    frame = pd.read_csv(io.BytesIO(response.get_data()), index_col="number")
    assert frame["score"].dropna().to_dict() == {1: 0.5, 2: 0.25}
    assert pd.to_datetime(frame["finished"]).dt.tz is not None


def test_it_has_all_trials_unless_it_is_limited(app_client: FlaskClient, database: Database):
    record_job(database, "job_1", [trial_row(n, 1000.0 - n) for n in range(1, 1202)])
    assert [int(row["number"]) for row in table(app_client, "job_1")] == list(range(1, 1202))
    best = table(app_client, "job_1", sort="score", limit=2, after=1199)
    assert [row["number"] for row in best] == ["1198", "1197"]
    assert table(app_client, "job_1", state="failed") == []
    assert len(app_client.get("/tune/job_1/trials").get_json()["items"]) == 100


@pytest.mark.parametrize(
    ("accept", "is_csv"),
    [
        ("text/csv", True),
        ("text/csv;q=0.9, application/json;q=0.5", True),
        ("text/csv;q=0.5, application/json", False),
        ("application/json, text/csv", False),
        ("*/*", False),
        ("text/*", True),
        ("text/html", False),
        ("text/csv;q=0, application/json;q=0.1", False),
        (None, False),
    ],
)
def test_json_is_the_default(
    app_client: FlaskClient, job: str, accept: str | None, is_csv: bool
) -> None:
    headers = {} if accept is None else {"Accept": accept}
    response = app_client.get(f"/tune/{job}/trials", headers=headers, buffered=True)
    assert response.mimetype == ("text/csv" if is_csv else "application/json")


def test_a_job_that_is_not_there_or_has_no_trial(app_client: FlaskClient, database: Database):
    assert app_client.get("/tune/job_0/trials", headers=CSV).status_code == 404
    record_job(database, "job_1", [])
    assert table(app_client, "job_1") == []
    assert app_client.head("/tune/job_1/trials", headers=CSV, buffered=True).status_code == 200


def test_a_damaged_trial_hides_no_other(app_client: FlaskClient, job: str, database: Database):
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE trials SET result = '{' WHERE number = 1")
        connection.exec_driver_sql("UPDATE trials SET \"values\" = '[]' WHERE number = 2")
    rows = table(app_client, job)
    assert [row["state"] for row in rows] == ["completed", "failed", "failed", "waiting"]


def test_memory_holds_a_part_of_a_large_table(database: Database) -> None:
    text = "x" * 8_000
    rows = [trial_row(n, 0.5, {"text": text, "n": n}) for n in range(1, 1501)]
    record_job(database, "job_1", rows)
    reader, made = JobReader(database), TrialTable()
    job = reader.get("job_1")
    tracemalloc.start()
    made.add(reader.each_trial(job))
    count = sum(text in line for line in made.lines())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    made.close()
    assert count == 1500
    assert peak < len(text) * len(rows) / 2


def test_a_list_without_histories_has_everything_else(app_client: FlaskClient, job: str) -> None:
    whole = app_client.get(f"/tune/{job}/trials").get_json()["items"]
    light = app_client.get(f"/tune/{job}/trials?history=false").get_json()["items"]
    assert whole[0]["history"]
    left_out = ("history", "folds")
    assert light == [
        {name: value for name, value in trial.items() if name not in left_out} for trial in whole
    ]
