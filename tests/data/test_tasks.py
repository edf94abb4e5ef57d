import numpy as np
import pytest

from models.data.formats.reading import from_arrays, from_records
from models.data.preparation.tasks import (
    Task,
    check_validation_dataset,
    infer_task,
    resolve_features,
    resolve_task,
)
from models.errors import Invalid


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
        (["a", None, "b", None], None, "2 rows have no value"),
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


def test_a_validation_dataset_has_the_same_columns():
    dataset = from_records([{"a": 1, "y": "u"}, {"a": 2, "y": "v"}])
    check_validation_dataset(dataset, from_records([{"y": "u", "a": 3, "z": 1}]), "y", ["a"])
    for other in (
        [{"y": "u"}],
        [{"a": "text", "y": "u"}],
        [{"a": 1, "y": None}, {"a": 1, "y": "u"}],
    ):
        with pytest.raises(Invalid, match=r"^evaluation\.validation_dataset: "):
            check_validation_dataset(dataset, from_records(other), "y", ["a"])
