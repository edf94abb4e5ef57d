"""A dataset is no larger than the settings say, whatever its file declares or hides."""

import io
import json
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flask.testing import FlaskClient

from models.settings import Settings
from tests.api.uploads import TUNE, file

Refused = Callable[..., dict[str, Any]]
Connect = Callable[[Settings], FlaskClient]


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


def test_rows_of_every_format(names: Callable[..., Any]) -> None:
    cells = list(range(101))
    rows = [{"a": n} for n in cells]
    files: dict[str, str | bytes] = {
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
    files: dict[str, str | bytes] = {
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


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_long_cell_is_one_that_the_setting_allows(
    settings: Settings, connect: Connect, refused: Refused, quote: str
) -> None:
    """The limit of Python's own reader of CSV, 131,072 characters, means nothing here."""
    client = connect(replace(settings, max_cell_length=200_000))
    for length in (131_073, 200_000):
        content = f"n,words\n1,{quote}{'w' * length}{quote}\n2,short\n"
        stored = client.post("/datasets", **file(content.encode(), "a.csv"))
        assert stored.status_code == 201, stored.get_json()
        assert stored.get_json()["rows"] == 2
    content = f"n,words\n1,{quote}{'w' * 200_001}{quote}\n2,short\n"
    response = client.post("/datasets", **file(content.encode(), "a.csv"))
    (message,) = refused(response, 422)["file"]
    assert "200,001 characters" in message
    assert "LUTHIER_MAX_CELL_LENGTH" in message
