"""Every limit is a setting, and has an answer of its own that names it."""

import gzip
import io
import json
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flask.testing import FlaskClient
from processes import free_bind, running
from waiting import wait_until

from models.settings import Settings

Refused = Callable[..., dict[str, Any]]
Connect = Callable[[Settings], FlaskClient]

TUNE = {
    "model": "m",
    "dataset": "builtin:iris",
    "target": "target",
    "budget": {"max_trials": 2},
    "search_space": {"learning_rate": {"type": "float", "min": 0.001, "max": 0.1}},
}
LIMITS = {
    "max_body_bytes": 20_000,
    "max_inflated_bytes": 50_000,
    "max_rows": 100,
    "max_columns": 20,
    "max_cell_length": 50,
    "max_instances": 3,
    "max_queued_jobs": 2,
    "max_trials_per_job": 5,
    "max_json_depth": 8,
}


@pytest.fixture
def small(settings: Settings, connect: Connect) -> FlaskClient:
    return connect(Settings(data=settings.data, **LIMITS))


@pytest.fixture
def names(small: FlaskClient, refused: Refused) -> Callable[..., dict[str, Any]]:
    """Send a request; it must be refused with this status and name this setting."""

    def check(setting: str, status: int, path: str, **request: Any) -> dict[str, Any]:
        response = small.post(path, **request)
        errors = refused(response, status)
        assert f"LUTHIER_{setting.upper()}" in response.get_json()["detail"]
        return errors

    return check


def file(content: bytes, name: str) -> dict[str, Any]:
    return {"data": {"file": (io.BytesIO(content), name)}}


def parquet(table: Any, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def npz(**arrays: Any) -> bytes:
    sink = io.BytesIO()
    np.savez_compressed(sink, **arrays)
    return sink.getvalue()


def archive(*members: tuple[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in members:
            opened.writestr(name, content)
    return sink.getvalue()


def npy(header: str, content: bytes = b"") -> bytes:
    """A .npy file whose header says whatever is wanted."""
    text = header.encode() + b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + content


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
        data=gzip.compress(form),
        headers=headers,
        content_type="multipart/form-data; boundary=b",
    )
    assert found.status_code == 201, found.get_json()


def test_inflated_bytes_of_a_gzip_bomb(names: Callable[..., Any]) -> None:
    bomb = gzip.compress(b" " * 10_000_000)
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
        ("gzip", gzip.compress(b'{"a": 1}')[:-9], 400),
        ("gzip", gzip.compress(b"{}") + b"{}", 400),
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


def test_rows_of_every_format(names: Callable[..., Any]) -> None:
    cells = list(range(101))
    rows = [{"a": n} for n in cells]
    files = {
        "a.csv": "a\n" + "\n".join(map(str, cells)),
        "a.json": json.dumps(rows),
        "a.jsonl": "\n".join(map(json.dumps, rows)),
        "a.parquet": parquet(pa.table({"a": cells})),
        "a.npz": npz(x=np.zeros((101, 1)), y=np.zeros(101)),
        "b.npz": npz(a=np.zeros(101)),
    }
    for name, content in files.items():
        content = content.encode() if isinstance(content, str) else content
        assert names("max_rows", 422, "/datasets", **file(content, name)), name
    assert names("max_rows", 422, "/datasets", json={"records": rows})
    assert names("max_rows", 422, "/datasets", json={"x": cells, "y": cells})
    tune = TUNE | {"dataset": {"records": rows}, "target": "a"}
    assert "dataset.records" in names("max_rows", 422, "/tune", json=tune)


def test_columns_of_every_format(names: Callable[..., Any]) -> None:
    row = {f"c{n}": n for n in range(21)}
    files = {
        "a.csv": ",".join(row) + "\n" + ",".join("1" * 21),
        "a.json": json.dumps([row]),
        "a.parquet": parquet(pa.table({name: [1] for name in row})),
        "a.npz": npz(x=np.zeros((3, 21)), y=np.zeros(3)),
        "b.npz": npz(**{name: np.zeros(3) for name in row}),
    }
    for name, content in files.items():
        content = content.encode() if isinstance(content, str) else content
        assert names("max_columns", 422, "/datasets", **file(content, name)), name
    assert names("max_columns", 422, "/datasets", json={"records": [row]})
    assert names("max_columns", 422, "/datasets", json={"x": [list(range(21))], "y": [1]})


def test_keys_that_differ_from_row_to_row_are_not_made_a_table(names: Callable[..., Any]) -> None:
    rows = [{f"c{n}": 1} for n in range(90)]
    names("max_columns", 422, "/datasets", json={"records": rows})


def test_cell_length_of_every_format(names: Callable[..., Any]) -> None:
    text = "ä" * 51
    rows = [{"a": text}, {"a": "b"}]
    files = {
        "a.csv": f"a\n{text}\nb\n".encode(),
        "a.json": json.dumps(rows).encode(),
        "a.parquet": parquet(pa.table({"a": [text, "b"]})),
        "b.parquet": parquet(pa.table({"a": pa.array([text, "b"]).dictionary_encode()})),
        "a.npz": npz(a=np.array([text, "b"])),
    }
    for name, content in files.items():
        assert names("max_cell_length", 422, "/datasets", **file(content, name)), name
    names("max_cell_length", 422, "/datasets", json={"records": rows})
    names("max_cell_length", 422, "/datasets", json={"x": [1, 2], "y": [text, "b"]})


def test_cells_at_the_limits_are_read(small: FlaskClient) -> None:
    rows = [{"a": "x" * 50, "b": n} for n in range(100)]
    assert small.post("/datasets", json={"records": rows}).status_code == 201
    content = parquet(pa.table({f"c{n}": range(100) for n in range(20)}))
    assert small.post("/datasets", **file(content, "a.parquet")).status_code == 201


def test_a_zip_bomb_is_refused_by_what_it_declares(names: Callable[..., Any]) -> None:
    content = npz(x=np.zeros((50, 20, 1000)), y=np.zeros(50))
    assert len(content) < 20_000
    names("max_inflated_bytes", 413, "/datasets", **file(content, "a.npz"))


def test_a_zip_bomb_that_declares_little_unpacks_to_no_more(
    small: FlaskClient, refused: Refused
) -> None:
    content = npz(x=np.zeros((50, 20, 1000)), y=np.zeros(50))
    declared = struct.pack("<I", 50 * 20 * 1000 * 8 + 128)
    assert content.count(declared) >= 1
    response = small.post("/datasets", **file(content.replace(declared, b"\x00\x01\0\0"), "a.npz"))
    refused(response, 422)


def test_members_of_an_archive(names: Callable[..., Any]) -> None:
    content = archive(*((f"{n}.npy", b"") for n in range(21)))
    names("max_columns", 422, "/datasets", **file(content, "a.npz"))


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (10, 1000000, 1000000), }",
        "{'descr': '<U0', 'fortran_order': False, 'shape': (1000000000000,), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }",
        "__import__('os').system('true')",
    ],
)
def test_an_array_that_claims_what_it_does_not_hold(
    small: FlaskClient, refused: Refused, header: str
) -> None:
    content = archive(("x.npy", npy(header, b"cos\nsystem\n(S'true'\ntR.")), ("y.npy", npy(header)))
    assert "file" in refused(small.post("/datasets", **file(content, "a.npz")), 422)


