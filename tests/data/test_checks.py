"""Warnings about the data of a job."""

import numpy as np
import pytest

from models.data.formats.reading import from_arrays
from models.data.preparation.checks import column_use, job_warnings
from models.data.preparation.splitting import Evaluation, split_dataset
from models.data.preparation.tasks import infer_task, resolve_features
from tests.files import from_records

ROWS = 400


def noise(seed=0):
    return np.random.default_rng(seed).normal(size=ROWS)


def table(**columns):
    """Rows of four noisy numbers, a noisy target and the given columns."""
    plain = {f"x{n}": noise(n) for n in range(4)} | {"y": noise(9)} | columns
    return from_records(
        [
            {name: bare(cell) for name, cell in zip(plain, row, strict=True)}
            for row in zip(*plain.values(), strict=True)
        ]
    )


def bare(cell):
    return cell.item() if isinstance(cell, np.generic) else cell


def warned(dataset, evaluation=None, others=None, features=None):
    """The codes of a job's warnings, with their columns and rows."""
    evaluation = evaluation or Evaluation()
    task = infer_task(dataset, "y")
    features = resolve_features(
        dataset, "y", features, group=evaluation.group, time=evaluation.time
    )
    parts = split_dataset(dataset, "y", task, evaluation, 0)
    found = job_warnings(dataset, "y", features, task, evaluation, parts, others)
    return [(str(each.code), each.column, each.rows) for each in found]


def test_plain_tables_have_no_warnings():
    assert warned(table()) == []
    assert warned(table(town=["Oslo", "Rome", "Bonn", "Ulm"] * 100, age=np.arange(ROWS) % 70)) == []
    days = np.random.default_rng(0).integers(0, 3000, ROWS)
    dates = np.datetime_as_string(np.datetime64("2020-01-01") + days)
    assert warned(table(sold=dates)) == []
    pixels = np.random.default_rng(0).integers(0, 256, (60, 4, 4)).astype(np.uint8)
    assert warned(from_arrays(pixels, np.arange(60) % 2)) == []


@pytest.mark.parametrize(
    "leak",
    [
        noise(9) * 1.19,
        np.exp(noise(9)),
        [None if n % 50 == 0 else cell for n, cell in enumerate(noise(9) * 100)],
    ],
    ids=["scaled", "bent", "with gaps"],
)
def test_a_number_that_is_the_target_in_other_units_is_a_leak(leak):
    found = warned(table(net=leak))
    assert found == [("leak", "net", None)]


def test_a_text_or_a_number_that_says_the_class_is_a_leak():
    labels = np.array(["stays", "leaves", "moves"], dtype=object)[np.arange(ROWS) * 7 % 3]
    reasons = np.char.add("r_", labels.astype(str)).astype(object)
    codes = np.where(labels == "stays", 0.0, np.where(labels == "moves", 5.5, 9.25))
    found = warned(table(y=labels, reason=reasons, code=codes + noise(3) * 0.01))
    assert found == [("leak", "code", None), ("leak", "reason", None)] or found == [
        ("leak", "reason", None),
        ("leak", "code", None),
    ]


def test_a_common_class_is_no_leak_of_a_rare_one():
    labels = np.where(np.arange(ROWS) % 20 == 0, "ill", "well").astype(object)
    assert warned(table(y=labels)) == []


def test_a_feature_that_is_good_is_no_leak():
    assert warned(table(good=noise(9) + 0.1 * noise(8))) == []


def test_copies_of_training_rows_among_held_out_ones_are_counted():
    plain = table()
    doubled = from_records(
        [{name: bare(plain.values[name][row % 200]) for name in plain.names} for row in range(ROWS)]
    )
    [(code, column, rows)] = warned(doubled)
    assert (code, column) == ("duplicate_rows", None)
    assert 60 <= rows <= 120
    assert [code for code, *_ in warned(plain, others={"validation_dataset": plain})] == [
        "duplicate_rows"
    ]
    few = table(x0=[1] * ROWS, x1=[0, 1] * 200, x2=[1, 2, 3, 4] * 100, x3=[0] * ROWS)
    assert "duplicate_rows" not in [code for code, *_ in warned(few)]


