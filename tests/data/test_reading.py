import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from models.data.formats.reading import Format, detect_format, read
from models.errors import Invalid, UnsupportedMediaType

TABLE = pd.DataFrame(
    {
        "age": [31.5, None, 7.0, 12.25],
        "city": ["Zürich", "東京", None, "Zürich"],
        "member": [True, False, True, True],
        "joined": pd.to_datetime(
            ["2024-05-01 12:30:00", "NaT", "1999-12-31 00:00:00", "2024-05-01 00:00:01"]
        ),
        "visits": [1, 2, 3, 2**40],
    }
)


def as_parquet(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer)
    return buffer.getvalue()


def types_of(dataset) -> dict[str, str]:
    return {column.name: column.type.value for column in dataset.columns}


def refused(path: str, *words: str):
    """The call raises Invalid at exactly `path` with a message that has all `words`."""
    pattern = "".join(f"(?=.*{word})" for word in words)
    return pytest.raises(Invalid, match=rf"(?s)^{path}: {pattern}")


FILES = {
    "csv": TABLE.to_csv(index=False).encode(),
    "tsv": TABLE.to_csv(index=False, sep="\t").encode(),
    "parquet": as_parquet(TABLE),
    "json": TABLE.to_json(orient="records", date_format="iso").encode(),
    "jsonl": TABLE.to_json(orient="records", lines=True, date_format="iso").encode(),
}


@pytest.mark.parametrize("format", FILES)
def test_the_same_content_in_every_format_is_the_same_dataset(format):
    dataset = read(io.BytesIO(FILES[format]), format)
    assert types_of(dataset) == {
        "age": "number",
        "city": "category",
        "member": "boolean",
        "joined": "datetime",
        "visits": "number",
    }
    assert dataset.digest() == read(FILES["csv"], "csv").digest()
    np.testing.assert_array_equal(dataset.values["age"], [31.5, np.nan, 7, 12.25])
    assert dataset.values["city"].tolist() == ["Zürich", "東京", None, "Zürich"]
    np.testing.assert_array_equal(dataset.values["member"], [1, 0, 1, 1])
    assert dataset.values["joined"][0] == 1714566600.0
    assert dataset.values["visits"][3] == 2**40
    assert [column.missing for column in dataset.columns] == [1, 1, 0, 1, 0]
    assert [column.distinct for column in dataset.columns] == [3, 2, 2, 3, 4]


def test_csv_may_have_a_bom_crlf_quotes_spaces_and_blank_lines():
    content = b'\xef\xbb\xbfname ,size\r\n"a ""b""\nc", 1.5\r\n\r\n d ,+2\r\n'
    dataset = read(content, "csv")
    assert dataset.names == ("name", "size")
    np.testing.assert_array_equal(dataset.values["size"], [1.5, 2])
    assert dataset.values["name"].tolist() == ['a "b"\nc', "d"]


def test_a_quoted_delimiter_does_not_split_a_cell():
    dataset = read(b'name,"size, m"\r\n"a, b",1\r\n', "csv")
    assert dataset.names == ("name", "size, m")
    assert dataset.values["name"].tolist() == ["a, b"]


def test_a_semicolon_file_may_have_decimal_commas():
    dataset = read(b"price;note\n1,5;a,b\n-2;c\n", "csv")
    np.testing.assert_array_equal(dataset.values["price"], [1.5, -2])
    assert dataset.values["note"].tolist() == ["a,b", "c"]


@pytest.mark.parametrize("cell", ["", "NA", "N/A", "NaN", "null", "None", '""', " "])
def test_missing_cells(cell):
    dataset = read(f"a,b,c\n1,x,3\n{cell},{cell},4\n".encode(), "csv")
    assert np.isnan(dataset.values["a"][1])
    assert dataset.values["b"].tolist() == ["x", None]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["empty"]),
        (b"\n \n", ["empty"]),
        (b"a,b\n", ["no table", "header"]),
        (b"a\n1\ninf\n", ["Row 2", "inf", "infinite"]),
        (b"a\n1\n1e999\n", ["Row 2", "too large"]),
    ],
)
def test_a_bad_csv_is_refused_with_the_reason(content, words):
    with refused("file", *words):
        read(content, "csv")


