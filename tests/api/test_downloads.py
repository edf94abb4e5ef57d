"""Files of versions over HTTP: conditions, ranges, damaged files, and how much is held of them."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from models.errors import ArtifactError
from models.registry.catalog.catalog import ModelCatalog
from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.store.pieces import PIECE
from tests.tiny_versions import write_file

Refused = Callable[..., dict[str, Any]]
CONTENT = bytes(range(256)) * 4096  # some pieces
SMALL = b'{"task": "regression"}'
DIGEST = hashlib.sha256(CONTENT).hexdigest()
URL = "/models/m/versions/1/artifacts/model.onnx"
PART = "/models/m/versions/1/artifacts/signature.json"

pytestmark = pytest.mark.both_stores


@pytest.fixture
def files(database: Database, settings: Settings) -> dict[str, dict[str, Any]]:
    """The entries of a version of one larger and one small file."""
    catalog, artifacts = ModelCatalog(database), Artifacts(settings.resolved_artifacts)
    version = catalog.reserve("m", "regression", "job_1", 1)
    contents = {"model.onnx": CONTENT, "signature.json": SMALL, "empty.json": b""}
    entries = {
        name: write_file(artifacts, f"models/m/{version}", name, content)
        for name, content in contents.items()
    }
    with database.write() as connection:
        details = {"metrics": None, "baseline": None}
        catalog.publish(connection, "m", version, 1, entries, details)
    return entries


def stored_name(files: dict[str, Any], name: str) -> str:
    return f"models/m/1/{files[name]['path']}"


@pytest.mark.usefixtures("files")
def test_a_whole_file_comes_in_pieces_that_are_small(app_client: FlaskClient) -> None:
    response = app_client.get(URL, buffered=False)
    assert response.status_code == 200
    assert response.headers["Content-Length"] == str(len(CONTENT))
    assert response.headers["ETag"] == f'"{DIGEST}"'
    assert response.headers["Accept-Ranges"] == "bytes"
    assert response.headers["Content-Disposition"] == 'attachment; filename="model.onnx"'
    pieces: list[Any] = list(response.response)
    assert b"".join(pieces) == CONTENT
    assert max(map(len, pieces)) <= PIECE
    response.close()
    small = app_client.get(PART)
    assert (small.data, small.mimetype) == (SMALL, "application/json")
    assert app_client.get("/models/m/versions/1/artifacts/empty.json").data == b""


@pytest.mark.usefixtures("files")
def test_a_file_that_the_client_has_is_not_sent_again(app_client: FlaskClient) -> None:
    for tags in (f'"{DIGEST}"', f'W/"{DIGEST}"', f'"other", "{DIGEST}"', "*"):
        for more in ({}, {"Range": "bytes=0-9"}):
            response = app_client.get(URL, headers={"If-None-Match": tags, **more})
            assert (response.status_code, response.data) == (304, b"")
            assert response.headers["ETag"] == f'"{DIGEST}"'
    assert app_client.get(URL, headers={"If-None-Match": '"other"'}).data == CONTENT
    assert app_client.head(URL, headers={"If-None-Match": f'"{DIGEST}"'}).status_code == 304


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=300000-", 300_000, len(CONTENT)),
        (f"bytes={PIECE - 1}-{2 * PIECE}", PIECE - 1, 2 * PIECE + 1),
        ("bytes=-5", len(CONTENT) - 5, len(CONTENT)),
        ("bytes=5-99999999999", 5, len(CONTENT)),
    ],
)
@pytest.mark.usefixtures("files")
def test_a_part_of_a_file(app_client: FlaskClient, wanted: str, start: int, end: int) -> None:
    response = app_client.get(URL, headers={"Range": wanted})
    assert response.status_code == 206
    assert response.data == CONTENT[start:end]
    assert response.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(CONTENT)}"
    assert response.headers["Content-Length"] == str(end - start)
    assert response.headers["ETag"] == f'"{DIGEST}"'


@pytest.mark.usefixtures("files")
def test_a_download_goes_on_only_while_the_file_is_the_same(app_client: FlaskClient) -> None:
    rest = {"Range": f"bytes={PIECE}-"}
    same = app_client.get(URL, headers=rest | {"If-Range": f'"{DIGEST}"'})
    assert (same.status_code, same.data) == (206, CONTENT[PIECE:])
    other = app_client.get(URL, headers=rest | {"If-Range": '"other"'})
    assert (other.status_code, other.data) == (200, CONTENT)


@pytest.mark.parametrize("wanted", ["bytes=9999999-", "bytes=9-3", "bytes=0-1,4-5"])
@pytest.mark.usefixtures("files")
def test_a_range_that_cannot_be_served(
    app_client: FlaskClient, refused: Refused, wanted: str
) -> None:
    response = app_client.get(URL, headers={"Range": wanted})
    refused(response, 416)
    assert response.headers["Content-Range"] == f"bytes */{len(CONTENT)}"


@pytest.mark.usefixtures("files")
def test_a_range_of_head_or_in_another_unit_is_ignored(app_client: FlaskClient) -> None:
    response = app_client.get(URL, headers={"Range": "lines=1-2"})
    assert (response.status_code, response.data) == (200, CONTENT)
    response = app_client.head(URL, headers={"Range": "bytes=0-9"})
    assert (response.status_code, response.headers["Accept-Ranges"]) == (200, "bytes")
    assert response.headers["Content-Length"] == str(len(CONTENT))


def test_head_and_conditions_read_nothing(
    app_client: FlaskClient, files: dict[str, Any], settings: Settings, refused: Refused
) -> None:
    Artifacts(settings.resolved_artifacts).delete(stored_name(files, "model.onnx"))
    response = app_client.head(URL)
    assert (response.status_code, response.data) == (200, b"")
    assert response.headers["Content-Length"] == str(len(CONTENT))
    assert app_client.get(URL, headers={"If-None-Match": f'"{DIGEST}"'}).status_code == 304
    refused(app_client.get(URL, headers={"If-Match": '"other"'}), 412)
    refused(app_client.get(URL), 500)


def test_a_damaged_file_is_never_sent_as_a_whole_one(
    app_client: FlaskClient, files: dict[str, Any], settings: Settings, refused: Refused
) -> None:
    artifacts = Artifacts(settings.resolved_artifacts)
    artifacts.write(stored_name(files, "signature.json"), SMALL[::-1])
    refused(app_client.get(PART), 500)
    artifacts.write(stored_name(files, "model.onnx"), CONTENT[:-1])
    refused(app_client.get(URL), 500)
    artifacts.write(stored_name(files, "model.onnx"), CONTENT[:-1] + b"\0")
    response = app_client.get(URL, buffered=False)
    received = bytearray()
    pieces: Any = response.response
    with pytest.raises(ArtifactError, match=r"model\.onnx of version 1"):  # noqa: PT012
        for piece in pieces:
            received += piece
    assert len(received) < len(CONTENT)
    response.close()


def test_a_file_of_a_deleted_version_is_not_found(
    app_client: FlaskClient, files: dict[str, Any], refused: Refused
) -> None:
    assert app_client.delete("/models/m").status_code == 204
    for wanted in ({}, {"Range": "bytes=0-9"}, {"If-None-Match": f'"{DIGEST}"'}):
        refused(app_client.get(URL, headers=wanted), 404)
