from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.registry.files import VersionFiles
from models.store.artifacts import Artifacts
from tests.tiny_versions import write_version


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(str(tmp_path))


Register = Callable[..., None]


@pytest.fixture
def registered() -> dict[tuple[str, int], dict[str, Any]]:
    """What is registered of the files of each version."""
    return {}


@pytest.fixture
def files(artifacts: Artifacts, registered: dict[tuple[str, int], dict[str, Any]]) -> VersionFiles:
    return VersionFiles(artifacts, lambda model, version: registered[model, version])


@pytest.fixture
def register(artifacts: Artifacts, registered: dict[tuple[str, int], dict[str, Any]]) -> Register:
    """Write and register a version, as `tiny_versions.write_version` does."""

    def write(model: str, version: int, classes: list[Any] | None = None) -> None:
        registered[model, version] = write_version(artifacts, model, version, classes)

    return write
