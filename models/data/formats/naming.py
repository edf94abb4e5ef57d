"""Names of columns: every column gets one, and no two the same."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from models.data.warnings import DataWarning, WarningCode


def name_columns(names: Iterable[str]) -> list[str]:
    """Return trimmed names, `column_3` for the third if it has none, `name_2` for a second one."""
    given = [name.strip() for name in names]
    taken = set(given)
    found: list[str] = []
    used: set[str] = set()
    for number, name in enumerate(given, start=1):
        base = name or f"column_{number}"
        name, copy = base, 2
        while name in used or (name in taken and name != given[number - 1]):
            name, copy = f"{base}_{copy}", copy + 1
        used.add(name)
        found.append(name)
    return found


def drop_empty(names: Sequence[str], columns: Sequence[Any]) -> tuple[Mapping[str, Any], int]:
    """Return the columns by name, and how many were left out: those without name and cells.

    A delimiter at the end of every row makes such a column.
    """
    kept = {
        name: column
        for number, (name, column) in enumerate(zip(names, columns, strict=True), start=1)
        if name != f"column_{number}" or not _is_empty(column)
    }
    if not kept:
        return dict(zip(names, columns, strict=True)), 0
    return kept, len(names) - len(kept)


def header_warnings(header_rows: int, guessed: bool) -> tuple[DataWarning, ...]:
    """Return the warning about a header that is not there, or that only looks like one."""
    if header_rows == 0:
        message = "The file has no header; its columns are named column_1, column_2…"
    elif guessed:
        message = "The first row was taken for the header, since it looks like names."
    else:
        return ()
    return (DataWarning(WarningCode.HEADER_GUESSED, message),)


def _is_empty(column: Any) -> bool:
    for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
        texts = chunk.drop_null()
        if len(texts) and pc.any(pc.not_equal(pc.utf8_trim_whitespace(texts), "")).as_py():
            return False
    return True
