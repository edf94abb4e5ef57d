"""A `luthier api` whose clients are slow, silent, many, or gone."""

import json
import resource
import shutil
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from luthier.incoming import Incoming, Spool
from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.engine import Database
from tests.processes import answers, fetch, free_bind, running
from tests.tiny_versions import publish_version
from tests.waiting import PATIENCE, wait_until

THREADS = 3
ENDLESS = 10_000  # seconds that no test waits for
WANTED = {"model": "iris", "dataset": "builtin:iris", "target": "target"}
COUNT = 200  # answers of 50 kB


class Api:
    def __init__(self, bind: str, data: Path) -> None:
        host, port = bind.split(":")
        self.address = (host, int(port))
        self.url = f"http://{bind}"
        self.data = data

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=PATIENCE)

    def send(self, data: bytes) -> bytes:
        """Send this on a connection of its own; return all that comes back."""
        with self.connect() as client:
            client.sendall(data)
            return _all_of(client)

    def post(self, body: bytes, *fields: str, path: str = "/tune") -> bytes:
        head = [
            f"POST {path} HTTP/1.1",
            "Host: 127.0.0.1",
            "Content-Type: application/json",
            *fields,
        ]
        return "\r\n".join([*head, "", ""]).encode() + body


def _api(folder: Path, migrated: Path, **more: object) -> Iterator[Api]:
    shutil.copy(migrated, folder / "luthier.db")
    bind, log = free_bind(), folder / "api.log"
    with running(
        "api", log, **{"bind": bind, "data": folder, "api_threads": THREADS, **more}
    ) as process:
        api = Api(bind, folder)
        wait_until(lambda: process.poll() is not None or answers(f"{api.url}/readyz"))
        assert process.poll() is None, log.read_text()
        yield api


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[Api]:
    """An API that waits for its clients without end."""
    limits = {"header_timeout": ENDLESS, "body_timeout": ENDLESS, "idle_timeout": ENDLESS}
    yield from _api(tmp_path_factory.mktemp("patient"), migrated, database_wait=0.5, **limits)


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[Api]:
    """An API that gives its clients a second."""
    limits = {"header_timeout": 1, "body_timeout": 1, "idle_timeout": 1}
    limits |= {"max_spool_bytes": 3_000_000, "max_body_bytes": 4_000_000}
    yield from _api(tmp_path_factory.mktemp("hasty"), migrated, **limits)


def test_unfinished_and_silent_connections_hold_no_thread(patient: Api) -> None:
    with ExitStack() as open_ones:
        for number in range(20 * THREADS):
            client = open_ones.enter_context(patient.connect())
            client.sendall(
                [
                    b"",
                    b"POST /tune HTTP/1.1\r\nHost: 127",
                    patient.post(b'{"model"', "Content-Length: 1000"),
                    patient.post(b"ff\r\n{", "Transfer-Encoding: chunked"),
                ][number % 4]
            )
        for path in ("/healthz", "/readyz", "/models", "/tune"):
            assert fetch(patient.url + path).is_success


def test_more_connections_than_there_is_room_for_close_the_idle_ones(
    tmp_path: Path, migrated: Path
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))  # for the API, which inherits it
    try:
        for api in _api(tmp_path, migrated):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            with ExitStack() as open_ones:
                for _ in range(300):
                    open_ones.enter_context(api.connect()).sendall(b"GET /models HTT")
                assert fetch(f"{api.url}/healthz").is_success
                assert fetch(f"{api.url}/models").is_success
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    ("path", "length", "is_long"),
    [
        ("/predict", 256 * 1024, False),
        ("/predict?model=m", 256 * 1024 + 1, True),
        ("/v2/models/m/infer", 1024**2, True),
        ("/predict", 1024**2 + 1, False),  # large: with the uploads
        ("/tune", 300_000, False),
    ],
)
def test_predictions_of_many_rows_have_a_thread_of_their_own(
    path: str, length: int, is_long: bool
) -> None:
    incoming = Incoming(Settings(), Spool(10**9))
    incoming.feed(f"POST {path} HTTP/1.1\r\nContent-Length: {length}\r\n\r\n".encode())
    assert incoming.is_long_prediction is is_long
    incoming.close()


