import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import Invalid
from models.serving.signature import ColumnRules, Signature

COLUMNS: list[dict[str, Any]] = [
    {"name": "age", "type": "number"},
    {"name": "member", "type": "boolean"},
    {"name": "city", "type": "category", "categories": ["Paris", "Rome"]},
    {"name": "joined", "type": "datetime"},
]
ROW = {"age": 31, "member": True, "city": "Rome", "joined": "2024-05-31T14:30:00Z"}


def signature(columns: list[dict[str, Any]] = COLUMNS, target: str = "price") -> Signature:
    return Signature.from_json(
        {
            "task": "regression",
            "target": target,
            "columns": columns,
            "classes": None,
            "sample": ROW,
        }
    )


def refused(instances: Any, columns: list[dict[str, Any]] = COLUMNS) -> dict[str, list[str]]:
    with pytest.raises(Invalid) as caught:
        signature(columns).feed(instances)
    return caught.value.errors


def test_each_type_becomes_the_array_the_graph_takes() -> None:
    number, text = np.dtype(np.float64), np.dtype(object)
    feed = signature().feed([ROW, {"age": 2.5, "member": False, "city": "Oslo", "joined": None}])
    assert {name: (array.dtype, array.shape) for name, array in feed.items()} == {
        "age": (number, (2, 1)),
        "member": (number, (2, 1)),
        "city": (text, (2, 1)),
        "joined": (number, (2, 1)),
    }
    assert feed["age"].tolist() == [[31.0], [2.5]]
    assert feed["member"].tolist() == [[1.0], [0.0]]
    assert feed["city"].tolist() == [["Rome"], ["Oslo"]]
    assert feed["joined"][0].tolist() == [1_717_165_800.0]
    assert np.isnan(feed["joined"][1]).all()


def test_a_list_gives_the_values_in_the_order_of_the_columns() -> None:
    by_name = signature().feed([ROW])
    by_place = signature().feed([list(ROW.values())])
    assert all(by_name[name].tolist() == by_place[name].tolist() for name in by_name)


def test_an_object_may_name_the_columns_in_any_order() -> None:
    feed = signature().feed([dict(reversed(ROW.items()))])
    assert feed["age"].tolist() == [[31.0]]
    assert feed["city"].tolist() == [["Rome"]]


def test_null_is_missing_in_every_type() -> None:
    feed = signature().feed([dict.fromkeys(ROW)])
    assert feed["city"].tolist() == [[""]]
    assert all(np.isnan(feed[name]).all() for name in ("age", "member", "joined"))


@pytest.mark.parametrize("text", ["", "NA", "nan", "null"])
def test_texts_that_meant_missing_in_the_data_mean_it_in_a_datetime(text: str) -> None:
    assert np.isnan(signature().feed([{**ROW, "joined": text}])["joined"]).all()


def test_the_text_of_a_category_is_read_as_an_upload_reads_it() -> None:
    texts = ("NA", " Rome", "ﬁ", "Cafe\u0301", 7, True)
    feed = signature().feed([{**ROW, "city": text} for text in texts])
    assert feed["city"].tolist() == [[""], ["Rome"], ["ﬁ"], ["Café"], ["7"], ["true"]]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01", 0.0),
        ("2024-01-02T03:30", 1_704_166_200.0),
        ("2024-01-02 03:30:00+02:00", 1_704_159_000.0),
        ("1969-12-31T23:59:59.500", -0.5),
    ],
)
def test_datetimes_are_read_in_utc(text: str, seconds: float) -> None:
    assert signature().feed([{**ROW, "joined": text}])["joined"].tolist() == [[seconds]]


