"""`POST /models/{m}/feedback` and the live scores by it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from models.settings import Settings
from tests.monitoring.conftest import Publish, houses, instances, monitored, predict

Refused = Callable[..., dict[str, Any]]
ROWS = instances(houses(20, 7))


@pytest.fixture
def client(app_client: FlaskClient, publish: Publish) -> FlaskClient:
    """A client of an API whose model `m` has two versions and logs every request."""
    publish()
    publish()
    log(app_client)
    return app_client


def log(client: FlaskClient, model: str = "m", **options: Any) -> None:
    answer = client.patch(f"/models/{model}", json={"prediction_log": options})
    assert answer.status_code == 200, answer.get_json()
    assert answer.get_json()["prediction_log"] == {"sample": 1.0, "keep_days": 30.0} | options


def tell(client: FlaskClient, model: str = "m", **body: Any) -> Any:
    return client.post(f"/models/{model}/feedback", json=body)


def scores(client: FlaskClient, model: str = "m") -> dict[int, Any]:
    return {found["version"]: found["live_score"] for found in monitored(client, model)["versions"]}


def flush(client: FlaskClient) -> None:
    client.application.extensions["luthier"].recorder.flush(whole=True)


def test_truth_by_id_scores_the_version_that_answered(client: FlaskClient) -> None:
    items = []
    for version, error in ((1, 1.0), (2, 3.0)):
        answer = predict(client, ROWS[:4], version=version).get_json()
        assert answer["prediction_id"].startswith("log")
        truth = [number + error for number in answer["predictions"]]
        items.append({"prediction_id": answer["prediction_id"], "truth": truth})
    response = tell(client, items=items)
    assert (response.status_code, response.get_json()) == (200, {"predictions": 2, "rows": 8})
    found = scores(client)
    for version, error in ((1, 1.0), (2, 3.0)):
        assert found[version]["rows"] == 4
        assert found[version]["metrics"]["rmse"] == pytest.approx(error)
        assert found[version]["metrics"]["mse"] == pytest.approx(error**2)
        assert "loss" not in found[version]["metrics"]


@pytest.mark.both_databases
def test_the_truth_of_one_id_counts_once_and_the_last_one_counts(client: FlaskClient) -> None:
    answer = predict(client, ROWS[:2]).get_json()
    identity, (first, second) = answer["prediction_id"], answer["predictions"]
    for error in (9.0, 9.0, 2.0):
        told = tell(client, prediction_id=identity, truth=[first + error, second + error])
        assert told.get_json() == {"predictions": 1, "rows": 2}
        flush(client)  # the second and the third time, the answer is in a file
    assert scores(client)[2]["rows"] == 2
    assert scores(client)[2]["metrics"]["mae"] == pytest.approx(2)


def test_a_single_value_is_the_truth_of_a_single_row_and_null_is_unknown(
    client: FlaskClient, refused: Refused
) -> None:
    one = predict(client, ROWS[:1]).get_json()["prediction_id"]
    assert tell(client, prediction_id=one, truth=7).get_json() == {"predictions": 1, "rows": 1}
    three = predict(client, ROWS[:3]).get_json()["prediction_id"]
    told = tell(client, prediction_id=three, truth=[1, None, None])
    assert told.get_json() == {"predictions": 1, "rows": 1}
    assert scores(client)[2]["rows"] == 2
    errors = refused(tell(client, prediction_id=three, truth=[1]), 422)
    assert errors == {"truth": ["Has 1 values for 3 rows."]}


def test_rows_are_answered_anew_by_the_version_or_alias(client: FlaskClient) -> None:
    predicted = {v: predict(client, ROWS, version=v).get_json()["predictions"] for v in (1, 2)}
    truth = [number + 2 for number in predicted[2]]
    assert tell(client, instances=ROWS, truth=truth).get_json() == {"predictions": 1, "rows": 20}
    assert tell(client, instances=ROWS, truth=truth, version=1).status_code == 200
    assert tell(client, instances=ROWS, truth=truth, alias="champion").status_code == 200
    found = scores(client)
    assert found[2]["rows"] == 40
    assert found[2]["metrics"]["mae"] == pytest.approx(2)
    assert found[1]["metrics"]["mae"] == pytest.approx(3)
    assert monitored(client)["versions"][0]["requests"] == 1, "feedback is no request"


def test_classes_are_scored_by_label_and_probability(
    app_client: FlaskClient, publish: Publish, refused: Refused
) -> None:
    publish("c", classes=["cheap", "dear"])
    log(app_client, "c")
    answer = predict(app_client, [[0.9], [0.2], [0.6], [0.1]], "c").get_json()
    assert answer["predictions"] == ["dear", "cheap", "dear", "cheap"]
    truth = ["dear", "cheap", "cheap", None]
    flush(app_client)
    tell(app_client, "c", prediction_id=answer["prediction_id"], truth=truth)
    (found,) = scores(app_client, "c").values()
    assert found["rows"] == 3
    assert found["metrics"]["accuracy"] == pytest.approx(2 / 3)
    assert found["metrics"]["log_loss"] == pytest.approx(0.4149, abs=1e-3)
    errors = refused(tell(app_client, "c", instances=[[0.5], [0.5]], truth=["dear", "cheep"]), 422)
    assert errors == {"truth.1": ["Is no class of the version: 'cheap', 'dear'."]}


@pytest.mark.parametrize(
    ("classes", "right", "wrong"), [([False, True], True, 1), ([0, 1], 1.0, True)]
)
def test_labels_of_other_types_are_told_apart(
    app_client: FlaskClient, publish: Publish, classes: list[Any], right: Any, wrong: Any
) -> None:
    publish("c", classes=classes)
    assert tell(app_client, "c", instances=[[0.9]], truth=[right]).status_code == 200
    assert tell(app_client, "c", instances=[[0.9]], truth=[wrong]).status_code == 422


def test_an_id_that_was_not_logged_is_told(client: FlaskClient, refused: Refused) -> None:
    log(client, sample=0.0)
    plain = predict(client, ROWS[:1]).get_json()["prediction_id"]
    message = ["This prediction was not logged: send its rows as `instances`."]
    assert refused(tell(client, prediction_id=plain, truth=1), 422) == {"prediction_id": message}
    items = [{"prediction_id": plain, "truth": 1}, {"prediction_id": "../log", "truth": 1}]
    errors = refused(tell(client, items=items), 422)
    assert errors == {f"items.{place}.prediction_id": message for place in range(2)}
    unknown = f"log{1:011x}{0:014x}"
    refused(tell(client, prediction_id=unknown, truth=1), 404)
    assert scores(client) == {2: None}


def test_an_id_that_another_process_has_not_written_yet_is_asked_for_later(
    client: FlaskClient, settings: Settings, connect: Callable[[Settings], FlaskClient]
) -> None:
    other = connect(replace(settings, prediction_log_seconds=3600))
    other.application.extensions["luthier"].recorder.refresh()
    identity = predict(other, ROWS[:1]).get_json()["prediction_id"]
    early = tell(client, prediction_id=identity, truth=1)
    assert early.status_code == 409
    assert int(early.headers["Retry-After"]) >= 30
    flush(other)
    assert tell(client, prediction_id=identity, truth=1).status_code == 200


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "_schema"),
        ({"truth": [1]}, "_schema"),
        ({"prediction_id": "log", "truth": [1], "items": []}, "items"),
        ({"prediction_id": "log", "truth": [1], "instances": [[1, "a"]]}, "_schema"),
        ({"prediction_id": "log", "truth": [1], "version": 1}, "version"),
        ({"instances": [[1, "a"]], "truth": [1], "version": 1, "alias": "champion"}, "alias"),
        ({"instances": [[1, "a"]], "truth": []}, "truth"),
        ({"instances": [[1, "a"]], "truth": {"y": 1}}, "truth"),
        ({"instances": [[1, "a"]], "truth": None}, "truth"),
        ({"instances": [[1, "a"]], "truth": [[1]]}, "truth.0"),
        ({"instances": [[1, "a"]], "truth": ["much"]}, "truth.0"),
        ({"instances": [[1, "a"]], "truth": [True]}, "truth.0"),
        ({"instances": [[1, "a"]], "truth": [1e301]}, "truth.0"),
        ({"instances": [[1, "a"]], "truth": [1, 2]}, "truth"),
        ({"instances": [], "truth": [1]}, "instances"),
        ({"instances": [["a", "a"]], "truth": [1]}, "instances.0.x"),
        ({"items": [{"truth": 1}]}, "items.0.prediction_id"),
        ({"items": [{"prediction_id": "log"}]}, "items.0.truth"),
    ],
)
def test_feedback_is_checked(
    client: FlaskClient, refused: Refused, body: dict[str, Any], path: str
) -> None:
    assert path in refused(tell(client, **body), 422)


def test_a_model_that_is_not_there_has_no_feedback(client: FlaskClient, refused: Refused) -> None:
    refused(tell(client, "none", prediction_id="log", truth=1), 404)
    refused(tell(client, "none", instances=[[1, "a"]], truth=1), 404)
    refused(tell(client, instances=[[1, "a"]], truth=1, version=9), 404)
