"""Warnings about a table: what was guessed, left out, or looks like a mistake."""

from dataclasses import dataclass
from enum import StrEnum


class WarningCode(StrEnum):
    """The kinds of warnings; `docs/datasets.md` and `docs/evaluation.md` describe each."""

    # Reading a file
    HEADER_GUESSED = "header_guessed"
    ROWS_SKIPPED = "rows_skipped"
    # Typing a column
    MOSTLY_NUMBER = "mostly_number"
    MOSTLY_DATE = "mostly_date"
    AMBIGUOUS_DATE = "ambiguous_date"
    NUMBER_TEXT = "number_text"
    IDENTIFIER = "identifier"
    CONSTANT = "constant"
    HIGH_CARDINALITY = "high_cardinality"
    SENTINEL = "sentinel"
    SIMILAR_LABELS = "similar_labels"
    # Looking at the whole table
    DUPLICATE_COLUMN = "duplicate_column"
    DUPLICATE_ROWS = "duplicate_rows"
    # Choosing a target
    RARE_CLASS = "rare_class"
    MISSING_TARGET = "missing_target"
    TASK_GUESSED = "task_guessed"
    # Dividing the rows of a job, and its features
    MISSING_GROUP = "missing_group"
    MISSING_TIME = "missing_time"
    TIME_ORDER = "time_order"
    ENTITY_ID = "entity_id"
    LEAK = "leak"


@dataclass(frozen=True, slots=True)
class DataWarning:
    """One thing that a user should know about a table."""

    code: WarningCode
    message: str
    column: str | None = None  # None: the whole table
    rows: int | None = None  # how many rows are concerned; None where no number fits
