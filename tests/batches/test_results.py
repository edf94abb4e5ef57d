"""The results of batches: what is in them, in which order, and that /predict answers the same."""

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from flask.testing import FlaskClient

from models.batches.model import Batch
from models.store.artifacts import Artifacts
from models.store.engine import Database
from tests.batches.conftest import ROWS, column, in_pieces, store, table_of
from tests.tiny_versions import publish_version

Work = Callable[[], Batch]
Queue = Callable[..., str]


def post_file(
    client: FlaskClient, content: bytes, name: str = "rows.csv", status: int = 202, **fields: Any
) -> dict[str, Any]:
    form = {"file": (io.BytesIO(content), name), **fields}
    response = client.post("/models/m/batch", data=form)
    assert response.status_code == status, response.text
    found: dict[str, Any] = response.get_json()
    return found


@pytest.mark.both_databases
@pytest.mark.both_stores
def test_a_dataset_is_predicted_row_by_row(
    app_client: FlaskClient, queue_batch: Queue, work: Work, artifacts: Artifacts
) -> None:
    batch = queue_batch()
    queued = app_client.get(f"/batches/{batch}").get_json()
    assert (queued["state"], queued["rows"], queued["rows_done"]) == ("queued", ROWS, 0)
    assert queued["keep"] == ["id"]
    assert app_client.get(f"/batches/{batch}/file").status_code == 409

    assert work().state == "succeeded"
    ended = app_client.get(f"/batches/{batch}").get_json()
    assert (ended["state"], ended["rows_done"], ended["rows_failed"]) == ("succeeded", ROWS, 0)
    assert ended["started"] <= ended["finished"]
    response = app_client.get(f"/batches/{batch}/file")
    assert response.mimetype == "text/csv"
    assert response.content_length == ended["bytes"] == len(response.data)
    rows = table_of(response)
    assert list(rows[0]) == ["id", "prediction", "error"]
    assert column(rows, "id") == [f"n{n:03}" for n in range(ROWS)]
    assert column(rows, "error") == [""] * ROWS
    instances = [{"x": n / 2} for n in range(ROWS)]
    body = {"model": "m", "instances": instances}
    answer = app_client.post("/predict", json=body, headers={"Accept": "text/csv"})
    assert column(rows, "prediction") == column(table_of(answer), "prediction")
    assert app_client.head(f"/batches/{batch}/file").status_code == 200


def test_parquet_has_types_and_the_same_rows(
    app_client: FlaskClient, queue_batch: Queue, work: Work
) -> None:
    batch = queue_batch(format="parquet", keep=["x", "id"])
    work()
    table = pq.read_table(io.BytesIO(app_client.get(f"/batches/{batch}/file").data))
    assert [str(field.type) for field in table.schema] == ["double", "string", "double", "string"]
    assert table.column_names == ["x", "id", "prediction", "error"]
    assert table.column("x").to_pylist() == [n / 2 for n in range(ROWS)]
    assert table.column("prediction").to_pylist() == [n + 1.0 for n in range(ROWS)]
    assert table.column("error").null_count == ROWS


def test_a_row_without_an_answer_says_why_and_stops_no_other(
    app_client: FlaskClient, database: Database, model: str, work: Work
) -> None:
    lines = ["id,x", "a,1", "b,many", "c,", 'd,"1e308"', "e,5", "NA,6"]
    batch = post_file(app_client, "\n".join(lines).encode())
    assert batch["dataset"] is None
    in_pieces(database, batch["id"], 4)
    ended = work()
    assert (ended.state, ended.rows_done, ended.rows_failed) == ("succeeded", 6, 3)
    rows = table_of(app_client.get(f"/batches/{batch['id']}/file"))
    assert column(rows, "id") == ["a", "b", "c", "d", "e", "NA"]
    assert column(rows, "prediction") == ["3.0", "", "", "", "11.0", "13.0"]
    errors = column(rows, "error")
    refused = app_client.post("/predict", json={"model": "m", "instances": [{"x": "many"}]})
    (rule,) = refused.get_json()["errors"]["instances.0.x"]
    assert errors[1] == f"x: {rule}"
    assert "no finite answer" in errors[2]
    assert "no finite answer" in errors[3]
    assert [errors[n] for n in (0, 4, 5)] == [""] * 3


