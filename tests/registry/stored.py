"""The files of versions that were exported but not registered."""

import json
from typing import Any

from models.registry.files import VersionFiles
from models.store.artifacts import Artifacts


def stored(artifacts: Artifacts) -> VersionFiles:
    """Reads what the evidence of each version lists."""

    def entries_of(model: str, version: int) -> dict[str, Any]:
        (evidence,) = (
            name
            for name in artifacts.names(f"models/{model}/{version}")
            if name.endswith("/evidence.json")
        )
        entries: dict[str, Any] = json.loads(artifacts.read(evidence))["files"]
        return entries

    return VersionFiles(artifacts, entries_of)
