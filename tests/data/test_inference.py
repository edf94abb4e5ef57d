import csv
import io
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.data.cells.conversion import TypedTable, to_dataset
from models.data.cells.dates import parse_date
from models.data.cells.reader import CellError, cell_reader
from models.data.columns import Column, ColumnType
from models.data.datetimes import parse_iso
from models.data.formats.reading import read_file
from models.data.spelling import Spelling
from models.data.table import ReadOptions
from models.data.warnings import WarningCode
from models.errors import Invalid
from tests.files import from_records

DEFAULT = ReadOptions()


def typed(*cells: str | None, options: ReadOptions = DEFAULT, **types: str) -> TypedTable:
    return to_dataset({"a": pa.array(cells, pa.string())}, types, options)


def inferred(*cells: str | None) -> Column:
    return typed(*cells).dataset.column("a")


def values(*cells: str | None, options: ReadOptions = DEFAULT, **types: str) -> list[Any]:
    dataset = typed(*cells, options=options, **types).dataset
    return [None if value is None or value != value else value for value in dataset.values["a"]]


def codes(*cells: str | None) -> list[WarningCode]:
    return [warning.code for warning in typed(*cells).warnings]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1", "-2.5", "+3", "1e-12", ".5", "5.", "NA"], "number"),
        (["0", "0.5", "-0"], "number"),
        (["007", "012"], "category"),
        (["1", "02"], "category"),
        (["1", "1,5"], "number"),
        (["1_000", "2"], "number"),
        (["0x10", "2"], "category"),
        (["true", "False", ""], "boolean"),
        (["yes", "NO"], "boolean"),
        (["ja", "nein", "ja"], "boolean"),
        (["oui", "non"], "boolean"),
        (["on", "off"], "boolean"),
        (["t", "f"], "boolean"),
        (["Y", "N"], "boolean"),
        (["yes", "maybe"], "category"),
        (["yes", "nein"], "category"),
        (["1", "0"], "number"),
        (["true", "1"], "category"),
        (["2024-01-31", "2024-01-31T12:00", "2024-01-31 12:00:00.5+02:00", ""], "datetime"),
        (["0001-01-01", "9999-12-31T23:59:59.999999999Z"], "datetime"),
        (["2024-01-31", "2024-02-30"], "category"),
        (["2024-01-31", "31.01.2024"], "category"),
        (["2024-01", "2024-02"], "datetime"),
        (["red", "grün", "赤"], "category"),
        (["inf", "abc"], "category"),
        (["12A", "3B", "7C"], "category"),
        (["10.0.0.1", "192.168.1.1"], "category"),
        (["A12", "A13"], "category"),
        (["1,2,3", "4,5"], "category"),
        (["555-1234", "555-9876"], "category"),
        (["5 kg", "3 g", "2 kg"], "category"),
        (["", "NA"], "ignored"),
        (["-", "unknown"], "category"),
    ],
)
def test_the_type_that_every_present_cell_fits(cells: list[str], expected: str) -> None:
    assert inferred(*cells).type == expected


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (["$1,234.50", "($300)", "-$5", "7"], [1234.5, -300, -5, 7]),
        (["1.234,56", "12,50", "1.234", "-3"], [1234.56, 12.5, 1234, -3]),
        (["12%", "3.5 %", "100%"], [12, 3.5, 100]),
        (["5 km", "3km", "10 KM"], [5, 3, 10]),
        (["19M", "8.7M", "1M"], [19, 8.7, 1]),
        (["19M", "201k", "1.5M"], [19e6, 201e3, 1.5e6]),
        (["$1.5M", "$800K"], [1.5e6, 8e5]),
        (["1,234", "999", "12"], [1234, 999, 12]),
        (["1 234", "5 678,5", "12"], [1234, 5678.5, 12]),
        (["1\u202f234,5", "2"], [1234.5, 2]),
        (["1'234.50", "7"], [1234.5, 7]),
        (["12,34,567", "1,000"], [1234567, 1000]),
        (["0,5", "1,25"], [0.5, 1.25]),
        (["USD 10", "USD 1,000"], [10, 1000]),
        (["10 €", "20 €"], [10, 20]),
        (["−5", "7 %"], [-5, 7]),
        (["1,5e3", "2,5"], [1500, 2.5]),
    ],
)
def test_numbers_as_people_write_them(cells: list[str], numbers: list[float]) -> None:
    assert inferred(*cells).type == "number"
    assert values(*cells) == pytest.approx(numbers)
    assert codes(*cells) == [WarningCode.NUMBER_TEXT]


