import io
import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.data.columns import ColumnType, load_columns, measure
from models.data.dataset import Dataset
from models.data.datetimes import expand, format_rfc3339, parse_iso
from models.data.formats.reading import from_arrays
from models.data.library.profile import (
    ColumnProfile,
    FrequentValue,
    preview,
    profile,
)
from models.data.library.storage import folder, read_dataset, write_dataset
from models.errors import ArtifactError, NotFound, Unreadable
from models.store.artifacts import Artifacts
from tests.files import from_records

RECORDS: list[dict[str, Any]] = [
    {"n": 1.5, "c": "a", "b": True, "t": "2024-05-01T12:00:00.25Z", "i": None},
    {"n": None, "c": "é", "b": None, "t": None, "i": None},
    {"n": -2, "c": "é", "b": False, "t": "1969-12-31", "i": None},
]


def test_the_digest_tells_content_apart():
    digests = {
        from_records(records).digest()
        for records in (
            RECORDS,
            RECORDS[::-1],
            [{**record, "extra": 1} for record in RECORDS],
            [{key.upper(): value for key, value in record.items()} for record in RECORDS],
            [{**record, "c": "a"} for record in RECORDS],
        )
    }
    assert len(digests) == 5
    assert all(len(digest) == 35 and digest.startswith("ds_") for digest in digests)
    assert from_records(RECORDS).digest() in digests


def test_the_digest_keeps_cells_apart_and_ignores_bit_patterns():
    def digest(column_type, values):
        return Dataset((measure("a", column_type, values),), {"a": values}).digest()

    texts = [["ab", "c"], ["a", "bc"], ["abc", ""], ["abc", None]]
    assert len({digest(ColumnType.CATEGORY, np.array(text, object)) for text in texts}) == 4
    assert digest(ColumnType.NUMBER, np.array([0.0, np.nan])) == digest(
        ColumnType.NUMBER, np.array([-0.0, -np.nan])
    )
    pixels = np.arange(16, dtype=np.uint8).reshape(2, 2, 4)
    assert digest(ColumnType.IMAGE, pixels) != digest(ColumnType.IMAGE, pixels.reshape(2, 4, 2))
    assert digest(ColumnType.IMAGE, pixels) != digest(ColumnType.IMAGE, pixels.astype(np.float32))


def test_columns_are_found_by_name():
    dataset = from_records(RECORDS)
    assert dataset.rows == 3
    assert dataset.column("b").missing == 1
    with pytest.raises(NotFound):
        dataset.column("z")


def test_a_stored_dataset_is_read_back_equal(tmp_path):
    artifacts = Artifacts(str(tmp_path))
    images = from_arrays(np.arange(24).reshape(2, 3, 4) / 5, ["a", None])
    for dataset in (from_records(RECORDS), images):
        identity = dataset.digest()
        write_dataset(dataset, artifacts, identity)
        again = read_dataset(artifacts, identity)
        assert again.columns == dataset.columns
        assert again.digest() == identity
        for name, values in dataset.values.items():
            assert again.values[name].dtype == values.dtype
            np.testing.assert_array_equal(again.values[name], values)


def test_a_missing_dataset_is_an_artifact_error(tmp_path):
    artifacts = Artifacts(str(tmp_path))
    with pytest.raises(ArtifactError, match="missing"):
        read_dataset(artifacts, "ds_0")


COLUMN = {"name": "a", "type": "number", "missing": 0, "distinct": 2, "shape": [], "reason": ""}
NUMBERS = pa.table({"a": [1.0, 2.0]})


def parquet(columns: object, table=NUMBERS) -> bytes:
    sink = io.BytesIO()
    described = table.replace_schema_metadata({"luthier.columns": json.dumps(columns)})
    pq.write_table(described, sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b"", "columns.parquet"),
        (b"PAR1", "columns.parquet"),
        (parquet([COLUMN])[:-20], "columns.parquet"),
        (parquet([COLUMN], pa.table({"b": [1.0, 2.0]})), "columns.parquet: KeyError: .*a"),
        (parquet([COLUMN], pa.table({"a": ["x", "y"]})), "columns.0.type: .*'a' are no number"),
        (parquet([COLUMN | {"type": "category"}]), "columns.0.type: .*'a' are no category"),
        (parquet([COLUMN | {"type": "embedding"}]), "columns.0.type: 'embedding' is not"),
        (parquet([COLUMN | {"missing": "many"}]), "columns.0.missing: Must be int"),
        (parquet([COLUMN | {"shape": 3}]), "columns.0.shape"),
        (parquet([{"name": "a"}]), "columns.0: .*'type'"),
        (parquet(["a"]), "columns.0: Must be dict"),
        (parquet({"a": COLUMN}), "columns: Must be a list"),
        (parquet(None), "columns"),
        (parquet([]), "columns: There is none"),
    ],
)
def test_a_stored_file_that_cannot_be_read_is_named_with_the_field(tmp_path, content, field):
    artifacts = Artifacts(str(tmp_path))
    artifacts.write(f"{folder('ds_0')}/columns.parquet", content)
    with pytest.raises(Unreadable, match=f"cannot read the stored dataset 'ds_0': {field}"):
        read_dataset(artifacts, "ds_0")


