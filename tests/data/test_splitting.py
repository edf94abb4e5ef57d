import numpy as np
import pytest

from models.data.preparation.splitting import Evaluation, split
from models.data.preparation.tasks import Task
from models.errors import Invalid

LABELS = np.array(["a"] * 60 + ["b"] * 30 + ["c"] * 10, dtype=object)


def shares(rows):
    return [int((LABELS[rows] == label).sum()) for label in "abc"]


def test_a_holdout_uses_every_row_once_and_keeps_class_shares():
    parts = split(LABELS, Task.MULTICLASS, Evaluation(), 7)
    (fold,) = parts.folds
    everything = np.concatenate([parts.test, fold.train, fold.validation])
    np.testing.assert_array_equal(np.sort(everything), np.arange(100))
    assert shares(parts.test) == [6, 3, 1]
    assert shares(fold.validation) == [12, 6, 2]
    assert shares(fold.train) == [42, 21, 7]
    assert (np.diff(fold.train) < 0).any()


def test_folds_validate_every_row_once():
    parts = split(LABELS, Task.MULTICLASS, Evaluation("cv", folds=3, test_fraction=0), 7)
    assert len(parts.test) == 0
    seen = np.concatenate([fold.validation for fold in parts.folds])
    np.testing.assert_array_equal(np.sort(seen), np.arange(100))
    for fold in parts.folds:
        assert len(np.intersect1d(fold.train, fold.validation)) == 0
        assert len(fold.train) + len(fold.validation) == 100
        assert 3 <= shares(fold.validation)[2] <= 4


def test_the_test_part_depends_on_data_seed_and_fraction_alone():
    evaluations = [
        Evaluation(),
        Evaluation(validation_fraction=0.5),
        Evaluation("cv", folds=4),
        Evaluation("train"),
        Evaluation(validation_dataset="ds_1"),
    ]
    tests = [split(LABELS, Task.MULTICLASS, each, 3).test.tolist() for each in evaluations]
    assert all(rows == tests[0] for rows in tests)
    assert split(LABELS, Task.MULTICLASS, Evaluation(), 4).test.tolist() != tests[0]


def test_a_seed_gives_the_same_split_again():
    values = np.random.default_rng(0).normal(size=57)
    first, second = (split(values, Task.REGRESSION, Evaluation(), 0) for _ in range(2))
    np.testing.assert_array_equal(first.folds[0].train, second.folds[0].train)
    assert (len(first.test), len(first.folds[0].validation)) == (6, 11)


def test_without_a_validation_part_all_but_the_test_part_trains():
    for evaluation in (Evaluation("train"), Evaluation(validation_dataset="ds_1")):
        (fold,) = split(LABELS, Task.MULTICLASS, evaluation, 1).folds
        assert (len(fold.train), len(fold.validation)) == (90, 0)


def test_a_handful_of_rows_can_only_train():
    values = np.array([0.0, 1, 1, 0])
    with pytest.raises(Invalid, match=r"^evaluation: 4 rows are too few.*'train'"):
        split(values, Task.REGRESSION, Evaluation(), 0)
    parts = split(values, Task.BINARY, Evaluation("train"), 0)
    assert len(parts.test) == 0
    assert sorted(parts.folds[0].train) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("rare", "evaluation", "fits"),
    [
        (2, Evaluation(), False),
        (3, Evaluation(), True),
        (2, Evaluation(test_fraction=0), True),
        (5, Evaluation("cv"), False),
        (6, Evaluation("cv"), True),
        (1, Evaluation("train", test_fraction=0), True),
    ],
)
def test_a_class_with_too_few_rows_is_named(rare, evaluation, fits):
    labels = np.array([0.0] * 40 + [7.0] * rare)
    for seed in range(20):
        if fits:
            for fold in split(labels, Task.BINARY, evaluation, seed).folds:
                assert set(labels[fold.train]) == {0.0, 7.0}
        else:
            with pytest.raises(Invalid, match=f"^evaluation: Class 7 has {rare} of the"):
                split(labels, Task.BINARY, evaluation, seed)


def test_rare_classes_among_others_are_trained_on_and_named_at_once():
    labels = np.array(["a"] * 60 + ["b"] * 30 + ["c"] * 2 + ["d"], dtype=object)
    for evaluation in (Evaluation(), Evaluation("cv"), Evaluation(validation_fraction=0.6)):
        for seed in range(10):
            found = split(labels, Task.MULTICLASS, evaluation, seed)
            assert found.rare == ("'c'", "'d'")
            assert set(labels[found.test]) == {"a", "b"}
            for fold in found.folds:
                assert set(labels[fold.validation]) == {"a", "b"}
                assert {90, 91, 92} <= set(fold.train.tolist())
                assert len(found.test) + len(fold.train) + len(fold.validation) == 93


def test_one_class_with_enough_rows_is_too_few():
    labels = np.array(["a"] * 60 + ["b", "c", "c", "d"], dtype=object)
    message = "^evaluation: Class 'b' has 1, class 'c' has 2, class 'd' has 1 of the 3 rows"
    with pytest.raises(Invalid, match=message):
        split(labels, Task.MULTICLASS, Evaluation(), 0)


def test_rows_without_a_target_are_in_no_part():
    values = np.where(np.arange(100) % 4 == 0, np.nan, np.arange(100.0))
    found = split(values, Task.REGRESSION, Evaluation(), 0)
    (fold,) = found.folds
    used = np.sort(np.concatenate([found.test, fold.train, fold.validation]))
    np.testing.assert_array_equal(used, np.flatnonzero(np.arange(100) % 4))


def test_a_class_that_would_not_train_is_named():
    labels = np.array(["a"] * 50 + ["b"] * 3, dtype=object)
    evaluation = Evaluation(validation_fraction=0.88, test_fraction=0.1)
    with pytest.raises(Invalid, match=r"^evaluation: No row of class '[ab]' is left to train on"):
        split(labels, Task.BINARY, evaluation, 0)


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"method": "loo"}, "method"),
        ({"validation_fraction": 0}, "validation_fraction"),
        ({"validation_fraction": float("nan")}, "validation_fraction"),
        ({"test_fraction": 1}, "test_fraction"),
        ({"test_fraction": 0.8}, "test_fraction"),
        ({"folds": 1}, "folds"),
        ({"method": "cv", "validation_dataset": "ds_1"}, "validation_dataset"),
    ],
)
def test_an_evaluation_that_makes_no_sense_is_refused(values, path):
    with pytest.raises(Invalid, match=rf"^evaluation\.{path}: "):
        Evaluation(**values)


def test_a_validation_part_of_all_rows_is_refused():
    evaluation = Evaluation(validation_fraction=0.89, test_fraction=0.1)
    with pytest.raises(Invalid, match=r"^evaluation\.validation_fraction: Leaves none of 10"):
        split(np.arange(10.0), Task.REGRESSION, evaluation, 0)


def test_more_folds_than_rows_are_refused():
    with pytest.raises(Invalid, match=r"^evaluation\.folds: 11 rows cannot make 12"):
        split(np.arange(12.0), Task.REGRESSION, Evaluation("cv", folds=12), 0)


def test_a_million_rows_are_split():
    values = np.random.default_rng(0).integers(0, 3, 1_000_000).astype(float)
    parts = split(values, Task.MULTICLASS, Evaluation(), 0)
    assert (len(parts.test), len(parts.folds[0].validation)) == (100_000, 200_000)
