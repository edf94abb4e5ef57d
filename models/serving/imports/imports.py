"""Versions that are made of uploaded graphs."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from models.data.datetimes import format_rfc3339
from models.data.library.turns import Turns
from models.registry.catalog.catalog import artifact_folder
from models.registry.catalog.imported import abandon, publish_import, take_number
from models.registry.documents import IMPORTED, Document
from models.registry.files import entry_of
from models.serving.imports.process import Imported, import_in_process
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.store.tables import now

NO_EVIDENCE = "imported: no evidence"


class VersionImports:
    """Reads graphs, each in a process that may take `memory` bytes, and registers them."""

    def __init__(self, database: Database, artifacts: Artifacts, turns: Turns, memory: int) -> None:
        self._database = database
        self._artifacts = artifacts
        self._turns = turns
        self._memory = memory

    def add(
        self,
        model: str,
        content: bytes,
        description: str | None = None,
        tags: Sequence[str] = (),
        **wanted: Any,
    ) -> int:
        """Make a version of a graph and return its number; raises as `import_in_process`.

        `wanted` are fields of `models.serving.imports.inputs.Wanted`. Raises TooMany if other
        uploads are being read, and Unavailable if the store does not answer.
        """
        with self._turns.take():
            found = import_in_process(content, wanted, model, self._memory)
        evidence = _evidence(content) | {"description": description, "tags": list(tags)}
        files = {
            "README.md": found.page.encode(),
            "model.onnx": found.graph,
            "signature.json": _json(found.signature),
            "evidence.json": _json(evidence),
        }
        version = take_number(self._database, model)
        folder = artifact_folder(model, version)
        entries = {name: entry_of(name, file) for name, file in files.items()}
        try:
            for name, file in files.items():
                self._artifacts.write(f"{folder}/{entries[name]['path']}", file)
            details = _details(found, evidence)
            task = found.signature["task"]
            publish_import(self._database, model, version, task, entries, details)
        except Exception:
            with suppress(SQLAlchemyError):
                abandon(self._database, model, version)
            raise
        return version


def _details(found: Imported, evidence: Document) -> Document:
    return {
        "source": IMPORTED,
        "metrics": None,
        "baseline": None,
        "signature": found.signature,
        "evidence": evidence,
        "layers": [],
        "summary": f"An imported graph with {found.parameters:,} numbers in its constants.",
        "parameters": found.parameters,
    }


def _evidence(content: bytes) -> Document:
    """Return the evidence of a version of which nothing is known but its file."""
    return {
        "created": format_rfc3339(now().timestamp()),
        "source": IMPORTED,
        "note": NO_EVIDENCE,
        "uploaded": {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)},
        "validation": {"metrics": None},
        "test": {"rows": 0, "metrics": None, "intervals": None, "note": NO_EVIDENCE},
        "baseline": {"predicts": "nothing", "metrics": None, "intervals": None},
        "conclusion": "It was imported: no evidence.",
    }


def _json(document: Document) -> bytes:
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False).encode()