def test_a_header_of_plain_counts_is_a_header():
    assert read(b"0,1,2\n5,6,7\n", "csv").names == ("0", "1", "2")


def test_given_types_win_over_inference():
    content = b"zip,when,flag,code,note\n1,0,1,7,x\n2,60,0,8,y\n"
    types = {
        "zip": "category",
        "when": "datetime",
        "flag": "boolean",
        "code": "ignored",
        "note": "category",
    }
    dataset = read(content, "csv", types)
    assert types_of(dataset) == types
    assert dataset.values["zip"].tolist() == ["1", "2"]
    np.testing.assert_array_equal(dataset.values["when"], [0, 60])
    np.testing.assert_array_equal(dataset.values["flag"], [1, 0])


@pytest.mark.parametrize(
    ("types", "path", "words"),
    [
        ({"b": "number"}, "types.b", ["Row 2", "'x'", "not a number"]),
        ({"b": "boolean"}, "types.b", ["Row 1", "'3'", "not true"]),
        ({"b": "datetime"}, "types.b", ["Row 1", "'3'", "not an ISO"]),
        ({"aa": "number"}, "types.aa", ["no such column", "'a'"]),
        ({"a": "integer"}, "types.a", ["'integer'", "number, category"]),
        ({"a": "image"}, "types.a", ["Images"]),
    ],
)
def test_a_type_that_does_not_fit_is_refused(types, path, words):
    with refused(path, *words):
        read(b"a,b\n1,3\n2,x\n", "csv", types)


@pytest.mark.parametrize(
    ("content", "format"),
    [
        (b"{", "json"),
        (b"3", "json"),
        (b"[" * 100000, "json"),
        (b'{"a": 1}\n{"a":\n', "jsonl"),
        (b"PAR1 no", "parquet"),
        (b"PK no", "npz"),
        (b"\xff", "json"),
        (b"no", "xlsx"),
        (b"no", "arrow"),
    ],
)
def test_a_file_that_is_not_of_its_format_is_refused(content, format):
    with refused("file"):
        read(content, format)


def test_parquet_types_beyond_pandas():
    table = pa.table(
        {
            "cat": pa.array(["a", "b", "a"]).dictionary_encode(),
            "day": pa.array([0, 1, None], pa.date32()),
            "dec": pa.array([1, 2, 3], pa.int32()).cast(pa.decimal128(12, 2)),
            "half": pa.array([1.5, 2.5, None], pa.float16()),
        }
    )
    buffer = io.BytesIO()
    pa.parquet.write_table(table, buffer)
    dataset = read(buffer.getvalue(), "parquet")
    assert types_of(dataset) == {
        "cat": "category",
        "day": "datetime",
        "dec": "number",
        "half": "number",
    }
    np.testing.assert_array_equal(dataset.values["day"], [0, 86400, np.nan])


def test_parquet_of_nested_values_is_refused_and_a_pandas_index_is_dropped():
    with refused("file", "'a'", "list"):
        read(as_parquet(pd.DataFrame({"a": [[1], [2]]})), "parquet")
    indexed = pd.DataFrame({"a": [1, 2]}, index=["x", "y"])
    assert read(as_parquet(indexed), "parquet").names == ("a",)
    with refused("file", "no row"):
        read(as_parquet(pd.DataFrame({"a": []})), "parquet")


def test_the_format_follows_the_extension_and_then_the_content_type():
    assert detect_format("A.CSV", "application/octet-stream") is Format.CSV
    assert detect_format("data", "application/json; charset=utf-8") is Format.JSON
    assert detect_format("data.xlsx", None) is Format.XLSX
    with pytest.raises(UnsupportedMediaType, match="parquet"):
        detect_format("data.xpt", None)
    with pytest.raises(UnsupportedMediaType):
        read(b"x", "xpt")


def test_a_million_rows_are_read():
    generator = np.random.default_rng(0)
    rows = 1_000_000
    lines = pd.DataFrame(
        {
            "a": generator.normal(size=rows).round(6),
            "b": generator.integers(0, 9, rows),
            "c": generator.choice(["red", "green", "blue"], rows),
        }
    )
    content = lines.to_csv(index=False).encode()
    dataset = read(content, "csv")
    np.testing.assert_array_equal(dataset.values["a"], lines["a"])
    assert dataset.values["c"].tolist() == lines["c"].tolist()
