"""NPY, NPZ, Arrow and Parquet into and out of `/predict`."""

import io
import zipfile
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api.arrays import arrays_of, table_of
from models.serving.engine import Prediction
from tests.dialects.versions import PRICES, ROWS

NPY, NPZ = "application/x-npy", "application/x-npz"
ARROW, PARQUET = "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"
COLUMNS = {
    "area": np.array([70.5, 30.0, np.nan, 12.25], np.float32),
    "town": np.array(["Graz", "Wien", "", "Ζürich"]),
    "garden": np.array([True, False, False, True]),
    "sold": np.array(["2024-05-31", "2024-06-01T12:00", "NaT", "1970-01-02"], "datetime64[s]"),
}
MATRIX = np.array([[1.5, 7.0, 1.0, 86400.0], [np.nan, 8.0, 0.0, 0.0]])


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def post(
    api: FlaskClient, body: bytes, kind: str, query: str = "model=flats", accept: str = "*/*"
) -> TestResponse:
    headers = {"Accept": accept}
    return api.post(f"/predict?{query}", data=body, content_type=kind, headers=headers)


def predictions(response: TestResponse) -> list[Any]:
    assert response.status_code == 200, response.text
    return response.get_json()["predictions"]


def test_columns_of_an_npz_file_are_predicted(api: FlaskClient) -> None:
    assert predictions(post(api, npz(**COLUMNS), NPZ)) == PRICES
    wide = {name: column[:, None] for name, column in COLUMNS.items()}
    assert predictions(post(api, npz(**wide), NPZ, "model=flats&version=1")) == PRICES
    named = np.zeros(4, [(name, column.dtype) for name, column in COLUMNS.items()])
    for name, column in COLUMNS.items():
        named[name] = column
    assert predictions(post(api, npy(named), NPY)) == PRICES


@pytest.mark.parametrize("write", [np.ascontiguousarray, np.asfortranarray])
def test_a_matrix_has_the_columns_in_order(api: FlaskClient, write: Any) -> None:
    expected = [1.5 + 1 + 1, 0.0]
    assert predictions(post(api, npy(write(MATRIX)), NPY)) == expected
    assert predictions(post(api, npz(rows=write(MATRIX)), NPZ)) == expected
    assert predictions(post(api, npy(np.array([0.25, 0.75])), NPY, "model=kinds")) == [
        "cheap",
        "dear",
    ]
    assert predictions(post(api, npy(np.array([[1], [0]])), NPY, "model=digits")) == [8, 3]


def test_answers_go_out_as_arrays(api: FlaskClient) -> None:
    body = {"model": "flats", "instances": ROWS}
    response = api.post("/predict", json=body, headers={"Accept": NPY})
    assert response.mimetype == NPY
    assert "Accept" in response.headers["Vary"]
    assert np.load(io.BytesIO(response.data)).tolist() == PRICES
    query = "model=kinds"
    response = post(api, npy(np.array([0.25, 0.75])), NPY, query, NPZ)
    found = np.load(io.BytesIO(response.data))
    assert {name: found[name].tolist() for name in found.files} == {
        "prediction": ["cheap", "dear"],
        "probabilities": [[0.75, 0.25], [0.25, 0.75]],
        "classes": ["cheap", "dear"],
    }


def test_answers_go_out_as_tables(api: FlaskClient) -> None:
    expected = {
        "prediction": ["cheap", "dear"],
        "probability_cheap": [0.75, 0.25],
        "probability_dear": [0.25, 0.75],
    }
    sent = pa.BufferOutputStream()
    table = pa.table({"x": [0.25, 0.75]})
    with pa.ipc.new_stream(sent, table.schema) as writer:
        writer.write_table(table)
    arrow = post(api, bytes(sent.getvalue()), ARROW, "model=kinds", ARROW)
    found = pa.ipc.open_stream(arrow.data).read_all()
    assert found.to_pydict() == expected
    assert found.schema.metadata == {b"model": b"kinds", b"version": b"1"}
    parquet = post(api, bytes(sent.getvalue()), ARROW, "model=kinds", PARQUET)
    assert pq.read_table(io.BytesIO(parquet.data)).to_pydict() == expected