def test_many_long_predictions_leave_room_for_others(patient: Api) -> None:
    """More long ones than threads at once, and each is answered."""
    body = json.dumps({"model": "nobody", "instances": [[0.5] * 10] * 6000}).encode()
    request = patient.post(body, f"Content-Length: {len(body)}", path="/predict")
    with ExitStack() as open_ones:
        clients = [open_ones.enter_context(patient.connect()) for _ in range(4 * THREADS)]
        for client in clients:
            client.sendall(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
        assert fetch(f"{patient.url}/models").is_success
        assert all(_all_of(client).startswith(b"HTTP/1.1 404") for client in clients)


@pytest.mark.parametrize(
    ("begun", "part"),
    [
        (b"GET /models HTTP/1.1\r\nHost: 127", "head"),
        (b"POST /tune HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n{", "body"),
        (
            b"POST /tune HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{",
            "body",
        ),
    ],
)
def test_a_request_that_does_not_arrive_in_time_is_answered_408(
    hasty: Api, begun: bytes, part: str
) -> None:
    head, _, body = hasty.send(begun).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"Connection: close" in head
    assert json.loads(body)["detail"] == f"The {part} of the request did not arrive in time."


def test_a_trickling_body_ends_at_the_total_time(hasty: Api) -> None:
    stop = threading.Event()
    with hasty.connect() as client:
        client.sendall(hasty.post(b"", "Content-Length: 100000"))

        def trickle() -> None:
            while not stop.wait(0.1):
                try:
                    client.sendall(b" ")
                except OSError:
                    return

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            assert client.recv(65536).startswith(b"HTTP/1.1 408 ")
        finally:
            stop.set()
            thread.join()


def test_bodies_on_disk_are_bounded_and_told_apart_from_one_that_is_too_large(hasty: Api) -> None:
    full = hasty.send(hasty.post(b"{", "Content-Length: 3500000"))
    assert full.startswith(b"HTTP/1.1 503 ")
    assert b"LUTHIER_MAX_SPOOL_BYTES" in full
    assert b"\r\nRetry-After: " in full
    large = hasty.send(hasty.post(b"{", "Content-Length: 4000001", "Expect: 100-continue"))
    assert large.startswith(b"HTTP/1.1 413 ")
    assert b"LUTHIER_MAX_BODY_BYTES" in large
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    endless = hasty.send(hasty.post(4 * chunk, "Transfer-Encoding: chunked"))
    assert endless.startswith(b"HTTP/1.1 408 "), "it is within the limit, but has no end"
    body = json.dumps(WANTED).encode() + b" " * 2_000_000
    whole = hasty.send(hasty.post(body, f"Content-Length: {len(body)}", "Connection: close"))
    assert whole.startswith(b"HTTP/1.1 202 "), "and nothing of the others is still counted"


def test_requests_in_chunks_in_parts_and_one_behind_the_other_are_answered(patient: Api) -> None:
    body = json.dumps(WANTED).encode()
    chunks = b"".join(b"%x\r\n%b\r\n" % (1, body[i : i + 1]) for i in range(len(body)))
    request = patient.post(chunks + b"0\r\nX-End: 1\r\n\r\n", "Transfer-Encoding: chunked")
    with patient.connect() as client:
        for place in range(0, len(request), 7):
            client.sendall(request[place : place + 7])
        client.sendall(
            patient.post(body, f"Content-Length: {len(body)}")
            + b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        )
        answer = _all_of(client)
    assert answer.count(b"HTTP/1.1 202 ") == 2
    assert answer.count(b"HTTP/1.1 200 ") == 1


@pytest.mark.parametrize(
    "fields",
    [
        ("Content-Length: 3", "Content-Length: 30"),
        ("Content-Length: 30", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: gzip, chunked, identity",),
        ("Content-Length: -1",),
        ("Content-Length: 1e3",),
    ],
)
def test_a_body_whose_end_is_told_in_two_ways_is_refused(
    patient: Api, fields: tuple[str, ...]
) -> None:
    hidden = b"GET /models HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    answer = patient.send(patient.post(b"0\r\n\r\n" + hidden, *fields))
    assert answer.count(b"HTTP/1.1 ") == 1, "what follows is not taken for a request"
    assert int(answer.split()[1]) in (400, 501)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET /healthz HTTP/1.1\r\nConnection: close", 400),
        ("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: 127.0.0.1\r\nConnection: close", 400),
        ("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close", 200),
        ("GET /healthz HTTP/1.0", 200),
    ],
)
def test_a_request_names_one_host(patient: Api, head: str, status: int) -> None:
    answer = patient.send(f"{head}\r\n\r\n".encode())
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()) or answer.startswith(
        f"HTTP/1.0 {status} ".encode()
    )


