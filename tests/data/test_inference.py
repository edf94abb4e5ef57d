import pytest

from models.data.formats.reading import from_records, read


def inferred(*cells: str):
    lines = "\n".join(["a,b", *(f'"{cell}",x' for cell in cells)])
    return read(lines.encode(), "csv").column("a")


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1", "-2.5", "+3", "1e-12", ".5", "5.", "NA"], "number"),
        (["0", "0.5", "-0"], "number"),
        (["007", "012"], "category"),
        (["1", "02"], "category"),
        (["1", "1,5"], "category"),
        (["1_000", "2"], "category"),
        (["0x10", "2"], "category"),
        (["true", "False", ""], "boolean"),
        (["yes", "NO"], "boolean"),
        (["yes", "maybe"], "category"),
        (["1", "0"], "number"),
        (["true", "1"], "category"),
        (["2024-01-31", "2024-01-31T12:00", "2024-01-31 12:00:00.5+02:00", ""], "datetime"),
        (["0001-01-01", "9999-12-31T23:59:59.999999999Z"], "datetime"),
        (["2024-01-31", "2024-02-30"], "category"),
        (["2024-01-31", "31.01.2024"], "category"),
        (["2024-01", "2024-02"], "category"),
        (["red", "grün", "赤"], "category"),
        (["inf", "abc"], "category"),
        (["", "NA"], "ignored"),
    ],
)
def test_the_type_that_every_present_cell_fits(cells, expected):
    assert inferred(*cells).type == expected


def test_text_in_json_is_inferred_like_text_in_csv():
    assert from_records([{"a": "1"}, {"a": "2"}]).column("a").type == "number"
    assert from_records([{"a": "007"}]).column("a").type == "category"


def test_an_identifier_is_ignored_with_the_reason():
    column = inferred(*(f"user{number}" for number in range(30)))
    assert column.type == "ignored"
    assert "30 of 30" in column.reason
    assert inferred(*(f"user{number}" for number in range(20))).type == "category"
    assert inferred(*(f"user{number % 22}" for number in range(30))).type == "category"


def test_free_text_is_ignored_even_where_some_repeats():
    texts = [f"A rather long remark about something, number {number % 30}" for number in range(45)]
    assert inferred(*texts).type == "ignored"
    assert "free text" in inferred(*texts).reason


def test_an_ignored_column_can_be_used_when_its_type_is_given():
    records = [{"a": f"user{number}"} for number in range(30)]
    column = from_records(records, {"a": "category"}).column("a")
    assert column.type == "category"
    assert column.reason == ""


def test_a_late_cell_decides_like_an_early_one():
    assert inferred(*(["1"] * 500), "x").type == "category"