def test_intervals_and_label_sets_go_out() -> None:
    numbers = Prediction("m", 1, [1.0], interval=0.9, lower=[0.5], upper=[1.5])
    assert {name: cells.tolist() for name, cells in arrays_of(numbers).items()} == {
        "prediction": [1.0],
        "lower": [0.5],
        "upper": [1.5],
    }
    shares = [[0.6, 0.4], [0.9, 0.1]]
    classes = Prediction("m", 1, ["a", "a"], shares, ["a", "b"], labels=[["a", "b"], ["a"]])
    assert arrays_of(classes)["labels"].tolist() == [[True, True], [True, False]]
    assert table_of(classes).to_pydict()["labels"] == [["a", "b"], ["a"]]


def test_arrays_that_do_not_fit_are_refused(api: FlaskClient) -> None:
    claims = bytearray(npy(MATRIX))
    claims[claims.index(b"(2, 4)") : claims.index(b"(2, 4)") + 6] = b"(9, 9)"
    short = {name: column[:2] for name, column in COLUMNS.items()} | {"town": COLUMNS["town"]}
    objects = io.BytesIO()
    np.save(objects, np.array([{}], dtype=object), allow_pickle=True)
    for body, kind, path in (
        (b"", NPY, "body"),
        (b"no array", NPY, "body"),
        (bytes(claims), NPY, "body"),
        (objects.getvalue(), NPY, "body"),
        (npy(MATRIX[:, :3]), NPY, "body"),
        (npy(np.array(3.0)), NPY, "body"),
        (npy(np.zeros((0, 4))), NPY, "instances"),
        (npy(np.full((1, 4), np.inf)), NPY, "instances.0.area"),
        (npy(np.zeros((101, 4))), NPY, "body"),
        (npy(MATRIX.astype(complex)), NPY, "columns.area"),
        (b"PK", NPZ, "body"),
        (npz(), NPZ, "columns.area"),
        (npz(**short), NPZ, "columns.town"),
        (npz(**COLUMNS, colour=COLUMNS["town"]), NPZ, "columns.colour"),
        (npz(**COLUMNS | {"area": MATRIX}), NPZ, "columns.area"),
        (npz(**COLUMNS | {"area": COLUMNS["town"]}), NPZ, "instances.0.area"),
        (npz(**COLUMNS | {"town": np.array([b"\xff"] * 4)}), NPZ, "columns.town"),
    ):
        response = post(api, body, kind)
        assert response.status_code == 422, (path, response.text)
        assert path in response.get_json()["errors"], path
    assert "model" in post(api, npy(MATRIX), NPY, "").get_json()["errors"]


def header(described: str, content: bytes = b"") -> bytes:
    """Return an NPY file with any header."""
    line = described.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(line).to_bytes(2, "little") + line + content


@pytest.mark.parametrize(
    "body",
    [
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -1)}", bytes(8)),
        header(f"{{'descr': '<f8', 'fortran_order': False, 'shape': (0, {10**30})}}"),
        header(f"{{'descr': '<f8', 'fortran_order': False, 'shape': {(1,) * 70}}}", bytes(8)),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (True,)}", bytes(8)),
        header("{'descr': ('<f8', (2,)), 'fortran_order': False, 'shape': (1,)}", bytes(16)),
        header("{'descr': (((("),
        header("{1: 2, 'a': 3}"),
        header("-" * 9000 + "1"),
    ],
)
def test_hostile_headers_are_refused(api: FlaskClient, body: bytes) -> None:
    response = post(api, body, NPY)
    assert response.status_code == 422, response.text
    assert "body" in response.get_json()["errors"]


@pytest.mark.parametrize("packing", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_archives_are_refused(api: FlaskClient, packing: int) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packing) as archive:
        archive.writestr("area.npy", npy(np.arange(500.0)))
    content = bytearray(file.getvalue())
    content[50:70] = b"\xff" * 20
    response = post(api, bytes(content), NPZ)
    assert response.status_code == 422, response.text
    assert "body" in response.get_json()["errors"]


@pytest.mark.parametrize("number", [0xFFFFFFFF, 0x110000, 0xD800])
def test_numbers_that_are_no_characters_are_refused(api: FlaskClient, number: int) -> None:
    towns = np.array([number] * 4, np.uint32).view("<U1")
    response = post(api, npz(**COLUMNS | {"town": towns}), NPZ)
    assert response.status_code == 422, response.text
    assert "columns.town" in response.get_json()["errors"]


def test_what_unpacks_to_too_much_is_not_unpacked(api: FlaskClient) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("area.npy", bytes(17 * 1024**2))
    assert len(file.getvalue()) < 100_000
    response = post(api, file.getvalue(), NPZ)
    assert response.status_code == 413
    assert "LUTHIER_MAX_JSON_BYTES" in response.get_json()["detail"]