def test_parquet_that_declares_too_much(names: Callable[..., Any]) -> None:
    wide = pa.table({f"c{n}": [f"{n}-{m:045}" for m in range(100)] for n in range(12)})
    content = parquet(wide, compression="zstd", use_dictionary=False)
    assert len(content) < 20_000 < 50_000 < wide.nbytes
    names("max_inflated_bytes", 413, "/datasets", **file(content, "a.parquet"))


def test_a_parquet_dictionary_bomb(settings: Settings, connect: Connect, refused: Refused) -> None:
    """One text of 50,000 characters, a million times: 50 GB in a file of a few kilobytes."""
    client = connect(Settings(data=settings.data, max_cell_length=100_000))
    indices = pa.array(np.zeros(1_000_000, dtype=np.int32))
    table = pa.table({"a": pa.DictionaryArray.from_arrays(indices, pa.array(["x" * 50_000]))})
    for options in ({}, {"store_schema": False}):
        content = parquet(table, **options)
        assert len(content) < 50_000
        response = client.post("/datasets", **file(content, "a.parquet"))
        refused(response, 413)
        assert "LUTHIER_MAX_INFLATED_BYTES" in response.get_json()["detail"]


def test_parquet_of_equal_numbers_that_are_too_many(
    settings: Settings, connect: Connect, refused: Refused
) -> None:
    client = connect(Settings(data=settings.data, max_inflated_bytes=1_000_000))
    column = pa.array(np.zeros(100_000))
    content = parquet(pa.table({f"c{n}": column for n in range(10)}))
    assert len(content) < 20_000
    response = client.post("/datasets", **file(content, "a.parquet"))
    refused(response, 413)
    assert "LUTHIER_MAX_INFLATED_BYTES" in response.get_json()["detail"]


def test_nested_parquet_is_refused_before_it_is_unpacked(
    small: FlaskClient, refused: Refused
) -> None:
    content = parquet(pa.table({"a": [[0] * 1_000_000]}))
    assert len(content) < 20_000
    response = small.post("/datasets", **file(content, "a.parquet"))
    assert "list<" in refused(response, 422)["file"][0]


def test_categories_of_several_row_groups_are_one_column(small: FlaskClient) -> None:
    texts = [f"t{n % 7}" for n in range(90)]
    plain = small.post("/datasets", json={"records": [{"a": text} for text in texts]}).get_json()
    for column in (pa.array(texts), pa.array(texts).dictionary_encode()):
        content = parquet(pa.table({"a": column}), row_group_size=20)
        found = small.post("/datasets", **file(content, "a.parquet")).get_json()
        assert found["id"] == plain["id"]


def test_one_long_text_does_not_make_every_cell_long(
    settings: Settings, connect: Connect, refused: Refused
) -> None:
    client = connect(Settings(data=settings.data, max_inflated_bytes=1_000_000))
    body = {"x": [0] * 1000, "y": ["x" * 1000] + [""] * 999}
    refused(client.post("/datasets", json=body), 413)


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

    found = httpx.post(
        f"{api}/predict", content=pieces(), headers={"Content-Type": "application/json"}
    )
    assert found.status_code == 413, found.text
    assert "LUTHIER_MAX_BODY_BYTES" in found.json()["detail"]


def test_the_server_tells_no_version_of_itself(api: str) -> None:
    server = httpx.get(f"{api}/healthz").headers["Server"]
    assert not any(character.isdigit() for character in server)


def _answers(bind: str) -> bool:
    try:
        return httpx.get(f"http://{bind}/healthz").is_success
    except httpx.TransportError:
        return False