def test_a_file_without_the_description_of_its_columns_is_unreadable(tmp_path):
    artifacts = Artifacts(str(tmp_path))
    sink = io.BytesIO()
    pq.write_table(NUMBERS, sink)
    artifacts.write(f"{folder('ds_0')}/columns.parquet", sink.getvalue())
    with pytest.raises(Unreadable, match="dataset 'ds_0': columns"):
        read_dataset(artifacts, "ds_0")


@pytest.mark.parametrize(
    "images",
    [np.zeros((2, 4, 4), np.uint8), np.zeros((3, 3, 4), np.uint8), np.zeros((2, 3, 4)), None],
)
def test_images_that_do_not_fit_their_column_are_unreadable(tmp_path, images):
    artifacts = Artifacts(str(tmp_path))
    write_dataset(from_arrays(np.zeros((2, 3, 4)), [0, 1]), artifacts, "ds_0")
    buffer = io.BytesIO()
    np.save(buffer, images)
    content = b"no array" if images is None else buffer.getvalue()
    artifacts.write(f"{folder('ds_0')}/column-0.npy", content)
    with pytest.raises(Unreadable, match="dataset 'ds_0': columns"):
        read_dataset(artifacts, "ds_0")


def test_fields_that_a_newer_version_added_are_skipped(tmp_path):
    artifacts = Artifacts(str(tmp_path))
    content = parquet([COLUMN | {"unit": "m"}])
    artifacts.write(f"{folder('ds_0')}/columns.parquet", content)
    assert read_dataset(artifacts, "ds_0").values["a"].tolist() == [1.0, 2.0]


def test_the_profile_describes_every_type():
    described = {column.name: column for column in profile(from_records(RECORDS))}
    assert described["n"] == ColumnProfile(
        "n",
        ColumnType.NUMBER,
        missing=1,
        distinct=2,
        min=-2,
        max=1.5,
        mean=-0.25,
        quartiles=(-1.125, -0.25, 0.625),
        histogram=(1, *[0] * 18, 1),
    )
    assert described["c"].frequent == (FrequentValue("é", 2), FrequentValue("a", 1))
    assert described["b"].frequent == (FrequentValue(True, 1), FrequentValue(False, 1))
    assert described["t"].min == "1969-12-31T00:00:00Z"
    assert described["t"].histogram is not None
    assert sum(described["t"].histogram) == 3 - described["t"].missing
    assert described["i"].reason == "Every cell is missing."
    assert profile(from_arrays(np.zeros((2, 3, 4)), [0, 1]))[0].shape == (3, 4)


def test_a_profile_is_json_and_comes_back_from_it():
    records = [row | {"large": 1.7e308, "none": None} for row in RECORDS]
    for dataset in (
        from_records(records, {"none": "number"}),
        from_arrays(np.zeros((2, 3, 4)), [0, 1]),
    ):
        described = profile(dataset)
        written = json.dumps([asdict(column) for column in described], allow_nan=False)
        assert load_columns(ColumnProfile, json.loads(written), "it") == described
    large, none = profile(from_records(records, {"none": "number"}))[-2:]
    assert large.mean == pytest.approx(1.7e308)
    assert large.histogram == (3,)
    assert (none.mean, none.quartiles, none.histogram) == (None, None, None)


def test_a_histogram_counts_every_number_once():
    numbers = [-1.7e308, -1.7e308, 1.7e308]  # their range is no finite number
    (column,) = profile(from_records([{"a": number} for number in numbers]))
    assert column.histogram == (2, *[0] * 18, 1)


def test_the_preview_is_json():
    rows = preview(from_records(RECORDS), 2)
    assert json.loads(json.dumps(rows, allow_nan=False)) == [
        {"n": 1.5, "c": "a", "b": True, "t": "2024-05-01T12:00:00.250000Z", "i": None},
        {"n": None, "c": "é", "b": None, "t": None, "i": None},
    ]
    assert len(preview(from_records(RECORDS), 100)) == 3
    assert preview(from_records(RECORDS), 0) == []
    assert preview(from_arrays(np.ones((2, 1, 2), np.uint8), [0, 1]), 1) == [
        {"x": [[1, 1]], "y": 0}
    ]


def test_moments_expand_to_their_calendar_parts():
    moments = ["2024-02-29T18:30:00Z", "1969-12-31", "0001-01-01", "9999-12-31T23:59:59"]
    parts = expand(np.array([*map(parse_iso, moments), np.nan]))
    np.testing.assert_array_equal(parts[0], [2024, 2, 29, 3, 18.5])
    np.testing.assert_array_equal(parts[1], [1969, 12, 31, 2, 0])
    np.testing.assert_array_equal(parts[2], [1, 1, 1, 0, 0])
    assert parts[3, :4].tolist() == [9999, 12, 31, 4]
    assert np.isnan(parts[4]).all()


def test_iso_texts_are_read_alike_alone_and_in_files():
    texts = ["2024-05-01", "2024-05-01 10:00", "2024-05-01T10:00:00.123456789-0330", "1500-01-01"]
    column = from_records([{"t": text} for text in texts]).values["t"]
    np.testing.assert_allclose(column, [parse_iso(text) for text in texts], rtol=0, atol=1e-6)
    assert format_rfc3339(parse_iso(texts[1])) == "2024-05-01T10:00:00Z"
    for text in ("2024", "2024-13-01", "now", "2024-05-01\n"):
        with pytest.raises(ValueError, match=r"ISO 8601|month"):
            parse_iso(text)