@pytest.mark.parametrize("order", ["sorted", "shuffled"])
def test_a_series_in_time_names_the_option(order):
    days = np.datetime64("2021-03-01") + np.arange(ROWS)
    if order == "shuffled":
        days = np.random.default_rng(0).permutation(days)
    dataset = table(day=np.datetime_as_string(days))
    assert warned(dataset) == [("time_order", "day", None)]
    assert warned(dataset, Evaluation(time="day")) == []
    assert warned(dataset, Evaluation("train", test_fraction=0)) == []


def test_ids_whose_groups_explain_the_target_name_the_option():
    ids = np.arange(ROWS) // 10
    level = np.random.default_rng(5).normal(size=40)[ids]
    names = np.char.add("P", ids.astype(str)).astype(object)
    for columns, name in (
        ({"patient_id": ids}, "patient_id"),
        ({"who": names}, "who"),
        ({"deviceId": ids * 3 + 100}, "deviceId"),
    ):
        dataset = table(y=level + 0.1 * noise(1), **columns)
        assert warned(dataset) == [("entity_id", name, None)]
        assert warned(dataset, Evaluation(group=name)) == []
        assert warned(table(**columns)) == []
    labels = np.where(level > 0, "ill", "well").astype(object)
    assert ("entity_id", "who", None) in warned(table(y=labels, who=names))


def test_towns_that_explain_the_target_are_no_ids():
    towns = np.array(
        ["Oslo", "Rome", "Bonn", "Ulm", "Graz", "Wien", "Linz", "Bern", "Jena", "Kiel"]
    )
    place = np.arange(ROWS) % 10
    assert warned(table(town=towns[place], y=place * 10 + noise(1))) == []


def test_what_is_left_out_is_counted():
    y = [None if n % 8 == 0 else cell for n, cell in enumerate(noise(9))]
    g = [None if n % 10 == 2 else f"g {n % 30}" for n in range(ROWS)]
    dataset = table(y=y, g=g)
    assert warned(dataset, Evaluation(group="g")) == [
        ("missing_target", "y", 50),
        ("missing_group", "g", 30),
    ]
    assert warned(
        dataset, Evaluation(test_fraction=0, test_dataset="ds_1"), {"test_dataset": dataset}
    )[1] == ("missing_target", "y", 50)


def test_rare_classes_are_named_at_once():
    labels = np.array(["a", "b"], dtype=object)[np.arange(ROWS) % 2]
    labels[:3] = ["r1", "r2", "r2"]
    dataset = table(y=labels)
    [(code, column, rows)] = warned(dataset)
    assert (code, column, rows) == ("rare_class", "y", 3)
    parts = split_dataset(dataset, "y", infer_task(dataset, "y"), Evaluation(), 0)
    [warning] = job_warnings(dataset, "y", ["x0"], infer_task(dataset, "y"), Evaluation(), parts)
    assert "'r1' (1), 'r2' (2)" in warning.message


def test_many_classes_are_told():
    labels = np.char.add("class ", (np.arange(ROWS) % 60).astype(str)).astype(object)
    assert warned(table(y=labels))[0] == ("high_cardinality", "y", None)


def test_every_column_is_used_or_has_a_reason():
    dataset = from_records(
        [{"a": n % 9, "b": n % 4, "w": 1.5, "gone": None, "y": n % 5} for n in range(50)]
    )
    use = column_use(dataset, "y", ["a"], {"w": "It is the sample_weight."})
    assert use.used == ("a",)
    assert use.ignored == {
        "b": "It is not named in features.",
        "w": "It is the sample_weight.",
        "gone": "Every cell is missing.",
    }
