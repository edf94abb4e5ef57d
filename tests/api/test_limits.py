"""Every limit is a setting, and has an answer of its own that names it."""

import gzip
import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from flask.testing import FlaskClient

from models.settings import Settings
from tests.api.uploads import TUNE, file
from tests.processes import fetch, free_bind, running
from tests.waiting import wait_until

Refused = Callable[..., dict[str, Any]]
Connect = Callable[[Settings], FlaskClient]


@pytest.mark.parametrize("path", ["/tune", "/predict", "/datasets"])
def test_body_bytes(names: Callable[..., Any], path: str) -> None:
    body = b'"' + b"x" * 20_000 + b'"'
    names("max_body_bytes", 413, path, data=body, content_type="application/json")
    names("max_body_bytes", 413, path, **file(body, "a.csv"))


def test_a_body_of_just_so_many_bytes_is_read(small: FlaskClient) -> None:
    body = json.dumps({"records": [{"a": 1}, {"a": 2}]}).ljust(20_000)
    assert len(body) == 20_000
    made = small.post("/datasets", data=body, content_type="application/json")
    assert made.status_code == 201


def test_a_gzip_body_is_read_like_a_plain_one(small: FlaskClient) -> None:
    rows = {"records": [{"a": n, "y": n} for n in range(9)]}
    plain = small.post("/datasets", json=rows).get_json()["id"]
    packed = gzip.compress(json.dumps(rows).encode())
    headers = {"Content-Encoding": "gzip"}
    found = small.post("/datasets", data=packed, headers=headers, content_type="application/json")
    assert found.get_json()["id"] == plain
    form = (
        b"--b\r\nContent-Disposition: form-data; name=file; filename=a.csv\r\n\r\na,b\n1,2\n3,4\n"
        b"\r\n--b--\r\n"
    )
    found = small.post(
        "/datasets",
        data=gzip.compress(form, mtime=0),
        headers=headers,
        content_type="multipart/form-data; boundary=b",
    )
    assert found.status_code == 201, found.get_json()


def test_inflated_bytes_of_a_gzip_bomb(names: Callable[..., Any]) -> None:
    bomb = gzip.compress(b" " * 10_000_000, mtime=0)
    assert len(bomb) < 20_000
    names(
        "max_inflated_bytes",
        413,
        "/predict",
        data=bomb,
        headers={"Content-Encoding": "gzip"},
        content_type="application/json",
    )


@pytest.mark.parametrize(
    ("coding", "body", "status"),
    [
        ("gzip", b"{}", 400),
        ("gzip", gzip.compress(b'{"a": 1}', mtime=0)[:-9], 400),
        ("gzip", gzip.compress(b"{}", mtime=0) + b"{}", 400),
        ("gzip", b"", 400),
        ("br", b"{}", 415),
        ("gzip, gzip", b"{}", 415),
    ],
)
def test_a_coding_that_is_broken_or_unknown(
    small: FlaskClient, refused: Refused, coding: str, body: bytes, status: int
) -> None:
    response = small.post(
        "/predict",
        data=body,
        headers={"Content-Encoding": coding},
        content_type="application/json",
    )
    refused(response, status)


def test_json_depth(names: Callable[..., Any], small: FlaskClient) -> None:
    def body(levels: int) -> Any:
        return {"model": "m", "instances": json.loads("[" * levels + "]" * levels)}

    names("max_json_depth", 422, "/predict", json=body(8))
    assert small.post("/predict", json=body(7)).status_code == 404
    deep = json.loads('{"a": ' * 8 + "1" + "}" * 8)
    names("max_json_depth", 422, "/datasets", json={"records": [deep]})


def test_instances(service: Any, trained: Any, connect: Connect, refused: Refused) -> None:
    client = connect(Settings(data=str(service.data), max_instances=3))
    rows = trained.rows[:4]
    assert (
        client.post("/predict", json={"model": "flats", "instances": rows[:3]}).status_code == 200
    )
    response = client.post("/predict", json={"model": "flats", "instances": rows})
    (message,) = refused(response, 422)["instances"]
    assert "LUTHIER_MAX_INSTANCES" in message


def test_queued_jobs(small: FlaskClient, refused: Refused, names: Callable[..., Any]) -> None:
    first = small.post("/tune", json=TUNE, headers={"Idempotency-Key": "k"})
    assert [first.status_code, small.post("/tune", json=TUNE).status_code] == [202, 202]
    response = small.post("/tune", json=TUNE)
    refused(response, 429)
    assert int(response.headers["Retry-After"]) > 0
    assert "LUTHIER_MAX_QUEUED_JOBS" in response.get_json()["detail"]
    assert len(small.get("/tune").get_json()["items"]) == 2
    again = small.post("/tune", json=TUNE, headers={"Idempotency-Key": "k"})
    assert again.get_json()["id"] == first.get_json()["id"]
    assert small.post("/tune?dry_run=true", json=TUNE).status_code == 200
    small.post(f"/tune/{first.get_json()['id']}/cancel")
    assert small.post("/tune", json=TUNE).status_code == 202


def test_trials_per_job(names: Callable[..., Any], small: FlaskClient, refused: Refused) -> None:
    large = TUNE | {"budget": {"max_trials": 6}}
    for path in ("/tune", "/tune?dry_run=true"):
        assert "budget.max_trials" in names("max_trials_per_job", 422, path, json=large)
    grid = TUNE | {"budget": {}, "strategy": {"name": "grid", "points": 6}}
    names("max_trials_per_job", 422, "/tune", json=grid)
    job = small.post("/tune", json=TUNE).get_json()["id"]
    trials = {"trials": [{"learning_rate": 0.01}] * 4}
    assert "trials" in names("max_trials_per_job", 422, f"/tune/{job}/trials", json=trials)
    assert (
        small.post(f"/tune/{job}/trials", json={"trials": trials["trials"][:3]}).status_code == 202
    )
    raised = small.patch(f"/tune/{job}", json={"budget": {"max_trials": 3}})
    assert "budget.max_trials" in refused(raised, 422)


def test_parts_of_a_form(app_client: FlaskClient, refused: Refused) -> None:
    for more in ({f"p{n}": "" for n in range(1001)}, {"types": " " * 500_001}):
        form = {"file": (io.BytesIO(b"a\n1\n"), "a.csv"), **more}
        response = app_client.post("/datasets", data=form)
        refused(response, 413)
        assert "form" in response.get_json()["detail"]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[str]:
    """A real `luthier api` with a small limit."""
    folder, bind = tmp_path_factory.mktemp("limits"), free_bind()
    shutil.copy(migrated, folder / "luthier.db")
    with running("api", folder / "log", bind=bind, data=folder, max_body_bytes=20_000):
        wait_until(lambda: _answers(bind))
        yield f"http://{bind}"


def test_a_chunked_body_is_counted_by_a_real_server(api: str) -> None:
    def pieces() -> Iterator[bytes]:
        yield b'{"model": "m", "instances": ["'
        for _ in range(30):
            yield b"x" * 1000
        yield b'"]}'

    headers = {"Content-Type": "application/json"}
    found = fetch(f"{api}/predict", "POST", content=pieces(), headers=headers)
    assert found.status_code == 413, found.text
    assert "LUTHIER_MAX_BODY_BYTES" in found.json()["detail"]


def test_the_server_tells_no_version_of_itself(api: str) -> None:
    server = fetch(f"{api}/healthz").headers["Server"]
    assert not any(character.isdigit() for character in server)


def _answers(bind: str) -> bool:
    try:
        return fetch(f"http://{bind}/healthz").is_success
    except httpx.TransportError:
        return False