@pytest.mark.parametrize(
    ("cells", "moments"),
    [
        (["2020/01/31", "2020/1/2"], ["2020-01-31", "2020-01-02"]),
        (["31.12.2020", "1.2.2021"], ["2020-12-31", "2021-02-01"]),
        (["12/31/2020", "1/2/2020"], ["2020-12-31", "2020-01-02"]),
        (["31/12/2020", "1/2/2020"], ["2020-12-31", "2020-02-01"]),
        (["31/12/69", "1/2/68"], ["1969-12-31", "2068-02-01"]),
        (["7-Feb-2020", "12-March-2021"], ["2020-02-07", "2021-03-12"]),
        (["January 7, 2018", "Sept. 3, 2020"], ["2018-01-07", "2020-09-03"]),
        (["Feb-2020", "Mar-2021"], ["2020-02-01", "2021-03-01"]),
        (["2020-02", "2021-12"], ["2020-02-01", "2021-12-01"]),
        (["12/31/2020 1:05 PM", "1/2/2020 12:00 am"], ["2020-12-31T13:05", "2020-01-02T00:00"]),
        (
            ["10:30", "23:59:30", "1:05 pm"],
            ["1970-01-01T10:30", "1970-01-01T23:59:30", "1970-01-01T13:05"],
        ),
        (
            ["2020-01-01 10:00 +02:00", "2020-01-01 10:00 UTC"],
            ["2020-01-01T08:00", "2020-01-01T10:00"],
        ),
        (
            ["Fri, 31 Jan 2020 10:00:00 GMT", "Sat, 1 Feb 2020 00:00:00 -0530"],
            ["2020-01-31T10:00", "2020-02-01T05:30"],
        ),
        (
            ["10/Oct/2000:13:55:36 -0700", "11/Oct/2000:00:00:00 +0000"],
            ["2000-10-10T20:55:36", "2000-10-11"],
        ),
    ],
)
def test_dates_as_people_write_them(cells: list[str], moments: list[str]) -> None:
    assert inferred(*cells).type == "datetime"
    assert values(*cells) == [parse_iso(moment) for moment in moments]
    assert codes(*cells) == []


def test_day_and_month_that_may_be_swapped_are_told_and_can_be_given() -> None:
    cells = ["1/2/2020", "3/4/2020"]
    assert values(*cells) == [parse_iso("2020-01-02"), parse_iso("2020-03-04")]
    (warning,) = typed(*cells).warnings
    assert (warning.code, warning.column) == ("ambiguous_date", "a")
    assert "%d/%m/%Y" in warning.message
    asked = ReadOptions(date_formats={"a": "%d/%m/%Y"})
    assert values(*cells, options=asked) == [parse_iso("2020-02-01"), parse_iso("2020-04-03")]
    with pytest.raises(Invalid, match="%Q") as caught:
        typed(*cells, options=ReadOptions(date_formats={"a": "%Q"}))
    assert list(caught.value.errors) == ["options.date_formats.a"]
    with pytest.raises(Invalid, match="type category"):
        typed(*cells, options=asked, a="category")
    with pytest.raises(Invalid) as caught:
        typed(*cells, options=ReadOptions(date_formats={"b": "%d"}))
    assert list(caught.value.errors) == ["options.date_formats.b"]


@pytest.mark.parametrize(
    ("asked", "cell"), [("epoch_seconds", "1577836800"), ("epoch_milliseconds", "1577836800000")]
)
def test_epochs_are_datetimes_where_that_is_asked(asked: str, cell: str) -> None:
    assert inferred(cell, "0").type == "number"
    options = ReadOptions(date_formats={"a": asked})
    assert values(cell, "0", options=options) == [parse_iso("2020-01-01"), 0.0]
    assert typed(cell, options=options).dataset.column("a").type == "datetime"


def test_options_hold_for_columns_that_have_their_type_already() -> None:
    cells = {"a": pa.array([1577836800000, 0]), "b": pa.array([1.5, -999.0])}
    options = ReadOptions(na_values=("-999",), date_formats={"a": "epoch_milliseconds"})
    dataset = to_dataset(cells, None, options).dataset
    assert dataset.values["a"].tolist() == [parse_iso("2020-01-01"), 0.0]
    np.testing.assert_array_equal(dataset.values["b"], [1.5, np.nan])
    read = [cell_reader(column.type, column.spelling) for column in dataset.columns]
    assert read[0](1577836800000) == read[0]("2020-01-01") == parse_iso("2020-01-01")
    assert [read[1](cell) for cell in (-999, "-999.0", -999.0, 7)] == [None, None, None, 7.0]


