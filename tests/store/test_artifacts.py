import hashlib
import multiprocessing
import os
import pickle
import resource
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest

from models.errors import ArtifactError, Unavailable
from models.settings import Settings
from models.store.artifacts import Artifacts
from tests.processes import free_bind
from tests.waiting import PATIENCE

pytestmark = pytest.mark.both_stores


@pytest.fixture
def artifacts(settings: Settings) -> Artifacts:
    return Artifacts(settings.resolved_artifacts)


def files(artifacts: Artifacts) -> set[str]:
    """Everything below the root, asked of another client, which cannot know it by itself."""
    return set(Artifacts(artifacts.root).names())


def test_what_is_written_is_read_back(artifacts: Artifacts) -> None:
    digest = artifacts.write("models/penguins/1/model.onnx", b"content")
    assert artifacts.read("models/penguins/1/model.onnx") == b"content"
    assert artifacts.exists("models/penguins/1/model.onnx")
    assert digest == hashlib.sha256(b"content").hexdigest()
    assert files(artifacts) == {"models/penguins/1/model.onnx"}


def test_writing_again_replaces(artifacts: Artifacts) -> None:
    artifacts.write("a", b"old and long")
    artifacts.write("a", b"new")
    assert artifacts.read("a") == b"new"
    assert files(artifacts) == {"a"}


def test_a_file_is_read_only_as_it_was_written(artifacts: Artifacts) -> None:
    digest = artifacts.write("a", b"content")
    assert artifacts.read_checked("a", digest) == b"content"
    artifacts.write("a", b"c0ntent")
    with pytest.raises(ArtifactError, match="'a' is not the one that was written"):
        artifacts.read_checked("a", digest)


def test_another_client_sees_a_change_at_once(artifacts: Artifacts) -> None:
    other = Artifacts(artifacts.root)
    assert not other.exists("jobs/1/a")
    artifacts.write("jobs/1/a", b"1")
    assert other.exists("jobs/1/a")
    assert other.names("jobs/1") == ["jobs/1/a"]
    artifacts.write("jobs/1/b", b"2")
    assert other.names("jobs/1") == ["jobs/1/a", "jobs/1/b"]
    artifacts.delete("jobs/1")
    assert other.names("jobs/1") == []


def test_a_write_that_fails_half_way_changes_nothing(tmp_path: Path) -> None:
    artifacts = Artifacts(str(tmp_path / "root"))
    artifacts.write("a", b"old")
    process = multiprocessing.get_context("spawn").Process(
        target=_write_more_than_fits, args=(artifacts,)
    )
    process.start()
    process.join(PATIENCE)
    assert process.exitcode == 0
    assert artifacts.read("a") == b"old"
    assert files(artifacts) == {"a"}


def _write_more_than_fits(artifacts: Artifacts) -> None:
    """Like a full disk: the file system takes the first 10,000 bytes of a file and no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    with pytest.raises(Unavailable, match="File too large"):
        artifacts.write("a", b"x" * 1_000_000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))  # the process has more to write


@pytest.mark.parametrize(
    "name", ["", ".", "/", "/etc/passwd", "..", "../a", "a/../../b", "a/..", "models/../../x"]
)
def test_names_that_lead_out_of_the_root_are_refused(
    artifacts: Artifacts, settings: Settings, name: str
) -> None:
    outside = Path(settings.data) / "x"
    outside.write_bytes(b"outside")
    for use in (artifacts.read, artifacts.exists, artifacts.delete):
        with pytest.raises(ArtifactError, match="not a name inside"):
            use(name)
    with pytest.raises(ArtifactError, match="not a name inside"):
        artifacts.write(name, b"content")
    assert outside.read_bytes() == b"outside"


def test_a_missing_file_is_an_error_that_names_it(artifacts: Artifacts) -> None:
    assert not artifacts.exists("models/a")
    artifacts.write("models/b", b"x")
    with pytest.raises(ArtifactError, match=r"'models/a' is missing"):
        artifacts.read("models/a")


def test_a_folder_that_has_gone_is_away_and_not_made_anew(tmp_path: Path) -> None:
    root = tmp_path / "artifacts"
    artifacts = Artifacts(str(root))
    artifacts.write("models/a", b"x")
    away = root.rename(tmp_path / "away")
    for use in (
        lambda: artifacts.read("models/a"),
        lambda: artifacts.exists("models/a"),
        lambda: artifacts.write("models/b", b"x"),
        artifacts.check,
    ):
        with pytest.raises(Unavailable, match="is not there"):
            use()
    assert not root.exists()
    away.rename(root)
    artifacts.check()
    assert artifacts.names() == ["models/a"]


@pytest.mark.parametrize("place", ["nothing", "an empty folder"])
def test_a_task_makes_no_root_where_one_has_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Its process is new: it has not seen the mark of the root."""
    root = tmp_path / "artifacts"
    Artifacts(str(root)).write("models/a", b"x")
    root.rename(tmp_path / "away")
    if place == "an empty folder":
        root.mkdir()
    monkeypatch.setattr(Artifacts, "_marked", set())
    monkeypatch.setattr(Artifacts, "makes_roots", False)
    artifacts = Artifacts(str(root))
    for use in (artifacts.exists, artifacts.read, lambda name: artifacts.write(name, b"y")):
        with pytest.raises(Unavailable, match="is not there"):
            use("models/a")
    assert [path.name for path in tmp_path.rglob("*") if root in path.parents] == []


