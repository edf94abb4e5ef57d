"""A short-lived process that reads one file, so that only it dies of a file that takes too much.

Task and answer are JSON on its standard input and output; the file is inherited, open. This module
imports nothing heavy: the limit on memory is set before pandas and pyarrow are loaded.
"""

import json
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from shutil import copyfileobj
from typing import IO, TYPE_CHECKING, Any

from models import errors
from models.data.columns import dump_columns, load_columns
from models.data.library.profile import ColumnProfile
from models.data.library.sources import (
    Source,
    SourceRecord,
    StoredTable,
    dump_source,
    load_source,
)
from models.data.table import ReadOptions
from models.data.warnings import DataWarning, WarningCode
from models.limited_process import begin, run_limited

if TYPE_CHECKING:
    from models.data.library.storing import StoredRows

_SECONDS = 600.0  # that a file may take to read

# What the process may answer with; anything else is a fault of ours.
_ERRORS: tuple[type[errors.LuthierError], ...] = (
    errors.TooLarge,
    errors.Malformed,
    errors.UnsupportedMediaType,
    errors.StorageFull,
    errors.Unavailable,
    errors.ArtifactError,
)


@dataclass(frozen=True, slots=True)
class UploadTask:
    """A file to read and to store. Its bytes come from a stream, or are stored already."""

    artifacts: str  # root
    memory: int  # bytes that the process may take
    limits: Mapping[str, int]  # the fields of TableLimits
    filename: str | None
    content_type: str | None
    types: Mapping[str, str]
    options: ReadOptions
    stored: tuple[str, str] | None = None  # artifact name and SHA-256 of the file
    is_inline: bool = False
    rows_folder: str = ""  # where the rows are to be stored as they are; "": as a dataset


def store_in_process(task: UploadTask, content: IO[bytes] | None) -> "StoredRows":
    """Read and store a file in a process of its own; `content` is at any place of its stream.

    Raises what `store_source` raises, and TooLarge for a file that takes more memory than
    LUTHIER_UPLOAD_MEMORY allows.
    """
    return _stored_rows(_found_in_process(task, content))


def store_table_in_process(task: UploadTask, content: IO[bytes]) -> StoredTable:
    """Read a file in a process of its own, and store its rows as they are; raises the same."""
    found = _found_in_process(task, content)
    return StoredTable(found["rows"], found["columns"])


def _found_in_process(task: UploadTask, content: IO[bytes] | None) -> dict[str, Any]:
    with tempfile.TemporaryFile(prefix="luthier-upload-") as copy:
        file = _on_disk(content, copy)
        inherited = () if file is None else (file,)
        document = asdict(task) | {"file": file}
        try:
            found = run_limited(__name__, document, task.memory, _SECONDS, inherited)
        except TimeoutError:
            raise errors.Invalid.at(
                "file", f"It takes longer than {_SECONDS:g} seconds to read."
            ) from None
        except MemoryError:
            raise _out_of_memory(task.memory) from None
    return _read_answer(found)


def _on_disk(content: IO[bytes] | None, copy: IO[bytes]) -> int | None:
    """Return the descriptor of a file with the content, which is copied if it is in memory."""
    if content is None:
        return None
    content.seek(0)
    try:
        descriptor = content.fileno()
    except OSError:
        copyfileobj(content, copy)
        copy.flush()
        descriptor = copy.fileno()
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _read_answer(found: dict[str, Any]) -> dict[str, Any]:
    if "invalid" in found:
        raise errors.Invalid(found["invalid"])
    if "error" in found:
        kind = next(kind for kind in _ERRORS if kind.__name__ == found["error"])
        raise kind(found["message"])
    return found


def _stored_rows(found: Mapping[str, Any]) -> "StoredRows":
    from models.data.library.storing import StoredRows

    columns = load_columns(ColumnProfile, found["columns"], "the columns of the upload")
    warnings = tuple(
        DataWarning(**item | {"code": WarningCode(item["code"])}) for item in found["warnings"]
    )
    source = load_source(found["source"])
    return StoredRows(
        found["id"],
        found["rows"],
        columns,
        found["bytes"],
        source,
        found["reading"],
        warnings,
    )


def _out_of_memory(memory: int) -> errors.TooLarge:
    return errors.TooLarge(
        f"Reading the file takes more memory than the {memory:,} bytes of LUTHIER_UPLOAD_MEMORY."
    )


def main() -> None:
    """Do the task of standard input, and write the answer to standard output."""
    task = begin()
    if task is None:
        return
    try:
        answer = _store(task)
    except errors.Invalid as error:
        answer = {"invalid": error.errors}
    except _ERRORS as error:
        name = next(kind.__name__ for kind in _ERRORS if isinstance(error, kind))
        answer = {"error": name, "message": str(error)}
    except MemoryError:
        answer = {"error": "TooLarge", "message": str(_out_of_memory(task["memory"]))}
    json.dump(answer, sys.stdout)


def _store(task: Mapping[str, Any]) -> dict[str, Any]:
    from models.data.formats.limits import TableLimits
    from models.data.library.sources import read_source
    from models.data.library.storing import store_source, store_table
    from models.store.artifacts import Artifacts

    Artifacts.makes_roots = False
    artifacts = Artifacts(task["artifacts"])
    named = (task["filename"], task["content_type"], task["is_inline"])
    if task["stored"] is not None:
        name, sha256 = task["stored"]
        source = read_source(artifacts, name, SourceRecord(*named, sha256))
    else:
        with open(task["file"], "rb") as file:
            source = Source(file.read(), *named)
    options = ReadOptions(**task["options"] | {"na_values": tuple(task["options"]["na_values"])})
    limits = TableLimits(**task["limits"])
    if task["rows_folder"]:
        return asdict(store_table(source, options, limits, artifacts, task["rows_folder"]))
    stored = store_source(source, task["types"], options, limits, artifacts)
    return {
        "id": stored.id,
        "rows": stored.rows,
        "columns": dump_columns(stored.columns),
        "bytes": stored.bytes,
        "source": None if stored.source is None else dump_source(stored.source),
        "reading": stored.reading,
        "warnings": [asdict(warning) for warning in stored.warnings],
    }


if __name__ == "__main__":
    main()