@pytest.mark.parametrize(
    "token",
    [
        "-",
        "--",
        "?",
        ".",
        "#N/A",
        "#DIV/0!",
        "unknown",
        "Missing",
        "\\N",
        "NaT",
        "n.a.",
        "",
        "NULL",
    ],
)
def test_tokens_beside_numbers_and_dates_mean_no_value(token: str) -> None:
    assert values("1", "2.5", token) == [1.0, 2.5, None]
    assert values("31.12.2020", token) == [parse_iso("2020-12-31"), None]
    assert codes("1", token) == []


def test_tokens_beside_words_are_words() -> None:
    assert values("red", "?", "unknown", "NA") == ["red", "?", "unknown", None]


def test_na_values_add_texts_that_mean_no_value_in_any_column() -> None:
    options = ReadOptions(na_values=("-999", "red"))
    assert values("1", "-999", options=options) == [1.0, None]
    assert values("red", "blue", options=options) == [None, "blue"]


def test_a_column_of_mostly_numbers_or_dates_is_one_and_the_rest_is_told() -> None:
    numbers = [str(number) for number in range(1, 39)]
    (warning,) = typed(*numbers, "oops", "sick").warnings
    assert (warning.code, warning.rows) == ("mostly_number", 2)
    assert '"oops", "sick"' in warning.message
    assert "2 of 40" in warning.message
    assert values(*numbers, "oops", "sick")[-2:] == [None, None]
    assert inferred(*["1", "2"] * 18, "oops", "sick").type == "category"
    dates = [f"{day}.1.2020" for day in range(1, 31)]
    (warning,) = typed(*dates, "whenever").warnings
    assert (warning.code, warning.rows) == ("mostly_date", 1)


def test_decimal_and_thousands_can_be_given() -> None:
    assert values("1,234") == [1234.0]
    assert values("1,234", options=ReadOptions(decimal=",")) == [1.234]
    assert values("1.234", options=ReadOptions(decimal=",")) == [1234.0]
    assert values("1.234", "5", options=ReadOptions(thousands=".")) == [1234.0, 5.0]
    assert (
        to_dataset({"a": pa.array(["1,234"])}, None, decimal_hint=",").dataset.values["a"] == 1.234
    )


def test_booleans_keep_their_own_words() -> None:
    column = inferred("Yes", "no", " Yes", "No", "No")
    assert (column.type, column.spelling.words) == ("boolean", ("No", "Yes"))
    assert values("Yes", "no") == [1.0, 0.0]
    assert inferred("TRUE", "False").spelling == Spelling()
    assert typed("true", "false", a="boolean").dataset.column("a").spelling == Spelling()
    assert typed("Yes", "No", a="boolean").dataset.column("a").spelling.words == ("No", "Yes")


def test_text_in_json_is_inferred_like_text_in_csv() -> None:
    assert from_records([{"a": "1"}, {"a": "2"}]).column("a").type == "number"
    assert from_records([{"a": "007"}]).column("a").type == "category"
    assert from_records([{"a": " private"}, {"a": "x"}]).values["a"].tolist() == ["private", "x"]


def test_an_identifier_is_ignored_with_the_reason() -> None:
    column = inferred(*(f"user{number}" for number in range(30)))
    assert column.type == "ignored"
    assert "30 of 30" in column.reason
    assert codes(*(f"user{number}" for number in range(30))) == [WarningCode.IDENTIFIER]
    assert inferred(*(f"user{number}" for number in range(20))).type == "category"
    assert inferred(*(f"user{number % 22}" for number in range(30))).type == "category"


@pytest.mark.parametrize("name", ["id", "PassengerId", "customer_id", "column_1", "Unnamed: 0"])
def test_numbers_that_only_name_the_rows_are_ignored(name: str) -> None:
    cells = {name: pa.array([str(number) for number in range(1, 31)])}
    found = to_dataset(cells, None)
    assert found.dataset.column(name).type == "ignored"
    assert [warning.code for warning in found.warnings] == ["identifier"]
    assert to_dataset(cells, {name: "number"}).dataset.column(name).type == "number"
    assert to_dataset({"humid": cells[name]}, None).dataset.column("humid").type == "number"


def test_free_text_is_text_even_where_some_repeats() -> None:
    texts = [f"A rather long remark about something, number {number % 30}" for number in range(45)]
    assert inferred(*texts).type == "text"


