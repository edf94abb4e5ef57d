"""Predictions of rows that come as CSV or Parquet, and predictions that go out as CSV."""

import csv
import io
from typing import Any

import pandas as pd
import pytest

from api.schemas.predict import prediction_csv
from models.serving.engine import Prediction
from tests.answers import without_id

CSV, PARQUET = "text/csv", "application/vnd.apache.parquet"


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    """Rows as a client's file has them: booleans as in JSON, missing cells empty."""
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    for row in rows:
        texts = {name: str(cell).lower() for name, cell in row.items() if isinstance(cell, bool)}
        writer.writerow(row | texts)
    return file.getvalue().encode()


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    file = io.BytesIO()
    pd.DataFrame(rows).to_parquet(file, index=False)
    return file.getvalue()


def post(
    trained: Any, body: bytes, kind: str = CSV, accept: str = "*/*", status: int = 200, **query: Any
) -> Any:
    response = trained.http.post(
        "/predict",
        content=body,
        params={"model": "flats", **query},
        headers={"Content-Type": kind, "Accept": accept},
    )
    assert response.status_code == status, response.text
    if "csv" in response.headers["content-type"]:
        return response
    return without_id(response.json()) if status == 200 else response.json()


@pytest.mark.parametrize(("kind", "write"), [(CSV, as_csv), (PARQUET, as_parquet)])
def test_rows_of_a_table_are_predicted_as_those_of_json(
    trained: Any, kind: str, write: Any
) -> None:
    expected = without_id(trained.client.predict("flats", trained.rows))
    assert post(trained, write(trained.rows), kind) == expected
    first = {"model": "flats", "instances": trained.rows, "version": 1}
    assert post(trained, write(trained.rows), kind, version=1) == (
        without_id(trained.http.post("/predict", json=first).json())
    )
    whole = [row | {"price": 1.0} for row in trained.rows]  # with the target, as it was uploaded
    assert post(trained, write(whole), kind) == expected
    turned = [dict(reversed(row.items())) for row in trained.rows]
    assert post(trained, write(turned), kind) == expected


def test_predictions_go_out_as_csv(trained: Any) -> None:
    answer = post(trained, as_csv(trained.rows[:5]), accept=CSV)
    lines = list(csv.DictReader(io.StringIO(answer.text)))
    expected = trained.client.predict("flats", trained.rows[:5])["predictions"]
    assert [float(line["prediction"]) for line in lines] == expected
    assert "Accept" in answer.headers["vary"]

    rows = [{name: row[name] for name in ("area", "town")} for row in trained.rows[:5]]
    body = trained.client.predict("stock", rows)
    names = ["prediction", *(f"probability_{label}" for label in body["classes"])]
    table = post(trained, as_csv(rows), accept=CSV, model="stock")
    lines = list(csv.DictReader(io.StringIO(table.text)))
    assert list(lines[0]) == names
    assert [line["prediction"] for line in lines] == body["predictions"]
    shares = [[float(line[name]) for name in names[1:]] for line in lines]
    assert shares == body["probabilities"]
    of_json = trained.http.post(
        "/predict", json={"model": "stock", "instances": rows}, headers={"Accept": CSV}
    )
    assert of_json.text == table.text


def test_csv_of_booleans_and_of_numbers() -> None:
    found = Prediction("m", 1, [True, False], [[0.25, 0.75], [1.0, 0.0]], [False, True])
    lines = ["prediction,probability_false,probability_true", "true,0.25,0.75", "false,1.0,0.0", ""]
    assert prediction_csv(found) == "\r\n".join(lines)
    assert prediction_csv(Prediction("m", 1, [1.5])) == "prediction\r\n1.5\r\n"


def test_columns_that_are_too_many_or_too_few(trained: Any) -> None:
    more = [row | {"colour": "red"} for row in trained.rows[:3]]
    fewer = [{name: row[name] for name in row if name != "town"} for row in trained.rows[:3]]
    expected = trained.client.predict("flats", trained.rows[:3])["predictions"]
    nulls = [row | {"town": None} for row in fewer]
    with_nulls = trained.client.predict("flats", nulls)["predictions"]

    refused = post(trained, as_csv(more), status=422)["errors"]
    assert list(refused) == ["columns.colour"]
    refused = post(trained, as_csv(fewer), status=422)["errors"]
    assert list(refused) == ["columns.town"]
    ignored = post(trained, as_csv(more), unknown_columns="ignore")
    assert ignored["predictions"] == expected
    filled = post(trained, as_csv(fewer), missing_columns="null")
    assert filled["predictions"] == with_nulls

    ignored = trained.client.predict("flats", more, unknown_columns="ignore")
    assert ignored["predictions"] == expected
    filled = trained.client.predict("flats", fewer, missing_columns="null")
    assert filled["predictions"] == with_nulls
    body = {"model": "flats", "instances": more}
    answer = trained.http.post("/predict?unknown_columns=ignore", json=body)
    assert answer.json()["predictions"] == expected


@pytest.mark.parametrize(
    ("body", "kind", "query", "path"),
    [
        (b"flat,number\n1,2\n", CSV, {"missing_columns": "null"}, "columns.flat"),
        (b"", CSV, {}, "body"),
        (b"no parquet", PARQUET, {}, "body"),
        (b"area\nwide\n", CSV, {"missing_columns": "null"}, "instances.0.area"),
        (b"area\n1\n", CSV, {"version": 0}, "version"),
        (b"area\n1\n", CSV, {"version": 1, "alias": "champion"}, "alias"),
        (b"area\n1\n", CSV, {"missing_columns": "none"}, "missing_columns"),
        (b"area\n1\n", CSV, {"rows": 3}, "rows"),
        (b"area\n1\n", CSV, {"model": ""}, "model"),
        (b"area\n" + b"1\n" * 10_001, CSV, {"missing_columns": "null"}, "body"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(
    trained: Any, body: bytes, kind: str, query: dict[str, Any], path: str
) -> None:
    assert path in post(trained, body, kind, status=422, **query)["errors"]


def test_a_table_needs_a_model_and_json_has_its_own(trained: Any) -> None:
    headers = {"Content-Type": CSV}
    answer = trained.http.post("/predict", content=b"area\n1\n", headers=headers)
    assert (answer.status_code, list(answer.json()["errors"])) == (422, ["model"])
    body = {"model": "flats", "instances": trained.rows[:1], "unknown_columns": "ignore"}
    for query in ("model=flats", "unknown_columns=ignore"):
        answer = trained.http.post(f"/predict?{query}", json=body)
        assert (answer.status_code, list(answer.json()["errors"])) == (422, [query.split("=")[0]])
