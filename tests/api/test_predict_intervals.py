"""Intervals and label sets over HTTP."""

import csv
import io
import json
from typing import Any

import pytest

from tests.answers import without_id

CSV = "text/csv"


def ask(trained: Any, model: str = "flats", status: int = 200, **body: Any) -> Any:
    rows = trained.rows[:5]
    if model == "stock":
        rows = [{name: row[name] for name in ("area", "town")} for row in rows]
    answer = trained.http.post("/predict", json={"model": model, "instances": rows, **body})
    assert answer.status_code == status, answer.text
    return without_id(answer.json()) if answer.is_success else answer.json()


def test_a_regression_answers_bounds(trained: Any) -> None:
    plain = ask(trained)
    assert not {"interval", "lower", "upper", "labels"} & plain.keys()
    body = ask(trained, interval=0.9)
    assert {name: body[name] for name in plain} == plain
    assert body["interval"] == 0.9
    for low, found, high in zip(body["lower"], body["predictions"], body["upper"], strict=True):
        assert 0 <= low <= found < high
    narrow = ask(trained, interval=0.5)
    assert all(a <= b for a, b in zip(narrow["upper"], body["upper"], strict=True))
    lists = [list(row.values()) for row in trained.rows[:5]]
    names = [
        column["name"] for column in trained.client.version("flats", 1)["signature"]["columns"]
    ]
    assert names == list(trained.rows[0])
    assert ask(trained, instances=lists, interval=0.9) == body
    assert without_id(trained.client.predict("flats", lists, interval=0.9)) == body


def test_classes_answer_the_labels_of_the_set(trained: Any) -> None:
    body = ask(trained, "stock", interval=0.9)
    assert "lower" not in body
    for labels, found in zip(body["labels"], body["predictions"], strict=True):
        assert found in labels
        assert set(labels) <= set(body["classes"])


def test_rows_of_a_table_and_answers_as_one_have_intervals(trained: Any) -> None:
    headers = {"Content-Type": CSV, "Accept": CSV}
    for model, names in (("flats", ["lower", "upper"]), ("stock", ["labels"])):
        body = ask(trained, model, interval=0.9)
        rows = trained.rows[:5]
        file = io.StringIO()
        writer = csv.DictWriter(file, ["area", "town"] if model == "stock" else list(rows[0]))
        writer.writeheader()
        for row in rows:
            writer.writerow({name: row[name] for name in writer.fieldnames})
        query = {"model": model, "interval": "0.9"}
        answer = trained.http.post(
            "/predict", content=file.getvalue().encode(), params=query, headers=headers
        )
        assert answer.status_code == 200, answer.text
        lines = list(csv.DictReader(io.StringIO(answer.text)))
        assert list(lines[0])[-len(names) :] == names
        for name in names:
            assert [json.loads(line[name]) for line in lines] == body[name]


@pytest.mark.parametrize("level", [0, 1, -0.5, 90, "0.9", "a", True, None, [0.9], 1e400])
def test_a_level_lies_between_0_and_1(trained: Any, level: Any) -> None:
    row = dict.fromkeys(trained.rows[0])
    text = json.dumps({"model": "flats", "instances": [row], "interval": level})
    answer = trained.http.post(
        "/predict", content=text, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code in (400, 422), answer.text
    if level != 1e400:
        assert list(answer.json()["errors"]) == ["interval"]


@pytest.mark.parametrize("level", ["0", "1", "nan", "inf", "x", ""])
def test_the_same_of_a_query(trained: Any, level: str) -> None:
    query, headers = {"model": "flats", "interval": level}, {"Content-Type": CSV}
    answer = trained.http.post("/predict", content=b"area\n1\n", params=query, headers=headers)
    assert (answer.status_code, list(answer.json()["errors"])) == (422, ["interval"])


def test_a_level_that_the_rows_do_not_allow_is_refused(trained: Any) -> None:
    (message,) = ask(trained, interval=0.99, status=422)["errors"]["interval"]
    assert "0.99 needs at least 99 calibration rows" in message
    assert "this version has 54" in message


def test_a_version_shows_what_its_intervals_cover(trained: Any) -> None:
    version = trained.client.version("flats", 1)
    assert [each["level"] for each in version["coverage"]] == [0.8, 0.9, 0.95]
    assert all(0 <= each["coverage"] <= 1 and each["rows"] == 6 for each in version["coverage"])
    assert version["evidence"]["calibration"]["rows"] == 54
    assert "calibration.json" in version["files"]


def test_a_threshold_of_a_request_decides_between_two_classes(trained: Any) -> None:
    body = ask(trained, "stock")
    assert "threshold" not in body, "an objective of probabilities has none"
    signature = trained.client.version("stock", 1)["signature"]
    assert signature["threshold"] is None
    column = body["classes"].index(signature["positive_class"])
    for threshold in (0.01, 0.4, 0.99):
        other = ask(trained, "stock", threshold=threshold)
        assert other["threshold"] == threshold
        assert other["probabilities"] == body["probabilities"]
        for label, shares in zip(other["predictions"], other["probabilities"], strict=True):
            assert (label == signature["positive_class"]) == (shares[column] >= threshold)


def test_a_threshold_of_a_request_must_fit(trained: Any) -> None:
    for value in (0, 1, -1, "0.5", True, [0.5]):
        assert list(ask(trained, "stock", 422, threshold=value)["errors"]) == ["threshold"]
    assert list(ask(trained, "flats", 422, threshold=0.5)["errors"]) == ["threshold"]
    iris = trained.client.version("iris", 1)["signature"]["sample"]
    refused = ask(trained, "iris", 422, instances=[iris], threshold=0.5)
    assert list(refused["errors"]) == ["threshold"]
