"""Names of columns: every column gets one, and no two the same."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from models.data.warnings import DataWarning, WarningCode


def name_columns(names: Iterable[str]) -> list[str]:
    """Return trimmed names, `column_3` for the third if it has none, `name_2` for a second one."""
    given = [unicodedata.normalize("NFC", name.strip()) for name in names]
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
    """Return the columns by name without the last ones that have neither name nor cells.

    A delimiter at the end of every row makes such a column. The number left out comes second.
    """
    size = len(names)
    while size > 1 and names[size - 1] == f"column_{size}" and _is_empty(columns[size - 1]):
        size -= 1
    return dict(zip(names[:size], columns[:size], strict=True)), len(names) - size


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