@pytest.mark.parametrize(
    ("column", "cell", "complaint"),
    [
        ("age", "twelve", '"twelve" is not a number'),
        ("age", [1], "[1] is not a number"),
        ("age", {"a": 1}, '{"a": 1} is not a number'),
        ("age", -math.inf, "-Infinity is infinite or too large"),
        ("age", "1e999", '"1e999" is infinite or too large'),
        ("age", 10**400, "100000000000000000000000000000000000000… is infinite or too large"),
        ("member", 2, "2 is not true or false"),
        ("member", "maybe", '"maybe" is not true or false'),
        ("city", ["x"], '["x"] is not text'),
        ("city", "\ud800", '"\\ud800" holds half a surrogate pair, which is not text'),
        ("joined", True, "true is a boolean, not a datetime"),
        (
            "joined",
            "31.5.2024",
            '"31.5.2024" is not a date or time such as 2024-05-31 or 2024-05-31T14:30:00Z',
        ),
        (
            "joined",
            "0001-01-01T00:00:00+10:00",
            '"0001-01-01T00:00:00+10:00" is not a date or time such as 2024-05-31 or'
            " 2024-05-31T14:30:00Z",
        ),
    ],
)
def test_a_cell_of_the_wrong_type_is_named_by_row_and_column(
    column: str, cell: object, complaint: str
) -> None:
    message = f"{complaint}; send null for a missing value."
    assert refused([ROW, {**ROW, column: cell}]) == {f"instances.1.{column}": [message]}
    values = [cell if name == column else value for name, value in ROW.items()]
    assert refused([ROW, values]) == {f"instances.1.{column}": [message]}


def test_an_infinite_number_beside_a_missing_one_is_found() -> None:
    assert list(refused([{**ROW, "age": None}, {**ROW, "age": math.inf}])) == ["instances.1.age"]


def test_long_values_are_cut_in_messages() -> None:
    (message,) = refused([{**ROW, "age": "x" * 1000}])["instances.0.age"]
    assert len(message) < 90


def test_missing_and_unknown_columns_are_named() -> None:
    row = {key: value for key, value in ROW.items() if key != "age"}
    leave_out = "Send unknown_columns 'ignore' to leave it out."
    assert refused([{**row, "agee": 3, "zzz": 4, "price": 5}]) == {
        "instances.0.agee": [f"Unknown column. Did you mean 'age'? {leave_out}"],
        "instances.0.zzz": [f"Unknown column. {leave_out}"],
        "instances.0.age": [
            "Missing column; send null where the value is unknown, or missing_columns 'null'."
        ],
    }


def test_rules_of_columns() -> None:
    row: dict[str, object] = {key: value for key, value in ROW.items() if key != "age"}
    rules = ColumnRules("ignore", "null")
    feed = signature().feed([{**row, "zzz": 4}, {**ROW, "price": "?"}], rules)
    assert np.isnan(feed["age"][0, 0])
    assert feed["age"][1, 0] == 31.0
    with pytest.raises(Invalid, match="Missing column"):
        signature().feed([row], ColumnRules("ignore"))
    with pytest.raises(Invalid, match="Unknown column"):
        signature().feed([{**ROW, "zzz": 4}], ColumnRules("error", "null"))


def test_a_table_is_fed_by_columns_as_by_rows() -> None:
    rows = [ROW, {"age": " 5", "member": "Yes", "city": 7, "joined": "1970-01-02"}]
    columns = {name: [row[name] for row in rows] for name in ROW}
    by_column = signature().feed_columns({**columns, " price": [1, 2]})
    for name, cells in signature().feed(rows).items():
        assert cells.tolist() == by_column[name].tolist()
    with pytest.raises(Invalid) as caught:
        signature().feed_columns({"age": ["x", "1"], "zzz": ["1", "2"]}, ColumnRules("ignore"))
    assert set(caught.value.errors) == {"columns.member", "columns.city", "columns.joined"}
    with pytest.raises(Invalid) as caught:
        signature().feed_columns({**columns, "age": ["1", "x"]})
    assert list(caught.value.errors) == ["instances.1.age"]


def test_every_bad_row_is_reported_in_one_answer() -> None:
    assert set(refused([3, ROW, [1, 2], {**ROW, "age": "x"}, None])) == {
        "instances.0",
        "instances.2",
        "instances.3.age",
        "instances.4",
    }


def test_a_row_of_the_wrong_form_says_what_is_wanted() -> None:
    wanted = "4 columns: age, member, city, joined"
    assert refused([5]) == {
        "instances.0": [f"Expected an object or a list of the model's {wanted}."]
    }
    assert refused([[1, True]]) == {"instances.0": [f"Has 2 values; the model takes {wanted}."]}


@pytest.mark.parametrize(
    ("instances", "message"),
    [
        ([], "Expected at least one row."),
        ({"age": 1}, "Expected a list of rows."),
        ("rows", "Expected a list of rows."),
        (None, "Expected a list of rows."),
    ],
)
def test_instances_must_be_a_list_of_rows(instances: Any, message: str) -> None:
    assert refused(instances) == {"instances": [message]}


