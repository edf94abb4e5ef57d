"""The type of a column, from its cells."""

from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from models.data.columns import ColumnType
from models.data.datetimes import ISO

NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
INFINITE = r"^[+-]?(?i:inf|infinity)$"
TRUE_TEXTS = ("true", "yes")
FALSE_TEXTS = ("false", "no")
IDENTIFIER_DISTINCT = 20  # so many different texts, and
IDENTIFIER_SHARE = 0.9  # this share of cells different, make an identifier
PROSE_LENGTH = 40  # characters a cell on average, and
PROSE_SHARE = 0.5  # this share of cells different, make free text

_ZERO_PADDED = r"^[+-]?0\d"
_PROBE = 100  # cells looked at before all are


def infer(cells: Any) -> tuple[ColumnType, str]:
    """The type of an Arrow array of text, number, boolean or timestamp, and why it is ignored.

    Text is a boolean (true, false, yes, no), number, ISO 8601 datetime or category, whichever
    every present cell fits first, in this order. A zero-padded number (`007`) is a code and so
    makes a category. Text that is different in nearly every row is ignored: no network learns
    from it.
    """
    present = cells.drop_null()
    if len(present) == 0:
        return ColumnType.IGNORED, "Every cell is missing."
    if pa.types.is_boolean(cells.type):
        return ColumnType.BOOLEAN, ""
    if pa.types.is_timestamp(cells.type):
        return ColumnType.DATETIME, ""
    if not pa.types.is_string(cells.type):
        return ColumnType.NUMBER, ""
    return _infer_text(present)


def all_match(cells: Any, pattern: str) -> bool:
    """Whether every cell of a text array without nulls matches the regular expression."""
    for part in (cells[:_PROBE], cells):
        if not pc.all(pc.match_substring_regex(part, pattern), min_count=0).as_py():
            return False
    return True


def parse_datetimes(cells: Any) -> Any:
    """Text to Arrow timestamps in microseconds, null where a text is none."""
    fits = pc.match_substring_regex(cells, f"^{ISO}$")
    texts = pc.if_else(fits, cells, None)
    texts = pc.replace_substring_regex(texts, r"(\.\d{6})\d+", r"\1")
    parsed = pd.to_datetime(
        pd.Series(texts.to_numpy(zero_copy_only=False)), format="ISO8601", utc=True, errors="coerce"
    )
    return pa.array(parsed.dt.as_unit("us"), from_pandas=True)


def _infer_text(present: Any) -> tuple[ColumnType, str]:
    booleans = pa.array(TRUE_TEXTS + FALSE_TEXTS)
    if pc.all(pc.is_in(pc.utf8_lower(present), booleans)).as_py():
        return ColumnType.BOOLEAN, ""
    if all_match(present, f"{NUMBER}|{INFINITE}"):
        padded = pc.any(pc.match_substring_regex(present, _ZERO_PADDED)).as_py()
        return (ColumnType.CATEGORY if padded else ColumnType.NUMBER), ""
    if all_match(present, f"^{ISO}$") and parse_datetimes(present).null_count == 0:
        return ColumnType.DATETIME, ""
    return _category_or_ignored(present)


def _category_or_ignored(present: Any) -> tuple[ColumnType, str]:
    distinct = pc.count_distinct(present).as_py()
    share = distinct / len(present)
    if distinct > IDENTIFIER_DISTINCT and share >= IDENTIFIER_SHARE:
        reason = f"{distinct} of {len(present)} texts are different: an identifier or free text."
        return ColumnType.IGNORED, reason
    length = pc.mean(pc.utf8_length(present)).as_py()
    if distinct > IDENTIFIER_DISTINCT and share >= PROSE_SHARE and length > PROSE_LENGTH:
        return ColumnType.IGNORED, f"Texts of {length:.0f} characters on average: free text."
    return ColumnType.CATEGORY, ""
