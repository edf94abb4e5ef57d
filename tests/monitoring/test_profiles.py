import json
from typing import Any

import numpy as np
import pytest

from models.data.columns import ColumnType, measure
from models.data.dataset import Dataset
from models.registry.documents import check_document
from models.registry.profile import (
    FIRST_BIN,
    MAX_FREQUENT,
    MAX_KNOWN,
    ProfileSchema,
    TrainedColumn,
    profile_document,
)


def profiled(kind: ColumnType, cells: list[Any], **options: Any) -> TrainedColumn:
    """The profile of a column, as it is read back."""
    values = np.array(cells, dtype=object if kind.is_text else np.float64)
    if kind is ColumnType.IMAGE:
        values = np.zeros((len(cells), 2, 2), dtype=np.float32)
    dataset = Dataset((measure("a", kind, values),), {"a": values})
    rows = options.get("rows", np.arange(len(cells)))
    document = json.loads(json.dumps(profile_document(dataset, rows, ("a",))))
    check_document(document, ProfileSchema(), "it")
    return TrainedColumn.from_json(document["columns"][0])


def test_numbers_have_bins_of_equal_size_and_a_range() -> None:
    column = profiled(ColumnType.NUMBER, [*range(1000), np.nan])
    assert column.counts == (1, 0, *[100] * 10)
    assert (column.low, column.high) == (0, 999)
    inputs = np.array([[-1.0], [0.0], [999.0], [1e9], [np.nan]])
    assert column.count(inputs).tolist() == [1, 2, 2, *[0] * 8, 2]


def test_only_the_rows_that_taught_are_counted() -> None:
    column = profiled(ColumnType.NUMBER, [*range(1000)], rows=np.arange(500))
    assert column.high == 499
    assert sum(column.counts) == 500


def test_a_value_that_most_rows_have_begins_a_bin() -> None:
    column = profiled(ColumnType.NUMBER, [0.0] * 800 + [-5.0] * 50 + [*range(1, 151)])
    assert column.edges[0] == 0
    assert column.counts[FIRST_BIN] == 50
    assert column.counts[FIRST_BIN + 1] >= 800


def test_booleans_texts_and_columns_without_values() -> None:
    flags = profiled(ColumnType.BOOLEAN, [0, 1, 1, np.nan])
    assert flags.count(np.array([[0.0], [0.0], [1.0]])).tolist() == [0, 0, 2, 1]
    texts = profiled(ColumnType.TEXT, ["a", "bb", None, "cccc"])
    assert (texts.low, texts.high) == (1, 4)
    found = texts.count(np.array([[""], ["12345"]], dtype=object))
    assert found[:FIRST_BIN].tolist() == [1, 1]
    empty = profiled(ColumnType.NUMBER, [np.nan, np.nan])
    assert empty.counts == (2, 0, 0)
    assert empty.count(np.array([3.0, np.nan])).tolist() == [1, 1, 1]
    assert not profiled(ColumnType.IMAGE, [0, 0]).is_measured


def test_categories_have_bins_of_frequent_values_and_know_unseen_ones() -> None:
    towns = ["Graz"] * 5 + ["Wien"] * 3 + ["Βόλος", None]
    column = profiled(ColumnType.CATEGORY, towns)
    assert column.values == ("Graz", "Wien", "Βόλος")
    assert column.counts == (1, 0, 5, 3, 1, 0)
    inputs = np.array([["Graz"], ["Oz"], [""]], dtype=object)
    assert column.count(inputs).tolist() == [1, 1, 1, 0, 0, 1]

    many = [f"{n:04}" for n in range(MAX_KNOWN)]
    known = profiled(ColumnType.CATEGORY, many)
    assert known.counts == (0, 0, *[1] * MAX_FREQUENT, MAX_KNOWN - MAX_FREQUENT)
    assert known.count(np.array(["0999", "x"], dtype=object)).tolist()[1] == 1
    more = profiled(ColumnType.CATEGORY, [*many, "more"])
    assert not more.is_complete
    assert more.count(np.array(["0999", "x"], dtype=object)).tolist()[1] == 0


@pytest.mark.parametrize("change", [{"counts": [1, 2]}, {"type": "wave"}, {"edges": None}])
def test_a_damaged_profile_is_refused(change: dict[str, Any]) -> None:
    column = profiled(ColumnType.NUMBER, [1, 2, 3]).to_json() | change
    assert ProfileSchema().validate({"rows": 3, "columns": [column]})
