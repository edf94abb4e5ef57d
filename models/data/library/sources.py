"""The files that datasets were read from, kept so that they can be read anew."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from types import NoneType
from typing import Any

from models.data.columns import of_type
from models.store.artifacts import Artifacts


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """What the catalog keeps of a source; its bytes lie in the artifact store."""

    filename: str | None
    content_type: str | None
    is_inline: bool  # a JSON object of rows that came within a request, not a file
    sha256: str

    def stored_name(self, dataset: str) -> str:
        """Return the artifact name of the bytes, which no other file of the dataset has."""
        return f"datasets/{dataset}/source/{self.sha256}"


@dataclass(frozen=True)
class Source:
    """A file as it was sent, or rows that came within a request."""

    content: bytes = field(repr=False)
    filename: str | None = None
    content_type: str | None = None
    is_inline: bool = False

    @classmethod
    def of_rows(cls, document: Mapping[str, Any]) -> "Source":
        """Return the source that rows in JSON make: `{"records": [...]}`, or `x` and `y`."""
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
        return cls(text.encode(), None, "application/json", is_inline=True)

    @property
    def document(self) -> Any:
        """The rows of an inline source, parsed."""
        return json.loads(self.content)

    @cached_property
    def record(self) -> SourceRecord:
        """What is to be kept in the catalog."""
        digest = hashlib.sha256(self.content).hexdigest()
        return SourceRecord(self.filename, self.content_type, self.is_inline, digest)


@dataclass(frozen=True, slots=True)
class StoredTable:
    """Rows that are stored as a file has them."""

    rows: int
    columns: Mapping[str, Sequence[int] | None]  # the shape of images; None for others


def read_source(artifacts: Artifacts, name: str, record: SourceRecord) -> Source:
    """Read a source stored under `name`; raise ArtifactError if it is missing or another one."""
    content = artifacts.read_checked(name, record.sha256)
    return Source(content, record.filename, record.content_type, record.is_inline)


def dump_source(record: SourceRecord) -> dict[str, Any]:
    """Return the JSON form of a record."""
    return asdict(record)


_READERS = {
    "filename": of_type(str, NoneType),
    "content_type": of_type(str, NoneType),
    "is_inline": of_type(bool),
    "sha256": of_type(str),
}


def load_source(document: Any) -> SourceRecord | None:
    """Read a record from its JSON form; None for a dataset without one that can be read."""
    try:
        found = of_type(dict)(document)
        return SourceRecord(**{name: read(found[name]) for name, read in _READERS.items()})
    except (TypeError, KeyError):
        return None
