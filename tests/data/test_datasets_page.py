"""The tables of cells in docs/datasets.md hold."""

import re
from pathlib import Path

import pyarrow as pa
import pytest

from models.data.cells.conversion import to_dataset
from models.data.cells.reader import WORD_PAIRS
from models.data.columns import ColumnType
from models.data.library.profile import preview
from models.data.spelling import MISSING_BESIDE_NUMBERS, MISSING_TEXTS
from models.data.warnings import WarningCode

PAGE = Path(__file__).parents[2].joinpath("docs/datasets.md").read_text(encoding="utf-8")
TYPES = {
    "Numbers": ColumnType.NUMBER,
    "Dates and times": ColumnType.DATETIME,
    "Booleans": ColumnType.BOOLEAN,
}


def section(title: str) -> str:
    return re.split(r"^#+ ", PAGE.split(f" {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def examples() -> list[tuple[str, list[str], list[str]]]:
    found = []
    for title in TYPES:
        rows = [line.split("|") for line in section(title).splitlines() if line.startswith("| `")]
        found += [(title, quoted(row[1]), quoted(row[2])) for row in rows]
    return found


@pytest.mark.parametrize(("title", "cells", "values"), examples())
def test_an_example_is_read_as_the_page_says(
    title: str, cells: list[str], values: list[str]
) -> None:
    dataset = to_dataset({"a": pa.array(cells)}, None).dataset
    assert dataset.column("a").type is TYPES[title]
    shown = [row["a"] for row in preview(dataset, len(cells))]
    if title == "Numbers":
        assert shown == [float(value) for value in values]
    else:
        assert [str(v).lower() if isinstance(v, bool) else v for v in shown] == values


def test_the_page_has_an_example_of_each_kind() -> None:
    assert len(examples()) > 30
    words = {tuple(sorted(cells)) for title, cells, _ in examples() if title == "Booleans"}
    assert {tuple(sorted(pair)) for pair in WORD_PAIRS if "".join(pair).isascii()} - {
        tuple(sorted(word.lower() for word in pair)) for pair in words
    } <= {("nao", "sim")}


def test_the_page_lists_every_token_of_missing_cells() -> None:
    everywhere, beside_numbers = section("Missing cells").split("In columns of numbers")
    assert {"", *quoted(everywhere)} == set(MISSING_TEXTS)
    assert set(quoted(beside_numbers)) - {"options.na_values"} == MISSING_BESIDE_NUMBERS


def test_the_page_lists_every_code_of_a_dataset() -> None:
    listed = set(quoted(section("Warnings")))
    of_jobs = {"leak", "time_order", "entity_id", "task_guessed", "rare_class", "missing_target"}
    of_jobs |= {"missing_group", "missing_time"}
    assert {str(code) for code in WarningCode} - of_jobs <= listed
