"""Built-in datasets put into the artifact root, in a process that may import what loads them."""

from dataclasses import dataclass
from typing import Any

from models.data.library.builtin_loading import load_builtin
from models.data.library.profile import profile
from models.data.library.storage import write_dataset
from models.store.artifacts import Artifacts


@dataclass(frozen=True, slots=True)
class BuiltinRequest:
    """Which built-in dataset goes where."""

    name: str
    artifacts_root: str


@dataclass(frozen=True, slots=True)
class StoredDataset:
    """What the catalog needs to know of rows that were stored."""

    id: str
    rows: int
    columns: list[dict[str, Any]]


def store_builtin(request: BuiltinRequest) -> StoredDataset:
    """Load a built-in dataset and store its rows; Unavailable if it cannot be downloaded."""
    dataset = load_builtin(request.name)
    digest = dataset.digest()
    write_dataset(dataset, Artifacts(request.artifacts_root), digest)
    return StoredDataset(digest, dataset.rows, profile(dataset))
