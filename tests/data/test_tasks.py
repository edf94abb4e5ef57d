import numpy as np
import pytest

from models.data.formats.reading import from_arrays
from models.data.preparation.tasks import (
    Task,
    check_other_dataset,
    class_labels,
    infer_task,
    resolve_features,
    resolve_task,
    suggest_task,
)
from models.errors import Invalid
from tests.files import from_records


def with_target(*values: object, types: dict[str, str] | None = None):
    return from_records([{"f": 1.5, "y": value} for value in values], types)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["a", "b"], Task.BINARY),
        (["a", "b", "c"], Task.MULTICLASS),
        ([True, False], Task.BINARY),
        ([0, 1, 1], Task.BINARY),
        ([0, 1, 2] * 5, Task.MULTICLASS),
        ([0, 1, 2] * 4, Task.REGRESSION),
        ([0.5, 1.5], Task.REGRESSION),
        (list(range(20)) * 5, Task.MULTICLASS),
        (list(range(21)) * 5, Task.REGRESSION),
        (["a", None, "b", None], Task.BINARY),
        ([0, 1, None, 2] * 5, Task.MULTICLASS),
        ([0, 1, 2] * 4 + [None] * 3, Task.REGRESSION),
    ],
)
def test_the_task_follows_from_the_target(values, expected):
    assert infer_task(with_target(*values), "y") is expected
    assert resolve_task(with_target(*values), "y") is expected


@pytest.mark.parametrize(
    ("values", "types", "words"),
    [
        (["a", "a"], None, "same value"),
        ([1.5, 1.5], None, "same value"),
        ([1], None, "same value"),
        (["a", None, "a", None], None, "same value"),
        (["2024-01-01", "2024-01-02"], None, "datetime"),
        ([f"id{n}" for n in range(50)], None, "ignored"),
        ([f"id{n}" for n in range(1001)], {"y": "category"}, "1001 classes"),
    ],
)
def test_a_column_that_cannot_be_a_target_is_refused(values, types, words):
    with pytest.raises(Invalid, match=f"^target: .*{words}"):
        infer_task(with_target(*values, types=types), "y")


def test_an_unknown_target_is_refused_with_close_matches():
    with pytest.raises(
        Invalid, match=r"^target: There is no column 'prise'\. Did you mean 'price'"
    ):
        infer_task(from_records([{"price": 1}]), "prise")


@pytest.mark.parametrize(
    ("values", "asked", "words"),
    [
        (["a", "b"], "regression", "number target"),
        ([True, False], "regression", "number target"),
        ([0.5, 1.5], "binary", "fractions"),
        ([1, 2, 3], "binary", "has 3"),
        (list(range(1001)), "multiclass", "1001 classes"),
        ([1, 2], "ranking", "not one of auto, regression"),
    ],
)
def test_a_task_that_does_not_fit_is_refused(values, asked, words):
    with pytest.raises(Invalid, match=f"^task: .*{words}"):
        resolve_task(with_target(*values), "y", asked)


def test_a_task_asked_for_wins_over_the_one_inferred():
    assert resolve_task(with_target(0, 1), "y", "regression") is Task.REGRESSION
    assert resolve_task(with_target(0, 1), "y", "multiclass") is Task.MULTICLASS
    assert resolve_task(with_target(*range(30)), "y", "multiclass") is Task.MULTICLASS


def test_features_default_to_all_usable_columns():
    dataset = from_records([{"a": 1, "gone": None, "b": "x", "y": n} for n in range(3)])
    assert resolve_features(dataset, "y") == ("a", "b")
    assert resolve_features(dataset, "y", ["b"]) == ("b",)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (["a", "z"], "^features.1: There is no column"),
        (["y"], "^features.0: 'y' is the target"),
        (["gone"], "^features.0: 'gone' is ignored: Every cell is missing"),
        (["a", "a"], "^features: .*twice"),
        ([], "^features: No column is left"),
    ],
)
def test_features_that_cannot_be_used_are_refused(asked, words):
    dataset = from_records([{"a": 1, "gone": None, "y": n} for n in range(3)])
    with pytest.raises(Invalid, match=words):
        resolve_features(dataset, "y", asked)


