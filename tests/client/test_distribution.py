"""The client as a distribution of its own: it needs nothing of the service."""

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from luthier import __version__
from tests.readme import ROOT

PROGRAM = """
import sys
from importlib.metadata import version
from luthier.client import AsyncClient, Client, NotFound
assert set(sys.modules).isdisjoint({"models", "api", "flask", "pandas", "numpy", "sqlalchemy"})
Client("http://127.0.0.1:1").close()
print(version("luthier-client"))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built in a copy of its sources."""
    folder = tmp_path_factory.mktemp("client")
    for part in ("client", "luthier/client"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "models").mkdir()
    shutil.copy(ROOT / "models" / "__init__.py", folder / "models")
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", *build, "-w", str(folder / "dist"), str(folder / "client")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (made,) = (folder / "dist").glob("*.whl")
    return made


def test_the_wheel_works_alone_beside_httpx(wheel: Path, tmp_path: Path) -> None:
    assert wheel.name == f"luthier_client-{__version__}-py3-none-any.whl"
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    paths = {"base": str(tmp_path / "venv"), "platbase": str(tmp_path / "venv")}
    site = Path(sysconfig.get_path("purelib", "venv", paths))
    shutil.unpack_archive(wheel, site, "zip")
    for name in ("httpx", "httpcore", "h11", "anyio", "certifi", "idna", "sniffio"):
        _link(name, site)
    done = subprocess.run(
        [str(tmp_path / "venv" / "bin" / "python"), "-I", "-c", PROGRAM],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == __version__


def _link(name: str, site: Path) -> None:
    """Give the environment a package that this one has."""
    for suffix in ("", ".py"):
        found = Path(sysconfig.get_path("purelib"), name + suffix)
        if found.exists():
            (site / found.name).symlink_to(found)
    # typing_extensions is needed by anyio before Python 3.13.
    extensions = Path(sysconfig.get_path("purelib"), "typing_extensions.py")
    if extensions.exists() and not (site / extensions.name).exists():
        (site / extensions.name).symlink_to(extensions)
