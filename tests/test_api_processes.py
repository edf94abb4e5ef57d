"""A `luthier api` of two processes: what they count together, and how they end."""

import fcntl
import http.client
import json
import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from models.settings import Settings
from tests.processes import (
    STOP_WITHIN,
    Process,
    answers,
    descendants,
    fetch,
    free_bind,
    running,
)
from tests.prometheus import value
from tests.waiting import PATIENCE, wait_until

ENDLESS = 600  # seconds of draining that no test waits for
WANTED = {"model": "iris", "dataset": "builtin:iris", "target": "target"}


@dataclass(frozen=True)
class Api:
    process: Process
    bind: str
    log: Path
    temporary: Path  # TMPDIR of the process

    def get(self, path: str) -> httpx.Response:
        return fetch(f"http://{self.bind}{path}")

    def tune(self) -> str:
        """Queue a job and return its id."""
        answer = fetch(f"http://{self.bind}/tune", "POST", json=WANTED)
        return str(answer.json()["id"])

    @contextmanager
    def connect(self) -> Iterator[http.client.HTTPConnection]:
        """A connection that stays with one of the processes."""
        with closing(http.client.HTTPConnection(self.bind, timeout=PATIENCE)) as connection:
            yield connection

    def folders(self) -> set[str]:
        return {folder.name for folder in self.temporary.glob("luthier-metrics-*")}


@pytest.fixture
def api(tmp_path: Path, settings: Settings) -> Iterator[Api]:
    folder = tmp_path / "temporary"
    folder.mkdir()
    for name in ("left", "held"):
        (folder / f"luthier-metrics-{name}").mkdir()
    held = os.open(folder / "luthier-metrics-held", os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    bind, log = free_bind(), tmp_path / "api.log"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        started = running(
            "api",
            log,
            bind=bind,
            data=settings.data,
            api_processes=2,
            drain_seconds=ENDLESS,
            log_format="json",
        )
        with started as process:
            wait_until(lambda: process.poll() is not None or answers(f"http://{bind}/readyz"))
            yield Api(process, bind, log, folder)
            process.terminate()  # the next one cuts the draining short
    os.close(held)


def test_counts_are_those_of_all_processes_and_outlive_them(api: Api) -> None:
    job = api.tune()
    total = "luthier_http_requests_total"
    for _ in range(9):
        assert api.get("/models").is_success
    with api.connect() as one:
        for _ in range(3):
            one.request("GET", "/models")
            one.getresponse().read()
        port = one.sock.getsockname()[1]
        one.request("GET", f"/tune/{job}/events")
        with one.getresponse() as stream:
            stream.readline()
            for _ in range(4):
                text = api.get("/metrics").text
                assert value(text, total, route="/models", status="2xx") == 12
                # A request is in flight until its process has closed it, after the client reads.
                wait_until(lambda: _scraped(api, "luthier_http_requests_in_flight") == 2)
            before = descendants(api.process)
            assert len(before) == 2
            _holder(before, port).kill()
    wait_until(lambda: _scraped(api, "luthier_http_requests_in_flight") == 1)
    wait_until(lambda: len(set(descendants(api.process)) - set(before)) == 1)
    wait_until(lambda: _scraped(api, total, route="/models") == 12)
    wait_until(lambda: api.get("/models").is_success)
    assert _scraped(api, total, route="/models") == 13


def test_a_folder_of_counts_that_was_left_is_removed_and_one_in_use_is_not(api: Api) -> None:
    assert len(api.folders()) == 2
    assert "luthier-metrics-held" in api.folders()
    assert "luthier-metrics-left" not in api.folders()


def test_a_file_of_counts_may_go_while_it_is_read(api: Api) -> None:
    (name,) = api.folders() - {"luthier-metrics-held"}
    # It is found in the folder, and is not there any more.
    (api.temporary / name / "gauge_livesum_1.db").symlink_to("gone")
    assert _scraped(api, "luthier_http_requests_in_flight") >= 1


def test_it_is_not_ready_at_once_serves_on_and_lets_requests_end(api: Api) -> None:
    job = api.tune()
    with api.connect() as kept, api.connect() as following:
        kept.request("GET", "/models")
        assert kept.getresponse().read()
        following.request("GET", f"/tune/{job}/events")
        stream = following.getresponse()
        stream.readline()
        begun, rest = _half_a_request(api)

        api.process.terminate()
        wait_until(lambda: api.get("/readyz").status_code == 503)
        assert "draining" in api.get("/readyz").json()["checks"]["process"]
        kept.request("GET", "/models")
        answer = kept.getresponse()
        assert answer.status == 200, "what comes in spite of it is served"
        assert answer.headers["Connection"] == "close"
        assert api.get("/healthz").is_success

        api.process.terminate()
        assert b": this process ends" in stream.read()
        with begun:
            begun.sendall(rest)
            assert begun.recv(1000).startswith(b"HTTP/1.1 202 ")
    assert api.process.wait(STOP_WITHIN) == 0
    assert api.folders() == {"luthier-metrics-held"}
    entries = [json.loads(line) for line in api.log.read_text().splitlines()]
    assert {"gunicorn.error", "api.hooks.request_log"} <= {entry["logger"] for entry in entries}


def _scraped(api: Api, name: str, **labels: str) -> float:
    try:
        return value(api.get("/metrics").text, name, **labels)
    except httpx.TransportError:  # the killed process had taken the connection
        return -1.0


def _holder(processes: list[psutil.Process], port: int) -> psutil.Process:
    """The process at the other end of a local port."""
    return next(
        process
        for process in processes
        for connection in process.net_connections()
        if connection.raddr and connection.raddr.port == port
    )


def _half_a_request(api: Api) -> tuple[socket.socket, bytes]:
    """A request whose body has only begun, and the rest of it."""
    body = json.dumps(WANTED).encode()
    head = (
        f"POST /tune HTTP/1.1\r\nHost: {api.bind}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
    )
    host, port = api.bind.split(":")
    begun = socket.create_connection((host, int(port)), timeout=PATIENCE)
    begun.sendall(head.encode())
    assert begun.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
    begun.sendall(body[:20])
    return begun, body[20:]
