import pyarrow as pa
import pytest

from models.data.cells.conversion import to_dataset
from models.data.quality import table_warnings


def told(**cells: list[str]) -> dict[str, str | None]:
    """Return the column of each warning by its code."""
    dataset = to_dataset({name: pa.array(column) for name, column in cells.items()}, None).dataset
    return {str(warning.code): warning.column for warning in table_warnings(dataset)}


def test_a_table_without_oddities_has_no_warning() -> None:
    assert told(a=["1", "2", "4"], b=["u", "v", "u"]) == {}


def test_constants_and_copies_are_told() -> None:
    found = told(a=["1", "2", "1"], b=["k", "k", "k"], c=["1", "2", "1"])
    assert found == {"constant": "b", "duplicate_column": "c", "duplicate_rows": None}


def test_values_that_stand_for_missing_ones_are_told() -> None:
    ages = [str(20 + number % 40) for number in range(100)]
    assert told(age=[*ages, "-999", "-999"], n=[str(n) for n in range(102)])["sentinel"] == "age"
    assert "sentinel" not in told(age=[*ages, "-999"], n=[str(n) for n in range(101)])
    assert "sentinel" not in told(n=[str(number) for number in range(100)])


def test_many_categories_are_told() -> None:
    values = [f"v{number % 70}" for number in range(700)]
    assert told(c=values, n=[str(number) for number in range(700)]) == {"high_cardinality": "c"}


@pytest.mark.parametrize(
    ("labels", "alike"),
    [
        (["Male", "male"], True),
        (["New York", "new york."], True),
        (["a_b", "A B"], True),
        (["<=50K", ">50K"], False),
        (["+", "-"], False),
        (["a-1", "a1"], False),
    ],
)
def test_labels_that_differ_only_in_spelling_are_told(labels: list[str], alike: bool) -> None:
    found = told(c=labels * 2, n=["1", "2", "3", "4"])
    assert ("similar_labels" in found) is alike
