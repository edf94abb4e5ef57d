"""The files of versions that were exported but not registered."""

import json
import tempfile
from pathlib import Path
from typing import Any

import keras

from models.registry.export import ExportSpec
from models.registry.files import VersionFiles, entry_path
from models.store.artifacts import Artifacts


def stored(artifacts: Artifacts) -> VersionFiles:
    """Reads what the evidence of each version lists."""

    def entries_of(model: str, version: int) -> dict[str, Any]:
        (evidence,) = (
            name
            for name in artifacts.names(f"models/{model}/{version}")
            if name.endswith("/evidence.json")
        )
        entries = json.loads(artifacts.read(evidence))["files"]
        return {
            name: entry | {"path": entry_path(name, entry["sha256"])}
            for name, entry in entries.items()
        }

    return VersionFiles(artifacts, entries_of)


def stored_network(artifacts: Artifacts, spec: ExportSpec) -> keras.Model:
    """The Keras network of a version of `houses`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        path.write_bytes(stored(artifacts).read("houses", spec.version, "model.keras"))
        return keras.models.load_model(path)
