import numpy as np
import pytest

from models.data.library.builtin import BUILTINS
from models.data.library.builtin_loading import load_builtin
from models.data.preparation.splitting import Evaluation, split
from models.data.preparation.tasks import Task, class_labels, resolve_features
from models.data.preparation.weighting import (
    check_sample_weight,
    check_weights_of_folds,
    class_weight_from_json,
    class_weight_to_json,
    label_name,
    resolve_class_weight,
)
from models.errors import Invalid
from tests.files import from_records

LABELS = ("no", "yes", "ÿes.1")


def refusal(call, *arguments):
    with pytest.raises(Invalid) as caught:
        call(*arguments)
    [(path, [message])] = caught.value.errors.items()
    return path, message


def weighed(*weights, **columns):
    rows = [{"a": n, "y": n % 2, "w": weight} for n, weight in enumerate(weights)]
    return from_records([row | columns for row in rows], {})


def test_classes_that_are_not_named_count_one():
    given = class_weight_from_json({"yes": 2.5})
    assert resolve_class_weight(given, Task.MULTICLASS, LABELS) == (
        ("no", 1.0),
        ("yes", 2.5),
        ("ÿes.1", 1.0),
    )
    assert resolve_class_weight("balanced", Task.BINARY, LABELS) == "balanced"
    assert resolve_class_weight(None, Task.REGRESSION, ()) is None


def test_every_label_that_is_no_class_is_named():
    given = class_weight_from_json({"yes": 1.0, "YES": 2.0, "2": 3.0})
    with pytest.raises(Invalid, match=r"'no', 'yes', 'ÿes\.1'") as caught:
        resolve_class_weight(given, Task.MULTICLASS, LABELS)
    assert list(caught.value.errors) == ["class_weight.2", "class_weight.YES"]


@pytest.mark.parametrize("given", ["balanced", (("1", 2.0),)])
def test_a_regression_has_no_classes(given):
    assert refusal(resolve_class_weight, given, Task.REGRESSION, ())[0] == "class_weight"


@pytest.mark.parametrize("document", ["balanced", None, {"a": 1.0, "b": 0.5}])
def test_class_weights_are_told_as_they_were_asked_for(document):
    assert class_weight_to_json(class_weight_from_json(document)) == document


@pytest.mark.parametrize(
    ("cells", "names"),
    [([True, False], ["false", "true"]), ([3, 1.0], ["1", "3"]), (["b", "a"], ["a", "b"])],
)
def test_labels_are_named_as_in_json(cells, names):
    dataset = from_records([{"y": cell} for cell in cells], {})
    assert [label_name(label) for label in class_labels(dataset, "y")] == names


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "digits", "xor", "diabetes"])
def test_the_classes_of_builtin_datasets_are_known_beforehand(name):
    builtin = BUILTINS[name]
    labels = [] if builtin.task is Task.REGRESSION else class_labels(load_builtin(name), "target")
    assert list(labels) == list(range(builtin.classes))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ((1, 2, -0.5), "Row 3 holds -0.5; a weight is 0 or more."),
        ((1, None, None), "Row 2 has no weight."),
        ((1e13, 1, 1), "Row 1 holds 1e+13; a weight is 0 or lies between 1e-12 and 1e+12."),
        ((0, 1, 1e-300), "Row 3 holds 1e-300"),
        ((True, False, True), "is of type boolean"),
        (("a", "b", "a"), "is of type category"),
    ],
)
def test_columns_that_are_no_weights(weights, message):
    path, text = refusal(check_sample_weight, weighed(*weights), "w", "y")
    assert path == "sample_weight"
    assert message in text


def test_unknown_columns_and_the_target_are_no_weights():
    dataset = weighed(1, 2, 3)
    assert "'w'" in refusal(check_sample_weight, dataset, "ww", "y")[1]
    assert "target" in refusal(check_sample_weight, dataset, "y", "y")[1]
    check_sample_weight(dataset, "w", "y")


def test_every_fold_needs_a_row_that_counts():
    evaluation = Evaluation(method="cv", folds=3, test_fraction=0.0)
    folds = split(np.arange(30.0), Task.REGRESSION, evaluation, 0).folds
    weights = np.zeros(30)
    weights[folds[1].validation] = 1.0
    path, message = refusal(check_weights_of_folds, weights, folds)
    assert (path, message) == ("sample_weight", "Every training row of fold 2 has the weight 0.")
    weights[folds[0].validation[0]] = 1.0
    check_weights_of_folds(weights, folds)


def test_the_weights_are_no_feature():
    dataset = weighed(1, 2, 3)
    assert resolve_features(dataset, "y") == ("a", "w")
    assert resolve_features(dataset, "y", None, "w") == ("a",)
    path, message = refusal(resolve_features, dataset, "y", ["a", "w"], "w")
    assert (path, message) == ("features.1", "'w' is the sample_weight.")
