"""Aliases that name several versions by weights, and shadows."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from models.registry.catalog.catalog import ModelCatalog
from models.registry.catalog.promotion import Comparison, Promote, PromotionRule
from models.retention.deletion import Deletion
from models.retention.rules import Rules
from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.engine import Database
from tests.prometheus import value
from tests.tiny_versions import publish_version
from tests.waiting import wait_until

Refused = Callable[..., dict[str, Any]]
CHAMPION = "/models/m/aliases/champion"
CLASSES = ["no", "yes"]
NONSENSE: list[tuple[dict[str, Any], str]] = [  # bodies, and the field that is named
    ({}, "version"),
    ({"reason": "why"}, "version"),
    ({"version": None}, "version"),
    ({"version": 3, "weights": {"3": 1.0}}, "weights"),
    ({"weights": None}, "weights"),
    ({"weights": {}}, "weights"),
    ({"weights": [0.5, 0.5]}, "weights"),
    ({"weights": {"3": 0.9, "4": 0.2}}, "weights"),
    ({"weights": {"3": 0.9, "4": 0.09999}}, "weights"),
    ({"weights": {str(n): 1 / 9 for n in range(1, 10)}}, "weights"),
    ({"weights": {"3": 1.0, "4": 0}}, "weights.4"),
    ({"weights": {"3": 1.5}}, "weights.3"),
    ({"weights": {"3": 1.0, "4": -0.5}}, "weights.4"),
    ({"weights": {"3": "0.9", "4": 0.1}}, "weights.3"),
    ({"weights": {"3": True}}, "weights.3"),
    *(({"weights": {key: 1.0}}, f"weights.{key}") for key in ("03", "+3", "0", "three", "٣")),
    ({"weights": {"9" * 10: 1.0}}, f"weights.{'9' * 10}"),
    ({"version": 3, "shadow": 3}, "shadow"),
    ({"shadow": 3}, "shadow"),
    ({"weights": {"3": 0.9, "4": 0.1}, "shadow": 4}, "shadow"),
    ({"shadow": "4"}, "shadow"),
    ({"shadow": 0}, "shadow"),
    ({"version": 3, "weight": 1}, "weight"),
]


@pytest.fixture
def publish(database: Database, settings: Settings) -> Callable[..., int]:
    """Publish the next version of `m`, which answers its number plus twice the input."""
    artifacts = Artifacts(settings.resolved_artifacts)

    def publish_next(classes: list[str] | None = None) -> int:
        return publish_version(database, artifacts, "m", classes)

    return publish_next


@pytest.fixture
def four(app_client: FlaskClient, publish: Callable[..., int]) -> FlaskClient:
    """A client of a service with four versions of `m`, of which the third is the champion."""
    for _ in range(4):
        publish()
    assert put(app_client, version=3).status_code == 200
    return app_client


def put(client: FlaskClient, path: str = CHAMPION, **body: Any) -> TestResponse:
    """Change an alias; `if_match` is its condition."""
    condition = body.pop("if_match", None)
    headers = {} if condition is None else {"If-Match": condition}
    return client.put(path, json=body, headers=headers)


def predict(client: FlaskClient, **wanted: Any) -> Any:
    asked = {"model": "m", "instances": [[1.0]], **wanted}
    # As servers do, close the answer once it is read.
    response = client.post("/predict", json=asked, buffered=True)
    assert response.status_code == 200, response.text
    body = response.get_json()
    assert body["predictions"] == [2.0 + body["version"]]
    return body


def route(client: FlaskClient, path: str = CHAMPION) -> Any:
    return client.get(path).get_json()


def scraped(client: FlaskClient, name: str, **labels: str) -> float:
    return value(client.get("/metrics").get_data(as_text=True), name, **labels)


def test_weights_and_shadow_are_read_as_they_were_written(
    four: FlaskClient, database: Database
) -> None:
    assert route(four) == {"version": 3, "weights": {"3": 1.0}, "shadow": None}
    assert four.get("/models/m").get_json()["rollouts"] == {}
    answer = put(four, weights={"4": 0.1, "3": 0.9}, shadow=2)
    wanted = {"version": 3, "weights": {"3": 0.9, "4": 0.1}, "shadow": 2}
    assert route(four) == wanted
    assert answer.headers["ETag"] == four.get(CHAMPION).headers["ETag"]
    for shown in (
        answer.get_json(),
        four.get("/models/m").get_json(),
        four.get("/models").get_json()["items"][0],
    ):
        assert shown["aliases"] == {"champion": 3}
        assert shown["rollouts"] == {"champion": wanted}
    shadow = ("champion (shadow)",)
    listed = ModelCatalog(database).versions("m")
    assert [each.aliases for each in listed] == [("champion",), ("champion",), shadow, ()]
    assert put(four, weights={"4": 1.0}, shadow=None).get_json()["rollouts"] == {}
    assert route(four) == {"version": 4, "weights": {"4": 1.0}, "shadow": None}
    assert four.get(CHAMPION).headers["ETag"] == '"4"'


def test_what_is_left_out_stays(four: FlaskClient) -> None:
    put(four, shadow=4)
    assert route(four) == {"version": 3, "weights": {"3": 1.0}, "shadow": 4}
    put(four, weights={"2": 0.5, "3": 0.5})
    assert route(four) == {"version": 2, "weights": {"2": 0.5, "3": 0.5}, "shadow": 4}
    put(four, shadow=1)
    assert route(four)["weights"] == {"2": 0.5, "3": 0.5}
    put(four, version=1)
    assert route(four) == {"version": 1, "weights": {"1": 1.0}, "shadow": None}


def test_what_makes_no_sense_names_its_field(four: FlaskClient, refused: Refused) -> None:
    for body, path in NONSENSE:
        assert list(refused(put(four, **body), 422)) == [path], body
    assert route(four) == {"version": 3, "weights": {"3": 1.0}, "shadow": None}


def test_all_versions_and_the_alias_must_exist(four: FlaskClient, refused: Refused) -> None:
    body: dict[str, Any]
    for body in ({"weights": {"3": 0.5, "9": 0.5}}, {"shadow": 9}, {"version": 1, "shadow": 9}):
        response = put(four, **body)
        refused(response, 404)
        assert response.get_json()["detail"] == "There is no version 9 of model 'm'."
    for body in ({"shadow": 4}, {"shadow": None}):
        assert list(refused(put(four, "/models/m/aliases/new", **body), 422)) == ["version"]
    refused(put(four, "/models/none/aliases/new", shadow=None), 404)
    refused(four.get("/models/m/aliases/new"), 404)
    refused(four.get("/models/none/aliases/new"), 404)


def test_an_etag_covers_weights_and_shadow(four: FlaskClient, refused: Refused) -> None:
    bodies: list[dict[str, Any]] = [
        {"weights": {"3": 0.9, "4": 0.1}},
        {"weights": {"3": 0.8, "4": 0.2}},
        {"shadow": 2},
        {"shadow": None, "version": 3},
    ]
    seen = [four.get(CHAMPION).headers["ETag"]]
    for body in bodies:
        refused(put(four, if_match='"1"', **body), 412)
        answer = put(four, if_match=seen[-1], **body)
        assert answer.status_code == 200
        refused(put(four, if_match=seen[-1], **body), 412)
        seen.append(answer.headers["ETag"])
    assert len(set(seen)) == len(seen) - 1
    assert seen[0] == seen[-1] == '"3"'
    put(four, weights={"3": 0.5, "4": 0.5}, shadow=1)
    said = put(four, if_match='"3"', version=4).get_json()["detail"]
    assert "versions 3 (0.5) and 4 (0.5), with the shadow 1" in said


@pytest.mark.both_databases
def test_the_history_has_weights_and_shadow_and_rollbacks_follow_weights(
    four: FlaskClient, refused: Refused
) -> None:
    for body in (
        {"weights": {"3": 0.9, "4": 0.1}, "reason": "A canary."},
        {"weights": {"3": 0.9, "4": 0.1}},
        {"shadow": 1},
        {"weights": {"3": 0.5, "4": 0.5}},
    ):
        assert put(four, **body).status_code == 200
    items = four.get(f"{CHAMPION}/history").get_json()["items"]
    names = ("from", "to", "weights", "shadow")
    assert [tuple(move[name] for name in names) for move in items[:4]] == [
        (3, 3, {"3": 0.5, "4": 0.5}, 1),
        (3, 3, {"3": 0.9, "4": 0.1}, 1),
        (3, 3, {"3": 0.9, "4": 0.1}, None),
        (4, 3, None, None),
    ]
    assert items[2]["reason"] == "A canary."
    assert four.post("/models/m/rollback").status_code == 200
    assert route(four) == {"version": 3, "weights": {"3": 0.9, "4": 0.1}, "shadow": 1}
    put(four, weights={"3": 0.5, "4": 0.5})
    refused(four.post("/models/m/rollback", json={"from": 2}), 409)
    left = four.post("/models/m/rollback", json={"from": 4}).get_json()
    assert left["aliases"] == {"champion": 3}
    assert route(four)["weights"] == {"3": 1.0}
    refused(four.post("/models/m/rollback", json={"from": 4}), 409)


def test_a_version_with_a_weight_or_in_the_shadow_is_kept(
    four: FlaskClient, refused: Refused, database: Database, settings: Settings
) -> None:
    put(four, weights={"2": 0.9, "3": 0.1}, shadow=1)
    for version, name in ((1, "champion (shadow)"), (2, "champion"), (3, "champion")):
        response = four.delete(f"/models/m/versions/{version}")
        refused(response, 409)
        assert response.get_json()["detail"].startswith(
            f"Aliases point at version {version} of model 'm': {name}."
        )
    found = four.application.extensions["luthier"]
    deletion: Deletion = found.deletion
    Rules(database, found.artifacts, deletion, replace(settings, keep_versions_days=1e-9)).apply()
    versions = four.get("/models/m").get_json()["versions"]
    assert [each["version"] for each in versions] == [3, 2, 1]
    put(four, version=2)
    assert four.delete("/models/m/versions/3").status_code == 204
    refused(four.post("/models/m/rollback", json={"from": 3}), 409)
    four.post("/models/m/rollback")
    assert route(four) == {"version": 1, "weights": {"1": 1.0}, "shadow": None}


@pytest.mark.parametrize("promote", Promote)
def test_a_better_version_ends_a_rollout_only_if_its_job_asks_for_it(
    four: FlaskClient, database: Database, promote: Promote
) -> None:
    promoted = promote is Promote.ALWAYS
    put(four, weights={"2": 0.9, "3": 0.1}, shadow=4)
    catalog = ModelCatalog(database)
    version = catalog.reserve("m", "regression", "job_new", 1)
    better = Comparison(2, (), 100, "rmse", 1.0, [0.9, 1.1], 2.0, [1.9, 2.1], 1.0, [0.8, 1.2])
    details: dict[str, Any] = {"metrics": None, "baseline": None}
    with database.write() as connection:
        verdict = catalog.publish(
            connection, "m", version, 1, {}, details, PromotionRule(promote), better
        )
    assert verdict["better"] is True
    assert verdict["promoted"] is promoted
    if promote is Promote.IF_BETTER:
        assert verdict["reason"].endswith("which only `always` or a move ends.")
    assert route(four)["version"] == (5 if promoted else 2)
    assert route(four)["shadow"] == 4


def test_equal_keys_get_the_same_version_and_others_their_share(four: FlaskClient) -> None:
    put(four, weights={"3": 0.6, "4": 0.4})
    keys = [f"customer-{n}" for n in range(60)]
    first = {key: predict(four, key=key)["version"] for key in keys}
    assert {key: predict(four, key=key)["version"] for key in keys} == first
    assert set(first.values()) == {3, 4}
    table = four.post(
        f"/predict?model=m&key={keys[0]}", data="x\n1\n", content_type="text/csv"
    ).get_json()
    assert table["version"] == first[keys[0]]
    assert {predict(four)["version"] for _ in range(60)} == {3, 4}
    put(four, weights={"3": 0.3, "4": 0.7})
    later = {key: predict(four, key=key)["version"] for key in keys}
    assert {(first[key], later[key]) for key in keys} == {(3, 3), (3, 4), (4, 4)}
    assert predict(four, key="any", version=1)["version"] == 1


def test_a_key_is_a_short_text(four: FlaskClient, refused: Refused) -> None:
    for key in ("", "k" * 257, 7, True, ["k"]):
        asked = {"model": "m", "instances": [[1.0]], "key": key}
        assert list(refused(four.post("/predict", json=asked), 422)) == ["key"]


def test_a_shadow_counts_how_it_differs_and_nothing_else(four: FlaskClient) -> None:
    put(four, shadow=1)
    for _ in range(3):
        assert predict(four)["version"] == 3
    sent = {"data": "x\n1\n2\n", "content_type": "text/csv", "buffered": True}
    table = four.post("/predict?model=m", **sent)
    assert table.get_json()["predictions"] == [5.0, 7.0]
    name = "luthier_shadow_requests_total"
    labels = {"model": "m", "version": "1"}
    wait_until(lambda: scraped(four, name, **labels, outcome="compared") == 4)
    assert scraped(four, "luthier_shadow_rows_total", **labels) == 5
    assert scraped(four, "luthier_shadow_absolute_difference_total", **labels) == 10.0
    assert scraped(four, "luthier_shadow_differing_rows_total", **labels) == 0
    assert scraped(four, "luthier_predictions_total", model="m") == 4
    put(four, shadow=None)
    predict(four)
    assert scraped(four, name, **labels, outcome="compared") == 4


def test_a_shadow_that_fails_fails_no_request(
    four: FlaskClient, publish: Callable[..., int]
) -> None:
    assert publish(CLASSES) == 5  # whose answers are no numbers
    put(four, version=3, shadow=5)
    predict(four)
    labels = {"model": "m", "version": "5"}
    wait_until(lambda: scraped(four, "luthier_shadow_differing_rows_total", **labels) == 1)
    artifacts: Artifacts = four.application.extensions["luthier"].artifacts
    artifacts.delete("models/m/4")
    put(four, shadow=4)
    for _ in range(2):
        predict(four)
    labels = {"model": "m", "version": "4", "outcome": "failed"}
    wait_until(lambda: scraped(four, "luthier_shadow_requests_total", **labels) == 2)