def test_an_ignored_column_can_be_used_when_its_type_is_given() -> None:
    records = [{"a": f"user{number}"} for number in range(30)]
    column = from_records(records, {"a": "category"}).column("a")
    assert column.type == "category"
    assert column.reason == ""


def test_a_late_cell_decides_like_an_early_one() -> None:
    assert inferred(*(["1"] * 500), *["x"] * 50).type == "category"


def test_names_and_texts_in_both_normal_forms_are_one() -> None:
    composed, decomposed = "Größe", "Gro\u0308ße"
    dataset = to_dataset(
        {decomposed: pa.array([composed, decomposed, "x"])}, {composed: "category"}
    )
    assert dataset.dataset.names == (composed,)
    assert dataset.dataset.column(composed).distinct == 2
    with pytest.raises(Invalid, match="Two columns"):
        to_dataset({composed: pa.array(["1"]), decomposed: pa.array(["2"])}, None)


@pytest.mark.parametrize(
    "column",
    [
        ["$1,234.50", "($300)", "-", "7", " $8 "],
        ["31.12.2020", "1.2.2021", "?"],
        ["Yes", "no", "NA"],
        [" private", "state", "\N{NO-BREAK SPACE}x"],
        ["10001", "00501"],
        ["1", "2", "", " 3"],
        ["2024-01-31T10:00:00+02:00", "2024-01-31"],
        [str(n) for n in range(40)] + ["oops"],
    ],
)
def test_the_reader_of_single_cells_reads_as_the_upload_did(column: list[str]) -> None:
    dataset = typed(*column).dataset
    found = dataset.column("a")
    read = cell_reader(found.type, found.spelling)
    for cell, value in zip(column, dataset.values["a"], strict=True):
        again = read(cell)
        assert again == value or (again is None and (value is None or np.isnan(value)))


@pytest.mark.parametrize(
    ("kind", "cell", "value"),
    [
        ("number", "5", 5.0),
        ("number", 5, 5.0),
        ("number", True, 1.0),
        ("number", " ", None),
        ("number", "?", None),
        ("number", float("nan"), None),
        ("category", 10001, "10001"),
        ("category", 5.0, "5"),
        ("category", True, "true"),
        ("category", " x ", "x"),
        ("category", "NULL", None),
        ("boolean", "Yes", 1.0),
        ("boolean", "FALSE", 0.0),
        ("boolean", 0, 0.0),
        ("boolean", "1", 1.0),
        ("datetime", 0, 0.0),
        ("datetime", "1970-01-02", 86400.0),
    ],
)
def test_any_spelling_of_a_cell(kind: str, cell: object, value: object) -> None:
    assert cell_reader(ColumnType(kind))(cell) == value


@pytest.mark.parametrize(
    ("kind", "cell", "complaint"),
    [
        ("number", "abc", "is not a number"),
        ("number", "1e400", "infinite or too large"),
        ("number", 10**400, "infinite or too large"),
        ("number", [1], "is not a number"),
        ("boolean", "maybe", "is not true or false"),
        ("boolean", 2, "is not true or false"),
        ("category", {"a": 1}, "is not text"),
        ("category", "\ud800", "half a surrogate"),
        ("category", "a\0", "U+0000"),
        ("datetime", "soon", "is not a date"),
        ("datetime", True, "is a boolean"),
        ("datetime", 1e15, "outside the years"),
    ],
)
def test_a_cell_that_its_column_does_not_allow(kind: str, cell: object, complaint: str) -> None:
    with pytest.raises(CellError, match=complaint.replace("+", r"\+")):
        cell_reader(ColumnType(kind))(cell)


def test_a_date_outside_of_the_calendar_is_none() -> None:
    assert [parse_date(text, "%d.%m.%Y") for text in ("31.02.2020", "1.13.2020")] == [None, None]


def test_a_spelling_survives_its_json() -> None:
    spelling = Spelling(",", ".", "€", True, "%d.%m.%Y", ("Nein", "Ja"), ("x",), True)
    assert Spelling.from_json(spelling.to_json()) == spelling
    assert Spelling().to_json() == {}
    bad: Any
    for bad in ([], {"words": ["a"]}):
        with pytest.raises((TypeError, ValueError)):
            Spelling.from_json(bad)


def test_quotes_of_csv_do_not_change_a_type() -> None:
    written = io.StringIO()
    csv.writer(written, quoting=csv.QUOTE_ALL).writerows([["a"], ["1"], ["2"]])
    assert read_file(written.getvalue().encode()).dataset.column("a").type == "number"