def test_writers_on_a_locked_database_leave_the_probes_and_end(patient: Api) -> None:
    body = json.dumps(WANTED).encode()
    request = patient.post(body, f"Content-Length: {len(body)}", "Connection: close")
    path = patient.data / "luthier.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other, ExitStack() as open_ones:
        other.execute("BEGIN IMMEDIATE")
        writers = [open_ones.enter_context(patient.connect()) for _ in range(4 * THREADS)]
        for writer in writers:
            writer.sendall(request)
        assert fetch(f"{patient.url}/healthz").is_success
        assert fetch(f"{patient.url}/readyz").is_success, "others can write"
        for writer in writers:
            answer = _all_of(writer)
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"\r\nRetry-After: 1\r\n" in answer
            assert b"The database is locked" in answer
        other.execute("ROLLBACK")
    assert patient.send(request).startswith(b"HTTP/1.1 202 ")


def test_answers_to_a_client_that_reads_late_are_whole(patient: Api) -> None:
    """They are more than the sockets hold."""
    _publish(patient.data, model="c", classes=["no", "yes"])
    shares = [number / 1001 for number in range(1000)]
    rows = json.dumps({"model": "c", "instances": [[share] for share in shares]}).encode()
    request = patient.post(rows, f"Content-Length: {len(rows)}", path="/predict")
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(PATIENCE)
        client.connect(patient.address)
        sender = threading.Thread(target=client.sendall, args=(COUNT * request,))
        sender.start()
        time.sleep(3)  # meanwhile the answers fill the sockets
        with client.makefile("rb") as stream:
            for _ in range(COUNT):
                assert len(_body_of_next(stream)["probabilities"]) == len(shares)
        sender.join()


def test_a_listener_that_hangs_up_frees_its_place(patient: Api) -> None:
    body = json.dumps(WANTED).encode()
    job = json.loads(
        patient.send(
            patient.post(body, f"Content-Length: {len(body)}", "Connection: close")
        ).partition(b"\r\n\r\n")[2]
    )["id"]
    listen = f"GET /tune/{job}/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    with patient.connect() as first:  # the one place of three threads
        first.sendall(listen)
        assert first.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert fetch(f"{patient.url}/tune/{job}/events").status_code == 503

    def freed() -> bool:
        with patient.connect() as next_one:
            next_one.sendall(listen)
            return next_one.recv(65536).startswith(b"HTTP/1.1 200 ")

    wait_until(freed)


def _all_of(client: socket.socket) -> bytes:
    """Everything that a server sends until it closes the connection."""
    return b"".join(iter(lambda: client.recv(65536), b""))


def _body_of_next(stream: BinaryIO) -> dict[str, Any]:
    """The body of the next answer on a kept connection."""
    assert stream.readline() == b"HTTP/1.1 200 OK\r\n"
    length = 0
    while (line := stream.readline()) != b"\r\n":
        name, _, text = line.partition(b":")
        length = int(text) if name.lower() == b"content-length" else length
    found: dict[str, Any] = json.loads(stream.read(length))
    return found


def _publish(folder: Path, **version: Any) -> None:
    settings = Settings(data=str(folder))
    database = Database(settings.resolved_database_url)
    publish_version(database, Artifacts(settings.resolved_artifacts), **version)
    database.close()