def test_twenty_messages_are_told_and_the_others_counted() -> None:
    errors = refused([{**ROW, "age": "x", "member": "x"}] * 15)
    assert errors.pop("instances") == ["… and 10 more"]
    assert sum(len(messages) for messages in errors.values()) == 20
    assert "instances.9.member" in errors


IMAGE = [{"name": "x", "type": "image", "shape": [2, 3]}]
PIXELS = [[0, 1, 2], [3, 4.5, 255]]


@pytest.mark.parametrize("instance", [{"x": PIXELS}, [PIXELS], PIXELS])
def test_an_image_may_come_by_name_in_a_row_or_bare(instance: Any) -> None:
    feed = signature(IMAGE).feed([instance, instance])
    assert feed["x"].dtype == np.float32
    assert feed["x"].tolist() == [PIXELS, PIXELS]


def test_an_image_with_channels_keeps_its_shape() -> None:
    columns = [{"name": "x", "type": "image", "shape": [1, 2, 3]}]
    pixels = [[[1, 2, 3], [4, 5, 6]]]
    assert signature(columns).feed([pixels, [pixels]])["x"].tolist() == [pixels, pixels]


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (None, "Expected nested lists of 2×3 numbers, not null."),
        ([[1, 2, 3]], "Expected nested lists of 2×3 numbers: one has 1, not 2."),
        ([[1, 2, 3], [4, 5]], "Expected nested lists of 2×3 numbers: one has 2, not 3."),
        ([[1, 2, 3], 4], "Expected nested lists of 2×3 numbers, not 4."),
        ([[1, 2, 3], [4, 5, True]], "Expected nested lists of 2×3 numbers, but one is true."),
        ([[1, 2, 3], [4, 5, None]], "Expected nested lists of 2×3 numbers, but one is null."),
        ([[1, 2, 3], [4, 5, "6"]], 'Expected nested lists of 2×3 numbers, but one is "6".'),
        ([[1, 2, 3], [4, 5, 1e300]], "1e+300 is infinite or too large for a pixel."),
    ],
)
def test_an_image_of_another_form_is_refused(pixels: Any, message: str) -> None:
    assert refused([{"x": pixels}], IMAGE) == {"instances.0.x": [message]}


def test_the_only_column_may_be_a_number() -> None:
    feed = signature([{"name": "x", "type": "number"}]).feed([{"x": 1}, [2]])
    assert feed["x"].tolist() == [[1.0], [2.0]]


json_cells = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
rows = st.fixed_dictionaries({name: json_cells for name in ROW}) | json_cells


@settings(max_examples=300, deadline=None)
@given(st.lists(rows, max_size=4))
def test_whatever_is_sent_is_either_fed_or_explained(instances: list[object]) -> None:
    errors: dict[str, list[str]] = {}
    feed: dict[str, Any] = {}
    try:
        feed = signature().feed(instances)
    except Invalid as error:
        errors = error.errors
    assert bool(feed) != bool(errors)
    assert all(path.startswith("instances") for path in errors)
    assert all(len(array) == len(instances) for array in feed.values())


def test_a_large_request_is_read_column_by_column() -> None:
    columns = [{"name": f"x{i}", "type": "number"} for i in range(20)]
    instances = json.loads(json.dumps([{f"x{i}": i + k for i in range(20)} for k in range(5000)]))
    feed = signature(columns).feed(instances)
    assert feed["x7"][:, 0].tolist() == [7.0 + k for k in range(5000)]


def test_a_column_without_a_name_may_be_sent_without_one() -> None:
    document = {"task": "regression", "target": "price", "columns": COLUMNS, "classes": None}
    indexed = Signature.from_json(document | {"sample": ROW, "unused": ["column_1"]})
    assert indexed.feed([{"": "7", **ROW}])["age"].tolist() == [[31.0]]
    assert refused([{"": "7", **ROW}]).keys() == {"instances.0."}
    columns = [*COLUMNS, {"name": "column_1", "type": "number"}]
    assert signature(columns).feed([{**ROW, "": "7"}])["column_1"].tolist() == [[7.0]]