def test_classes_have_probabilities_and_thresholds(
    app_client: FlaskClient, database: Database, artifacts: Artifacts, work: Work
) -> None:
    publish_version(database, artifacts, classes=[False, True])
    records = [{"x": x, "error": "mine"} for x in (0.25, 0.5, 1.0)] + [{"x": None, "error": "no"}]
    dataset = store(app_client, records)
    request = {"dataset": dataset, "threshold": 0.25}
    batch = app_client.post("/models/m/batch", json=request).get_json()["id"]
    work()
    rows = table_of(app_client.get(f"/batches/{batch}/file"))
    names = ["input_error", "prediction", "probability_false", "probability_true", "error"]
    assert list(rows[0]) == names
    assert column(rows, "prediction") == ["true", "true", "true", ""]
    assert column(rows, "probability_false") == ["0.75", "0.5", "0.0", ""]
    assert "no finite answer" in rows[3]["error"]
    plain = app_client.post("/models/m/batch", json={"dataset": dataset, "format": "parquet"})
    work()
    content = app_client.get(f"/batches/{plain.get_json()['id']}/file").data
    assert pq.read_table(io.BytesIO(content)).column("prediction").to_pylist() == [
        *(False, False, True),
        None,
    ]


def test_every_row_of_a_file_has_an_answer_as_predict_gives_it(
    app_client: FlaskClient, model: str, work: Work
) -> None:
    content = "Konto;x\n007;1,5\n008;\n;2,5\nTotal;4\n".encode("cp1252")
    batch = post_file(app_client, content, missing_columns="null")
    work()
    found = table_of(app_client.get(f"/batches/{batch['id']}/file"))
    assert column(found, "Konto") == ["007", "008", "", "Total"]
    query = {"model": "m", "unknown_columns": "ignore"}
    refused = app_client.post("/predict", data=content, query_string=query, content_type="text/csv")
    problems = {row["error"] for row in found if row["error"]}
    assert refused.status_code == 422
    assert {f"x: {text}" for texts in refused.get_json()["errors"].values() for text in texts} >= (
        problems - {text for text in problems if "finite" in text}
    )


def test_other_formats_of_files(app_client: FlaskClient, model: str, work: Work) -> None:
    lines = b"\n".join(json.dumps({"x": n, "when": f"2024-05-0{n}"}).encode() for n in (1, 2))
    arrays = io.BytesIO()
    np.savez(arrays, x=np.arange(1.0, 3.0), image=np.zeros((2, 2, 2), np.uint8))
    for name, content in (("rows.jsonl", lines), ("rows.npz", arrays.getvalue())):
        batch = post_file(app_client, content, name, format="parquet")
        assert work().state == "succeeded"
        found = app_client.get(f"/batches/{batch['id']}/file").data
        table = pq.read_table(io.BytesIO(found))
        assert table.column("prediction").to_pylist() == [3.0, 5.0]
        assert "image" not in table.column_names


def test_large_files_are_read_by_a_process(
    app_client: FlaskClient, model: str, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.data.library.library.LARGE_BYTES", 0)
    batch = post_file(app_client, b"id,x\n01,1\n02,2\n")
    assert batch["rows"] == 2
    work()
    rows = table_of(app_client.get(f"/batches/{batch['id']}/file"))
    assert [(row["id"], row["prediction"]) for row in rows] == [("01", "3.0"), ("02", "5.0")]
    refused = post_file(app_client, b"id,y\n01,1\n", status=422)
    assert list(refused["errors"]) == ["columns.x"]
    assert list(post_file(app_client, b"id,x\n", status=422)["errors"]) == ["file"]
