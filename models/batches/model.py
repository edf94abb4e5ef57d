"""A batch: the predictions of all rows of a stored dataset, or of a file."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import NoneType
from typing import Any, Literal

from models.data.columns import of_type
from models.data.library.catalog import artifact_folder as dataset_folder
from models.errors import Unreadable
from models.serving.engine import AnswerOptions
from models.serving.signature import ColumnRules

MAX_PIECE_ROWS = 50_000
MAX_PIECE_CELLS = 1_000_000  # of a piece that is read, predicted and written at once


class BatchState(StrEnum):
    """The states of a batch."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


OPEN_STATES = (BatchState.QUEUED, BatchState.RUNNING)
FINAL_STATES = (BatchState.SUCCEEDED, BatchState.FAILED, BatchState.CANCELLED)


@dataclass(frozen=True, slots=True)
class BatchSpec:
    """What is wanted of a batch, decided."""

    format: Literal["csv", "parquet"]
    keep: tuple[str, ...]  # columns of the rows that go into the result
    piece_rows: int  # a restarted batch has to cut the rows in the same way
    missing_columns: Literal["error", "null"] = "error"
    interval: float | None = None
    threshold: float | None = None

    @property
    def options(self) -> AnswerOptions:
        """The options of each prediction."""
        return AnswerOptions(self.interval, self.threshold)

    @property
    def rules(self) -> ColumnRules:
        """The treatment of columns; those that the model does not take are left out."""
        return ColumnRules("ignore", self.missing_columns)


@dataclass(frozen=True, slots=True)
class Batch:
    """One row of `batches`."""

    id: str
    model: str
    version: int
    dataset: str | None  # None: the rows came as a file
    state: BatchState
    spec: BatchSpec
    rows: int
    rows_done: int
    rows_failed: int  # of those done, the ones without an answer
    parts: int  # stored
    created: datetime
    started: datetime | None
    finished: datetime | None
    error: str | None
    created_by: str | None
    claims: int
    attempts: int
    sha256: str | None  # of the result
    bytes: int | None

    @property
    def source(self) -> str:
        """The folder of the rows."""
        return f"{self.folder}/rows" if self.dataset is None else dataset_folder(self.dataset)

    @property
    def folder(self) -> str:
        """The folder of its own files."""
        return artifact_folder(self.id)

    @property
    def result(self) -> str | None:
        """The artifact name of the result; None before there is one."""
        return None if self.sha256 is None else result_name(self.id, self.sha256)

    @property
    def filename(self) -> str:
        """The name that the result has for its reader."""
        return f"{self.model}-{self.version}-{self.id}.{self.spec.format}"


def artifact_folder(batch: str) -> str:
    """Return the folder of a batch's files, below the artifact root."""
    return f"batches/{batch}"


def result_name(batch: str, sha256: str) -> str:
    """Return where the result lies; a worker that was replaced cannot write over another's."""
    return f"{artifact_folder(batch)}/result/{sha256}"


def piece_rows(cells: int) -> int:
    """Return how many rows with so many cells each are predicted at once."""
    return max(1, min(MAX_PIECE_ROWS, MAX_PIECE_CELLS // max(1, cells)))


def dump_spec(spec: BatchSpec) -> dict[str, Any]:
    """Return the JSON form of a spec, which `load_spec` reads back."""
    return {name: getattr(spec, name) for name in _READERS} | {"keep": list(spec.keep)}


def load_spec(document: Any, what: str) -> BatchSpec:
    """Read a stored spec; fields of a newer version are skipped. Raises Unreadable."""
    try:
        found: Mapping[str, Any] = of_type(dict)(document)
        return BatchSpec(
            **{name: read(found[name]) for name, read in _READERS.items() if name in found}
        )
    except (TypeError, KeyError) as error:
        raise Unreadable(what, f"spec: {error}") from None


def _one_of(*known: str) -> Any:
    def read(value: Any) -> Any:
        if value not in known:
            raise TypeError(f"Must be one of {', '.join(known)}, but is {value!r}.")
        return value

    return read


_READERS = {
    "format": _one_of("csv", "parquet"),
    "keep": lambda value: tuple(map(of_type(str), of_type(list)(value))),
    "piece_rows": of_type(int),
    "missing_columns": _one_of("error", "null"),
    "interval": of_type(float, int, NoneType),
    "threshold": of_type(float, int, NoneType),
}
