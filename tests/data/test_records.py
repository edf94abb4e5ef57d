import json
import re

import numpy as np
import pytest

from models.errors import Invalid
from tests.files import from_records, read


def types_of(dataset) -> dict[str, str]:
    return {column.name: column.type.value for column in dataset.columns}


def test_records_mix_types_and_lack_keys():
    dataset = from_records(
        [
            {"n": 1, "mixed": 1, "flag": True, "both": True},
            {"n": 2.5, "mixed": "a", "flag": None, "both": 2},
            {"n": None, "mixed": 1.0, "late": "x"},
        ]
    )
    assert types_of(dataset) == {
        "n": "number",
        "mixed": "category",
        "flag": "boolean",
        "both": "number",
        "late": "category",
    }
    assert dataset.values["mixed"].tolist() == ["1", "a", "1"]
    np.testing.assert_array_equal(dataset.values["flag"], [1, np.nan, np.nan])
    np.testing.assert_array_equal(dataset.values["both"], [1, 2, np.nan])
    assert dataset.values["late"].tolist() == [None, None, "x"]


@pytest.mark.parametrize(
    ("records", "path"),
    [
        ([], "records"),
        ([{}], "records"),
        ([{"": 1}], "records"),
        ([{"a": 1}, [1]], "records.1"),
        ([{"a": 1}, {"a": {"b": 1}}], "records.1.a"),
        ([{"a": 1}, {"a": [1]}], "records.1.a"),
        ([{"a": 1.0}, {"a": float("inf")}], "records.1.a"),
        ([{"a": 1}, {"a": 10**400}], "records.1.a"),
        ([{"a": "x"}, {"a": "\ud800"}], "records.1.a"),
    ],
)
def test_bad_records_are_refused_at_their_path(records, path):
    with pytest.raises(Invalid, match=f"^{re.escape(path)}: "):
        from_records(records)


def test_a_number_column_cannot_hold_text_when_its_type_is_given():
    with pytest.raises(Invalid, match=r"^types\.a: Row 2 holds 'x'"):
        from_records([{"a": 1}, {"a": "x"}], {"a": "number"})


def test_huge_integers_are_held_as_floats():
    dataset = from_records([{"a": 2**70}, {"a": 1}])
    np.testing.assert_array_equal(dataset.values["a"], [2.0**70, 1])
    assert (
        read(b"a\n123456789012345678901234567890\n1\n", "csv").values["a"][0]
        == 1.2345678901234568e29
    )


def test_json_lines_errors_name_the_line():
    with pytest.raises(Invalid, match=r"^file: Line 3 "):
        read(b'{"a": 1}\n\n{"a":\n', "jsonl")


def test_json_may_wrap_its_records():
    assert read(json.dumps({"records": [{"a": 1}]}).encode(), "json").rows == 1


def test_moments_given_as_numbers_are_kept_to_the_microsecond():
    given = [{"at": 0.0}, {"at": -4.9e-245}, {"at": 1700000000.1234567}]
    kept = from_records(given, {"at": "datetime"}).values["at"]
    assert kept.tolist() == [0.0, 0.0, 1700000000.123457]
