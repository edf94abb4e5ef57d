"""`rollback_when`: what moves `champion` back, and what does not."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask.testing import FlaskClient

from models.settings import Settings
from tests.monitoring.conftest import Publish, houses, instances, monitored, predict

Refused = Callable[..., dict[str, Any]]
ROWS = instances(houses(20, 7))
BAD = [{"x": "far", "town": "Graz"}]


@pytest.fixture
def client(app_client: FlaskClient, publish: Publish) -> FlaskClient:
    """A client of an API whose model `m` has two versions."""
    publish()
    publish()
    return app_client


def guard(client: FlaskClient, **limits: Any) -> None:
    answer = client.patch("/models/m", json={"rollback_when": {"min_requests": 10, **limits}})
    assert answer.status_code == 200, answer.get_json()


def champion(client: FlaskClient) -> int:
    monitored(client)  # what a thread of the service does every few seconds
    return int(client.get("/models/m").get_json()["aliases"]["champion"])


def ask(client: FlaskClient, good: int, bad: int = 0) -> None:
    for _ in range(good):
        assert predict(client, ROWS[:1]).status_code == 200
    for _ in range(bad):
        assert predict(client, BAD).status_code == 422


def last_move(client: FlaskClient) -> dict[str, Any]:
    return dict(client.get("/models/m/aliases/champion/history").get_json()["items"][0])


def test_an_error_rate_above_the_limit_moves_the_alias_back(client: FlaskClient) -> None:
    guard(client, error_rate=0.25)
    ask(client, good=6, bad=3)
    assert champion(client) == 2, "9 requests are too few"
    ask(client, good=3)
    assert champion(client) == 2, "a quarter is allowed"
    ask(client, good=0, bad=1)
    assert champion(client) == 1
    move = last_move(client)
    assert (move["from"], move["to"], move["by"]) == (2, 1, "luthier guard")
    start = "The guard moved it back from version 2: the error rate 0.308 is above 0.25 of 13 req"
    assert move["reason"].startswith(start)
    entry = client.get("/audit").get_json()["items"][0]
    assert (entry["operation"], entry["key_name" if "key_name" in entry else "key"]) == (
        "rollBack",
        "luthier guard",
    )


def test_it_does_not_judge_what_it_went_back_to(client: FlaskClient, publish: Publish) -> None:
    publish()
    guard(client, error_rate=0.0)
    ask(client, good=0, bad=10)
    assert champion(client) == 2
    ask(client, good=0, bad=20)
    assert champion(client) == 2
    client.put("/models/m/aliases/champion", json={"version": 3})
    assert champion(client) == 3, "only a version that answers is judged"
    ask(client, good=1)
    assert champion(client) == 2, "the errors of this minute count against it again"


def test_the_first_champion_has_nothing_to_go_back_to(
    app_client: FlaskClient, publish: Publish
) -> None:
    publish()
    guard(app_client, error_rate=0.0)
    ask(app_client, good=0, bad=10)
    assert champion(app_client) == 1


def test_latency_and_live_scores_have_limits(client: FlaskClient, publish: Publish) -> None:
    guard(client, latency_ms=60_000)
    ask(client, good=10)
    assert champion(client) == 2
    guard(client, latency_ms=1e-6)
    ask(client, good=1)
    assert champion(client) == 1
    assert "the 99th percentile of the latency" in last_move(client)["reason"]

    publish()
    guard(client, live_score={"rmse": {"max": 2.5}, "r2": {"min": -1e9}})
    for error, expected in ((2.0, 3), (9.0, 1)):
        answers = predict(client, ROWS[:10]).get_json()["predictions"]
        truth = [number + error for number in answers]
        told = client.post("/models/m/feedback", json={"instances": ROWS[:10], "truth": truth})
        assert told.status_code == 200
        assert champion(client) == expected
    assert "the live rmse 6.519 is above 2.5 on 20 rows" in last_move(client)["reason"]


def test_without_limits_nothing_moves(client: FlaskClient) -> None:
    guard(client, error_rate=0.0)
    assert client.patch("/models/m", json={"rollback_when": None}).status_code == 200
    ask(client, good=0, bad=12)
    assert champion(client) == 2


@pytest.mark.both_databases
def test_several_processes_move_it_once(
    client: FlaskClient, publish: Publish, settings: Settings, connect: Callable[..., FlaskClient]
) -> None:
    publish()
    guard(client, error_rate=0.0)
    others = [connect(settings) for _ in range(4)]
    for each in others:
        ask(each, good=0, bad=5)
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(champion, others)) <= {2, 3}, "the first ones see too few requests"
    assert champion(client) == 2
    moves = client.get("/models/m/aliases/champion/history").get_json()["items"]
    assert [move["to"] for move in moves] == [2, 3, 2, 1]


@pytest.mark.parametrize(
    ("limits", "path"),
    [
        ({}, "_schema"),
        ({"min_requests": 5}, "_schema"),
        ({"error_rate": 2}, "error_rate"),
        ({"latency_ms": 0}, "latency_ms"),
        ({"latency_ms": 5, "min_requests": 0}, "min_requests"),
        ({"latency_ms": 5, "minutes": 0}, "minutes"),
        ({"live_score": {}}, "live_score"),
        ({"live_score": {"accuracy": {"min": 0.5}}}, "live_score.accuracy"),
        ({"live_score": {"loss": {"max": 0.5}}}, "live_score.loss"),
        ({"live_score": {"rmse": {"min": 0.5}}}, "live_score.rmse"),
        ({"live_score": {"rmse": {}}}, "live_score.rmse"),
        ({"live_score": {"rmse": {"max": "1"}}}, "live_score.rmse.max"),
        ({"errors": 1}, "errors"),
    ],
)
def test_limits_are_checked(
    client: FlaskClient, refused: Refused, limits: dict[str, Any], path: str
) -> None:
    errors = refused(client.patch("/models/m", json={"rollback_when": limits}), 422)
    expected = "rollback_when" if path == "_schema" else f"rollback_when.{path}"
    assert expected in errors or f"{expected}._schema" in errors
    assert client.get("/models/m").get_json()["rollback_when"] is None
