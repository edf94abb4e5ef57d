"""Server-Sent Events: over HTTP from the whole service, and as text."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from flask.testing import FlaskClient

from api.streams import EventStreams
from luthier.client import Client
from models.jobs.commands import JobCommands
from models.jobs.model import JobState
from models.jobs.store.events import EventFeed
from models.jobs.store.queue import JobQueue
from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.engine import Database
from tests.processes import fetch, free_bind, running, stop
from tests.waiting import PATIENCE, wait_until

SPACE = {"num_layers": 1, "units": {"type": "choice", "values": [4, 8]}}
REQUEST = {
    "model": "followed",
    "dataset": "builtin:iris",
    "target": "target",
    "search_space": SPACE,
    "strategy": "grid",
    "budget": {"epochs": 3},
    "evaluation": {"method": "holdout"},
    "executions_per_trial": 2,
    "parallelism": 1,
}
# A job that goes on until it is cancelled: its trial reports epochs all the time, but slowly.
ENDLESS = {
    **REQUEST,
    "search_space": {**SPACE, "batch_size": 1},
    "budget": {"epochs": 100_000},
    "early_stopping": None,
}
STREAMS = 6  # of the service, which has 8 threads


@pytest.fixture(scope="module")
def done(client: Client) -> dict[str, Any]:
    """A job that has succeeded."""
    job = client.wait(client.tune(REQUEST)["id"], every=0.1)
    assert job["state"] == "succeeded", job["error"]
    return job


@pytest.fixture
def endless(client: Client) -> Iterator[str]:
    """A job whose first trial is being trained."""
    job = client.tune(ENDLESS)["id"]
    wait_until(lambda: client.job(job)["progress"]["running"])
    yield job
    client.cancel(job)
    assert client.wait(job, every=0.1)["state"] == "cancelled"


def follow(http: httpx.Client, job: str, last: int | None = None) -> Any:
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    return http.stream("GET", f"/tune/{job}/events", headers=headers)


def parse(text: str) -> list[dict[str, Any]]:
    """Every whole event in a text, its lines by name; comments and `retry` are no events."""
    blocks = [block for block in text.split("\n\n")[:-1] if block.startswith("id: ")]
    return [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]


def test_a_job_is_followed_from_its_beginning_to_its_end(client: Client) -> None:
    job = client.tune({**REQUEST, "seed": 5})["id"]
    events = list(client.events(job))
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    of_kind = {
        kind: [event["data"] for event in events if event["event"] == kind]
        for kind in ("state", "trial", "epoch")
    }
    assert [data["state"] for data in of_kind["state"]] == ["queued", "running", "succeeded"]
    assert events[-1]["data"]["version"] == client.job(job)["version"]
    trials = client.trials(job)
    for trial in trials:
        number = trial["number"]
        mine = [data for data in of_kind["trial"] if data["trial"] == number]
        assert [data["state"] for data in mine] == ["waiting", "running", "completed"]
        assert mine[0]["values"] == trial["values"]
        assert mine[2]["score"] == trial["score"]
        runs = [
            [data for data in of_kind["epoch"] if (data["trial"], data["execution"]) == (number, n)]
            for n in range(2)
        ]
        for name, means in trial["history"].items():
            one, other = ([x for data in run for x in data["history"][name]] for run in runs)
            assert [(x + y) / 2 for x, y in zip(one, other, strict=True)] == pytest.approx(means)
    assert len(trials) == 2


def test_events_have_the_form_of_server_sent_events(http: httpx.Client, done) -> None:
    with follow(http, done["id"]) as response:
        response.read()
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-cache"
    text = response.text
    assert text.startswith("retry: 2000\n\nid: 1\nevent: state\ndata: ")
    assert text.endswith("\n\n")
    events = parse(text)
    assert [int(event["id"]) for event in events] == list(range(1, len(events) + 1))
    assert json.loads(events[-1]["data"])["state"] == "succeeded"


def test_a_stream_goes_on_after_any_event_without_gap_or_repetition(
    http: httpx.Client, done
) -> None:
    with follow(http, done["id"]) as response:
        whole = parse(response.read().decode())
    for last in range(len(whole)):
        with follow(http, done["id"], last) as response:
            assert parse(response.read().decode()) == whole[last:]


def test_a_stream_broken_while_the_job_runs_is_taken_up(
    http: httpx.Client, client, endless
) -> None:
    seen: list[dict[str, Any]] = []
    for _ in range(3):
        with follow(http, endless, int(seen[-1]["id"]) if seen else None) as response:
            text, before = "", len(seen)
            for piece in response.iter_text():
                text += piece
                if sum(event["event"] == "epoch" for event in parse(text)) >= 2:
                    break
            seen += parse(text)
            assert len(seen) >= before + 2
    client.cancel(endless)
    with follow(http, endless, int(seen[-1]["id"])) as response:
        seen += parse(response.read().decode())
    assert [int(event["id"]) for event in seen] == list(range(1, len(seen) + 1))
    assert json.loads(seen[-1]["data"])["state"] == "cancelled"
    with follow(http, endless) as response:
        assert parse(response.read().decode()) == seen


def test_a_job_that_has_nothing_left_to_tell_sends_clients_home(http: httpx.Client, done) -> None:
    with follow(http, done["id"]) as response:
        last = int(parse(response.read().decode())[-1]["id"])
    with follow(http, done["id"], last) as response:
        assert response.status_code == 204
        assert response.read() == b""
    assert http.get(f"/tune/{done['id']}").json()["last_event"] == last


def test_a_running_trial_is_shown_with_its_history_so_far(
    http: httpx.Client, client: Client, endless
) -> None:
    def look(beyond: int = 0) -> Any:
        trial = http.get(f"/tune/{endless}/trials/1").json()
        return trial if trial["history"] and len(trial["history"]["loss"]) > beyond else None

    early = wait_until(look)
    assert early["state"] == "running"
    assert early["score"] is None
    length = len(early["history"]["loss"])
    assert {len(figures) for figures in early["history"].values()} == {length}
    assert length < 100_000
    later = wait_until(lambda: look(beyond=length))
    assert later["history"]["val_loss"][:length] == early["history"]["val_loss"]


def test_clients_that_follow_cannot_take_every_thread(
    http: httpx.Client, service: Any, endless
) -> None:
    with ExitStack() as streams:

        def open_stream() -> Any:
            """Follow the job; None while streams that were closed before still hold a place."""
            one = ExitStack()
            follower = one.enter_context(httpx.Client(base_url=service.url, timeout=PATIENCE))
            response = one.enter_context(follow(follower, endless))
            if response.status_code != 200:
                one.close()
                return None
            streams.push(one)
            return response

        listening = []  # a reader that is forgotten hangs up
        for _ in range(STREAMS):
            reader = wait_until(open_stream).iter_text()
            next(reader)
            listening.append(reader)
        with follow(http, endless) as refused:
            body = json.loads(refused.read())
        assert refused.status_code == body["status"] == 503
        assert int(refused.headers["retry-after"]) > 0
        assert http.get("/healthz").status_code == 200
        assert http.get(f"/tune/{endless}").json()["state"] == "running"

    def is_open() -> bool:
        with follow(http, endless) as response:
            return response.status_code == 200

    # A thread is free again once its stream has found that nobody listens.
    wait_until(is_open)


def test_an_unknown_job_has_no_events(app_client: FlaskClient, refused) -> None:
    refused(app_client.get("/tune/job_nowhere/events"), 404)


@pytest.mark.parametrize("last", ["-1", "x", "1.5", str(2**31)])
def test_an_id_that_no_event_can_have_is_refused(app_client: FlaskClient, refused, last) -> None:
    job = app_client.post("/tune", json=REQUEST).get_json()["id"]
    answer = app_client.get(f"/tune/{job}/events", headers={"Last-Event-ID": last})
    assert list(refused(answer, 422)) == ["Last-Event-ID"]


@pytest.fixture
def queued_job(app_client: FlaskClient) -> str:
    return app_client.post("/tune", json=REQUEST).get_json()["id"]


def test_a_service_with_two_threads_keeps_both_for_requests(
    settings: Settings, connect: Callable[[Settings], FlaskClient], refused
) -> None:
    few = Settings(data=settings.data, api_threads=2)
    client = connect(few)
    job = client.post("/tune", json=REQUEST).get_json()["id"]
    refused(client.get(f"/tune/{job}/events"), 503)


def test_a_silent_stream_is_kept_alive(database: Database, queued_job: str) -> None:
    streams = EventStreams(EventFeed(database), 8)
    stream = streams.stream(queued_job, 1, look_seconds=0.0, keep_alive_seconds=0.0)
    assert next(stream) == "retry: 2000\n\n"
    assert [next(stream) for _ in range(3)] == [": keep-alive\n\n"] * 3
    # A comment is no event: what comes next has its own number.
    JobQueue(database, "worker-1", 30.0).claim()
    assert wait_until(lambda: parse(next(stream)))[0]["id"] == "2"
    patient = streams.stream(queued_job, 1, look_seconds=0.0, keep_alive_seconds=PATIENCE)
    next(patient)
    assert [event["id"] for event in parse(next(patient))] == ["2"]


def test_a_stream_ends_when_its_job_is_deleted(
    app_client: FlaskClient, database: Database, queued_job: str
) -> None:
    stream = EventStreams(EventFeed(database), 8).stream(queued_job, 0, look_seconds=0.0)
    next(stream)
    assert parse(next(stream))[0]["event"] == "state"
    assert app_client.delete(f"/tune/{queued_job}").status_code == 204
    assert list(stream) == []


def test_a_long_past_comes_in_pieces(database: Database, queued_job: str) -> None:
    requests = JobCommands(database, Artifacts("memory://events"))
    for _ in range(300):
        requests.pause(queued_job)
        requests.resume(queued_job)
    assert requests.cancel(queued_job).state == JobState.CANCELLED
    pieces = list(EventStreams(EventFeed(database), 8).stream(queued_job, 0))[1:]
    assert len(pieces) == 2
    ids = [int(event["id"]) for piece in pieces for event in parse(piece)]
    assert ids == list(range(1, 603))


def test_streams_end_with_the_server(tmp_path: Path, settings: Settings, queued_job: str) -> None:
    bind, log = free_bind(), tmp_path / "api.log"
    with running("api", log, bind=bind, data=settings.data) as process:
        url = f"http://{bind}"
        wait_until(lambda: process.poll() is not None or _answers(url))
        with (
            httpx.Client(base_url=url, timeout=PATIENCE) as http,
            follow(http, queued_job) as response,
        ):
            pieces = response.iter_text()
            text = next(pieces)
            while not parse(text):
                text += next(pieces)
            status = stop(process)
            # A response that was cut off would raise an error here.
            assert [event["id"] for event in parse(text + "".join(pieces))] == ["1"]
        assert status == 0, log.read_text()


def _answers(url: str) -> bool:
    try:
        return fetch(f"{url}/healthz").status_code == 200
    except httpx.TransportError:
        return False
