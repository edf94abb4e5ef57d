"""`?wait=`: an answer that comes when the job has ended."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask.testing import FlaskClient

from api.streams import EventStreams
from luthier.client import Client
from models.jobs.store.events import EventFeed
from models.settings import Settings
from models.store.engine import Database
from tests.waiting import PATIENCE, wait_until

REQUEST = {
    "model": "awaited",
    "dataset": "builtin:iris",
    "target": "target",
    "search_space": {"num_layers": 1, "units": 4},
    "strategy": "grid",
    "budget": {"epochs": 1},
}
Connect = Callable[[Settings], FlaskClient]


@pytest.fixture
def queued_job(app_client: FlaskClient) -> str:
    return app_client.post("/tune", json=REQUEST).get_json()["id"]


def test_the_answer_is_the_ended_job(client: Client) -> None:
    job = client.tune(REQUEST, wait=PATIENCE)
    assert (job["state"], job["progress"]["completed"]) == ("succeeded", 1)
    assert client.job(job["id"], wait=PATIENCE) == job


def test_a_job_that_goes_on_is_answered_when_the_time_is_over(app_client: FlaskClient) -> None:
    response = app_client.post("/tune?wait=0.01", json=REQUEST)
    assert (response.status_code, response.get_json()["state"]) == (202, "queued")
    response = app_client.get(f"{response.headers['Location']}?wait=0.01")
    assert (response.status_code, response.get_json()["state"]) == (200, "queued")
    assert "Retry-After" not in response.headers


@pytest.mark.parametrize("end", ["cancel", "delete"])
def test_the_wait_ends_with_the_job(
    app_client: FlaskClient, settings: Settings, connect: Connect, queued_job: str, end: str
) -> None:
    app = app_client.application
    streams = app.extensions["luthier"].streams
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(app.test_client().get, f"/tune/{queued_job}?wait={PATIENCE}")
        places = [streams.take_place() for _ in range(5)]  # of six; the wait has the other
        assert all(places)
        wait_until(lambda: not _has_place(streams))
        if end == "cancel":
            app_client.post(f"/tune/{queued_job}/cancel")
        else:
            app_client.delete(f"/tune/{queued_job}")
        response = answer.result(PATIENCE)
    expected = (200, "cancelled") if end == "cancel" else (404, None)
    assert (response.status_code, response.get_json().get("state")) == expected
    assert streams.take_place()  # it was given back


def _has_place(streams: EventStreams) -> bool:
    has_place = streams.take_place()
    if has_place:
        streams.give_back_place()
    return has_place


def test_where_no_thread_is_free_the_answer_comes_at_once(
    settings: Settings, connect: Connect
) -> None:
    client = connect(Settings(data=settings.data, api_threads=2))
    started = client.post("/tune?wait=600", json=REQUEST)
    shown = client.get(f"{started.headers['Location']}?wait=600")
    for response, status in ((started, 202), (shown, 200)):
        assert (response.status_code, response.get_json()["state"]) == (status, "queued")
        assert int(response.headers["Retry-After"]) > 0


def test_waits_and_streams_share_their_places(database: Database, queued_job: str) -> None:
    streams = EventStreams(EventFeed(database), 3)
    assert streams.take_place()
    assert not streams.wait(queued_job, 600)
    streams.give_back_place()
    assert streams.wait(queued_job, 0.0)
    assert streams.take_place()


def test_waits_end_with_the_process(database: Database, queued_job: str) -> None:
    streams = EventStreams(EventFeed(database), 8)
    streams.is_closing = lambda: True
    assert streams.wait(queued_job, 600)


@pytest.mark.parametrize("query", ["wait=601", "wait=-1", "wait=nan", "wait=inf", "wait=x"])
def test_a_wait_has_bounds(
    app_client: FlaskClient, refused: Callable[..., dict[str, Any]], query: str
) -> None:
    assert list(refused(app_client.post(f"/tune?{query}", json=REQUEST), 422)) == ["wait"]
    assert list(refused(app_client.get(f"/tune/job_0?{query}"), 422)) == ["wait"]


def test_a_plan_does_not_wait(
    app_client: FlaskClient, refused: Callable[..., dict[str, Any]]
) -> None:
    response = app_client.post("/tune?dry_run=true&wait=5", json=REQUEST)
    assert list(refused(response, 422)) == ["wait"]
    refused(app_client.get("/tune/job_0?wait=5"), 404)