def test_an_image_is_used_alone():
    assert resolve_features(from_arrays(np.zeros((2, 3, 3)), [0, 1]), "y") == ("x",)
    assert resolve_features(from_records([{"a": 1, "y": 2}]), "y") == ("a",)


def test_group_and_weight_are_no_features_and_time_only_if_it_is_named():
    dataset = from_records([{"a": 1.5, "g": n, "t": n, "y": n % 2} for n in range(3)])
    assert resolve_features(dataset, "y", group="g", time="t") == ("a",)
    assert resolve_features(dataset, "y", ["a", "t"], time="t") == ("a", "t")
    with pytest.raises(Invalid, match=r"^features.1: 'g' is evaluation.group"):
        resolve_features(dataset, "y", ["a", "g"], group="g")


def test_excluded_columns_are_no_features():
    dataset = from_records([{"a": 1, "b": 2, "y": n} for n in range(3)])
    assert resolve_features(dataset, "y", exclude=["b"]) == ("a",)
    assert resolve_features(dataset, "y", ["a"], exclude=["b"]) == ("a",)


@pytest.mark.parametrize(
    ("features", "exclude", "words"),
    [
        (None, ["y"], "^exclude.0: 'y' is the target"),
        (None, ["price", "pryce"], "^exclude.1: There is no column 'pryce'. Did you mean 'price'"),
        (["a"], ["a"], "^exclude.0: 'a' is also named in features"),
        (None, ["a", "price"], "^exclude: No column is left"),
    ],
)
def test_columns_that_cannot_be_excluded_are_refused(features, exclude, words):
    dataset = from_records([{"a": 1, "price": 2, "y": n} for n in range(3)])
    with pytest.raises(Invalid, match=words):
        resolve_features(dataset, "y", features, exclude=exclude)


def test_missing_targets_are_no_class():
    assert class_labels(with_target("b", None, "a", types={"y": "category"}), "y") == ("a", "b")
    assert class_labels(with_target(2, None, 1), "y") == (1, 2)


@pytest.mark.parametrize(
    ("values", "suggested"),
    [
        ([3, 4, 5, 6, 7, 8] * 10, "regression"),
        (list(range(40)), "multiclass"),
        (list(range(400)), None),
        ([0, 1] * 10, None),
        ([0.5, 1.5, 2.5], None),
        (["a", "b", "c"], None),
    ],
)
def test_the_other_task_is_suggested_where_whole_numbers_may_be_either(values, suggested):
    dataset = with_target(*values)
    warning = suggest_task(dataset, "y", infer_task(dataset, "y"))
    assert (warning and warning.message.endswith(f"give `task: {suggested}`.")) is (
        None if suggested is None else True
    )


def test_a_validation_or_test_dataset_has_the_same_columns_and_classes():
    path = "evaluation.test_dataset"
    dataset = from_records([{"a": 1, "y": "u"}, {"a": 2, "y": "v"}])

    def check(records):
        check_other_dataset(dataset, from_records(records), "y", ["a"], Task.BINARY, path)

    check([{"y": "u", "a": 3, "z": 1}])
    check([{"a": 1, "y": None}, {"a": 1, "y": "u"}])
    for other, words in (
        ([{"y": "u"}], "no column 'a'"),
        ([{"a": "text", "y": "u"}], "of type category"),
        ([{"a": 1, "y": "w"}, {"a": 1, "y": "u"}], "classes that the dataset lacks: 'w'"),
    ):
        with pytest.raises(Invalid, match=rf"^evaluation\.test_dataset: .*{words}"):
            check(other)
    nothing = from_records([{"a": 1, "y": None}], {"y": "category"})
    with pytest.raises(Invalid, match=r"None of its rows has a value in 'y'"):
        check_other_dataset(dataset, nothing, "y", ["a"], Task.BINARY, path)


@pytest.mark.parametrize(
    ("cells", "task"),
    [
        (["$1", "$2", "$3"], "regression"),
        (["10%", "20%"], "regression"),
        (["5 km", "7 km"], "regression"),
        (["1", "2", "3"], "multiclass"),
    ],
)
def test_amounts_with_a_unit_are_a_regression_however_few(cells, task):
    rows = [{"a": n, "y": cells[n % len(cells)]} for n in range(60)]
    assert infer_task(from_records(rows), "y") == task
