"""Any table is either profiled or refused with a reason, whichever way it comes."""

import csv
import datetime as dt
import io
import json
from dataclasses import asdict

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.data.library.profile import preview, profile
from models.data.library.storage import read_dataset, write_dataset
from models.errors import Invalid
from models.store.artifacts import Artifacts
from tests.any_table import TEXT, tables
from tests.files import from_records, read

any_table = settings(deadline=None, max_examples=60, derandomize=True, database=None)

PARQUET_CELLS = {
    pa.int8(): st.integers(-128, 127),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.float16(): st.floats(width=16),
    pa.float32(): st.floats(width=32),
    pa.float64(): st.floats(),
    pa.bool_(): st.booleans(),
    pa.string(): TEXT,
    pa.large_string(): TEXT,
    pa.dictionary(pa.int32(), pa.string()): TEXT,
    pa.binary(): st.binary(max_size=5),
    pa.date32(): st.integers(-(2**31), 2**31 - 1),
    pa.date64(): st.dates(),
    pa.time64("us"): st.times(),
    pa.timestamp("ms"): st.integers(-(2**63), 2**63 - 1),
    pa.timestamp("ns"): st.integers(-(2**63) + 1, 2**63 - 1),
    pa.timestamp("us", "Europe/Vienna"): st.datetimes(timezones=st.just(dt.UTC)),
    pa.duration("s"): st.integers(-(10**9), 10**9),
    pa.decimal128(38, 3): st.decimals(-(10**30), 10**30, places=3),
    pa.decimal256(76, 3): st.decimals(-(10**30), 10**30, places=3),
    pa.list_(pa.int64()): st.lists(st.integers(0, 9), max_size=2),
    pa.null(): st.none(),
}


def profiled_or_refused(make):
    """Call `make`; what it answers must be whole, and what it refuses explained."""
    try:
        dataset = make()
    except Invalid as refusal:
        check_refusal(refusal)
        return None
    profiles = [asdict(column) for column in profile(dataset)]
    described = json.loads(json.dumps(profiles, allow_nan=False))
    assert [column["name"] for column in described] == list(dataset.names)
    rows = json.loads(json.dumps(preview(dataset, 1000), allow_nan=False))
    assert len(rows) == dataset.rows > 0
    json.dumps([described, rows], ensure_ascii=False).encode()
    for column in described:
        cells = [row[column["name"]] for row in rows]
        assert cells.count(None) == column["missing"]
        assert len({json.dumps(cell) for cell in cells} - {"null"}) <= max(column["distinct"], 0)
    return dataset


def check_refusal(refusal):
    assert refusal.errors
    for path, messages in refusal.errors.items():
        assert path.split(".")[0] in ("file", "records", "types")
        assert all(messages)
    str(refusal).encode()


@any_table
@given(tables(), st.sampled_from([",", ";", "\t"]), st.sampled_from(["\n", "\r\n"]))
def test_any_table_as_csv(table, delimiter, end):
    header, columns = table
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end)
    writer.writerow(header)
    writer.writerows(zip(*columns, strict=True))
    kind = "tsv" if delimiter == "\t" else "csv"
    profiled_or_refused(lambda: read(text.getvalue().encode(), kind))


@any_table
@given(
    st.one_of(
        TEXT.map(str.encode), st.binary(max_size=40), st.text("a1,;\"'\n\r\t ").map(str.encode)
    )
)
def test_any_bytes_as_csv_and_json(content):
    for kind in ("csv", "tsv", "text", "json", "jsonl", "parquet", "arrow", "npz", "xlsx", "ods"):
        profiled_or_refused(lambda kind=kind: read(content, kind))


@any_table
@given(tables(), st.sampled_from([None, "number", "category", "boolean", "datetime", "ignored"]))
@example((["a"], [[float("inf")]]), None)
def test_any_table_as_records(table, kind):
    header, columns = table
    records = [dict(zip(header, row, strict=True)) for row in zip(*columns, strict=True)]
    types = {header[0]: kind} if kind and header else None
    dataset = profiled_or_refused(lambda: from_records(records, types))
    lines = "\n".join(json.dumps(record) for record in records)
    again = profiled_or_refused(lambda: read(lines.encode(), "jsonl", types))
    whole = profiled_or_refused(lambda: read(json.dumps(records).encode(), "json", types))
    digests = {found and found.digest() for found in (dataset, again, whole)}
    assert len(digests) == 1


@st.composite
def parquet_files(draw):
    rows = draw(st.integers(0, 5))
    kinds = draw(st.lists(st.sampled_from(list(PARQUET_CELLS)), max_size=4))
    names = [draw(st.sampled_from(["a", "b", "ü", ""]) | TEXT) for _ in kinds]
    arrays = []
    for kind in kinds:
        cells = draw(st.lists(PARQUET_CELLS[kind] | st.none(), min_size=rows, max_size=rows))
        # Dates far from ours are only made from days.
        plain = pa.int32() if kind == pa.date32() else kind
        arrays.append(pa.array(cells, plain).cast(kind))
    table = pa.Table.from_arrays(arrays, names)
    file = io.BytesIO()
    pa.parquet.write_table(table, file)
    return file.getvalue()


@any_table
@given(parquet_files())
def test_any_table_as_parquet(content):
    profiled_or_refused(lambda: read(content, "parquet"))


def test_what_was_profiled_is_stored_and_read_back_equal(tmp_path):
    artifacts = Artifacts(str(tmp_path))

    @settings(any_table, max_examples=25)
    @given(tables(least=1, unique=True))
    def check(table):
        header, columns = table
        records = [dict(zip(header, row, strict=True)) for row in zip(*columns, strict=True)]
        dataset = profiled_or_refused(lambda: from_records(records))
        if dataset is not None:
            write_dataset(dataset, artifacts, dataset.digest())
            again = read_dataset(artifacts, dataset.digest())
            assert again.digest() == dataset.digest()
            assert profile(again) == profile(dataset)

    check()


@pytest.mark.parametrize(
    ("plain", "kind", "moment"),
    [
        (pa.int64(), pa.timestamp("us"), 2**62),  # no datetime of Python
        (pa.int64(), pa.timestamp("ms"), 2**62 + 1_700_000_000_000),  # in microseconds: 2023
        (pa.int64(), pa.timestamp("ms", "UTC"), -(2**61)),
        (pa.int32(), pa.date32(), 2**31 - 1),
    ],
)
def test_moments_far_from_ours_in_parquet_are_refused(plain, kind, moment):
    file = io.BytesIO()
    pa.parquet.write_table(pa.table({"sold": pa.array([0, moment], plain).cast(kind)}), file)
    with pytest.raises(Invalid, match=r"'sold'.*lies outside the years 1 to 9999"):
        read(file.getvalue(), "parquet")


@pytest.mark.parametrize("moment", [1e12, 1e305, -1e305])
def test_moments_far_from_ours_in_records_are_refused(moment):
    with pytest.raises(Invalid, match=r"sold.*lies outside the years 1 to 9999"):
        from_records([{"sold": 0.0}, {"sold": moment}], {"sold": "datetime"})


def test_what_is_finer_than_microseconds_is_cut_off():
    file = io.BytesIO()
    moments = pa.array([1_700_000_000_123_456_789, 0], pa.timestamp("ns"))
    pa.parquet.write_table(pa.table({"sold": moments}), file)
    assert preview(read(file.getvalue(), "parquet"), 1) == [{"sold": "2023-11-14T22:13:20.123456Z"}]