@pytest.mark.parametrize("place", ["nothing", "an empty folder"])
def test_a_root_that_goes_while_a_file_is_written_is_not_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    root = tmp_path / "artifacts"
    artifacts = Artifacts(str(root))
    artifacts.write("models/a", b"x")
    write = Artifacts._write_to_folder

    def go_first(self: Artifacts, target: str, content: bytes) -> None:
        root.rename(tmp_path / "away")
        if place == "an empty folder":
            root.mkdir()
        write(self, target, content)

    monkeypatch.setattr(Artifacts, "_write_to_folder", go_first)
    with pytest.raises(Unavailable):
        artifacts.write("jobs/1/b", b"y")
    assert root.exists() == (place == "an empty folder")
    assert not (root / ".luthier").exists()


def test_deleting_takes_a_file_or_a_whole_folder(artifacts: Artifacts) -> None:
    for name in ("jobs/1/a", "jobs/1/deep/b", "jobs/10/a", "jobs/2/a", "jobs/2/b"):
        artifacts.write(name, b"x")
    artifacts.delete("jobs/1")
    artifacts.delete("jobs/2/a")
    artifacts.delete("jobs/3")
    assert files(artifacts) == {"jobs/10/a", "jobs/2/b"}


def test_it_travels_to_another_process(artifacts: Artifacts) -> None:
    artifacts.write("a", b"content")
    copy = pickle.loads(pickle.dumps(artifacts))
    assert copy.root == artifacts.root
    assert copy.read("a") == b"content"


def test_a_root_that_can_be_used_passes(artifacts: Artifacts) -> None:
    artifacts.check()
    artifacts.check()


def test_a_bucket_that_is_not_there_is_named(s3: str) -> None:
    artifacts = Artifacts(f"{s3}-of-another")
    for use in (artifacts.check, lambda: artifacts.write("a", b"content")):
        with pytest.raises(Unavailable, match=f"{s3}-of-another does not exist"):
            use()


def test_a_store_that_does_not_answer_is_told_apart(
    s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{free_bind()}")
    fsspec.filesystem("s3").clear_instance_cache()
    artifacts = Artifacts(f"{s3}/nowhere")
    with pytest.raises(Unavailable, match=f"{s3}/nowhere cannot be used: .*Could not connect"):
        artifacts.check()
    fsspec.filesystem("s3").clear_instance_cache()


def test_without_credentials_the_root_says_so(s3: str, tmp_path: Path) -> None:
    """In a process of its own: what a client once found stays with its process."""
    environment = {key: text for key, text in os.environ.items() if not key.startswith("AWS_")}
    environment |= {
        "AWS_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"],
        "AWS_EC2_METADATA_DISABLED": "true",
        "HOME": str(tmp_path),
    }
    code = (
        "import sys; from models.store.artifacts import Artifacts; Artifacts(sys.argv[1]).check()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, s3],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"The artifact root {s3} cannot be used: NoCredentialsError" in done.stderr


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    artifacts = Artifacts(str(tmp_path / "file" / "below"))
    with pytest.raises(Unavailable, match="file/below cannot be used"):
        artifacts.check()


def test_a_kind_of_root_that_is_not_known_is_refused() -> None:
    with pytest.raises(ArtifactError, match="LUTHIER_ARTIFACTS='nfs4://host/folder'"):
        Artifacts("nfs4://host/folder")
