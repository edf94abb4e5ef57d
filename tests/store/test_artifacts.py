import hashlib
import multiprocessing
import pickle
import resource
from pathlib import Path

import pytest

from models.errors import ArtifactError
from models.store.artifacts import Artifacts


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def artifacts(root: Path) -> Artifacts:
    return Artifacts(str(root))


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_what_is_written_is_read_back(artifacts: Artifacts, root: Path) -> None:
    digest = artifacts.write("models/penguins/1/model.onnx", b"content")
    assert artifacts.read("models/penguins/1/model.onnx") == b"content"
    assert artifacts.exists("models/penguins/1/model.onnx")
    assert digest == hashlib.sha256(b"content").hexdigest()
    assert files(root) == {"models/penguins/1/model.onnx"}


def test_writing_again_replaces(artifacts: Artifacts, root: Path) -> None:
    artifacts.write("a", b"old and long")
    artifacts.write("a", b"new")
    assert artifacts.read("a") == b"new"
    assert files(root) == {"a"}


def test_a_write_that_fails_half_way_changes_nothing(artifacts: Artifacts, root: Path) -> None:
    artifacts.write("a", b"old")
    process = multiprocessing.get_context("spawn").Process(
        target=_write_more_than_fits, args=(artifacts,)
    )
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert artifacts.read("a") == b"old"
    assert files(root) == {"a"}


def _write_more_than_fits(artifacts: Artifacts) -> None:
    """Like a full disk: the file system takes the first 10,000 bytes of a file and no more."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
    with pytest.raises(OSError, match="File too large"):
        artifacts.write("a", b"x" * 1_000_000)


@pytest.mark.parametrize(
    "name", ["", ".", "/", "/etc/passwd", "..", "../a", "a/../../b", "a/..", "models/../../x"]
)
def test_names_that_lead_out_of_the_root_are_refused(
    artifacts: Artifacts, root: Path, name: str
) -> None:
    (root.parent / "x").write_bytes(b"outside")
    for use in (artifacts.read, artifacts.exists, artifacts.delete):
        with pytest.raises(ArtifactError, match="not a name inside"):
            use(name)
    with pytest.raises(ArtifactError, match="not a name inside"):
        artifacts.write(name, b"content")
    assert (root.parent / "x").read_bytes() == b"outside"


def test_a_missing_file_is_an_error_that_names_it(artifacts: Artifacts) -> None:
    assert not artifacts.exists("models/a")
    with pytest.raises(ArtifactError, match=r"'models/a' is missing"):
        artifacts.read("models/a")


def test_deleting_takes_a_file_or_a_whole_folder(artifacts: Artifacts, root: Path) -> None:
    for name in ("jobs/1/a", "jobs/1/deep/b", "jobs/2/a", "jobs/2/b"):
        artifacts.write(name, b"x")
    artifacts.delete("jobs/1")
    artifacts.delete("jobs/2/a")
    artifacts.delete("jobs/3")
    assert files(root) == {"jobs/2/b"}


def test_it_travels_to_another_process(artifacts: Artifacts) -> None:
    artifacts.write("a", b"content")
    copy = pickle.loads(pickle.dumps(artifacts))
    assert copy.root == artifacts.root
    assert copy.read("a") == b"content"


def test_another_file_system_works_as_a_folder_does() -> None:
    artifacts = Artifacts("memory://artifacts-of-this-test")
    artifacts.write("a/b", b"content")
    assert pickle.loads(pickle.dumps(artifacts)).read("a/b") == b"content"
    with pytest.raises(ArtifactError, match="missing"):
        artifacts.read("a/c")
    artifacts.delete("a")
    assert not artifacts.exists("a/b")
