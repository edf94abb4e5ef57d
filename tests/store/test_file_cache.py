import hashlib
from pathlib import Path

import pytest

from models.errors import ArtifactError
from models.registry.files import FileCache, VersionFiles
from models.settings import Settings
from models.store.artifacts import Artifacts


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_what_is_put_is_got_by_any_process(folder: Path) -> None:
    FileCache(folder, 100).put(digest(b"content"), b"content")
    assert FileCache(folder, 100).get(digest(b"content")) == b"content"
    assert FileCache(folder, 100).get(digest(b"other")) is None
    assert [path.name for path in folder.iterdir()] == [digest(b"content")]


def test_a_damaged_copy_is_as_good_as_none(folder: Path) -> None:
    cache = FileCache(folder, 100)
    cache.put(digest(b"content"), b"content")
    (folder / digest(b"content")).write_bytes(b"c0ntent")
    assert cache.get(digest(b"content")) is None
    assert list(folder.iterdir()) == []


def test_what_was_used_longest_ago_goes_first(folder: Path) -> None:
    cache = FileCache(folder, 100)
    parts = [bytes([number]) * 40 for number in range(3)]
    for part in parts[:2]:
        cache.put(digest(part), part)
    cache.get(digest(parts[0]))
    cache.put(digest(parts[2]), parts[2])
    assert [cache.get(digest(part)) for part in parts] == [parts[0], None, parts[2]]


def test_what_is_larger_than_all_is_not_kept(folder: Path) -> None:
    cache = FileCache(folder, 10)
    cache.put(digest(b"x" * 11), b"x" * 11)
    assert not folder.exists()


def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    cache = FileCache(tmp_path / "file" / "below", 100)
    cache.put(digest(b"content"), b"content")
    assert cache.get(digest(b"content")) is None


@pytest.mark.parametrize("store", ["s3"], indirect=True)
def test_a_cached_file_is_not_fetched_again_and_a_corrupt_one_is_never_kept(
    settings: Settings, folder: Path
) -> None:
    artifacts = Artifacts(settings.resolved_artifacts)
    content = {"model.onnx": b"graph", "bad.onnx": b"graph of old"}
    entries = {
        name: {"sha256": digest(part), "path": f"ab/{name}"} for name, part in content.items()
    }
    artifacts.write("models/m/1/ab/model.onnx", b"graph")
    artifacts.write("models/m/1/ab/bad.onnx", b"graph of another")
    files = VersionFiles(artifacts, lambda model, version: entries, FileCache(folder, 100))
    assert files.read("m", 1, "model.onnx") == b"graph"
    artifacts.delete("models/m/1/ab/model.onnx")
    assert files.read("m", 1, "model.onnx") == b"graph"
    with pytest.raises(ArtifactError, match=r"'models/m/1/ab/bad\.onnx' is not the one"):
        files.read("m", 1, "bad.onnx")
    assert [path.name for path in folder.iterdir()] == [digest(b"graph")]
