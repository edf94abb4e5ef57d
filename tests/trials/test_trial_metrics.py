import math

import numpy as np
import pytest
import sklearn.metrics

from models.data.preparation.tasks import Task
from models.trials.metrics import class_metrics, class_probabilities, log_loss, regression_metrics
from models.trials.spec import METRICS


def test_regression_metrics():
    metrics = regression_metrics(np.array([1.0, 2.0, 6.0]), np.array([1.0, 4.0, 5.0]))
    assert metrics == pytest.approx(
        {"loss": 5 / 3, "mse": 5 / 3, "mae": 1.0, "rmse": (5 / 3) ** 0.5, "r2": 1 - 5 / 14}
    )
    assert set(metrics) == set(METRICS[Task.REGRESSION])


@pytest.mark.parametrize("truth", [[3.0], [3.0, 3.0]])
def test_r2_is_undefined_without_variance(truth):
    metrics = regression_metrics(np.array(truth), np.full(len(truth), 2.0))
    assert metrics["r2"] is None
    assert metrics["rmse"] == 1.0


def test_binary_metrics():
    truth = np.array([0, 0, 1, 1])
    probabilities = class_probabilities(np.array([[0.1], [0.6], [0.4], [0.9]], np.float32))
    metrics = class_metrics(truth, probabilities, Task.BINARY)
    expected_loss = -sum(math.log(p) for p in (0.9, 0.4, 0.4, 0.9)) / 4
    assert metrics == pytest.approx(
        {
            "loss": expected_loss,
            "accuracy": 0.5,
            "balanced_accuracy": 0.5,
            "precision": 0.5,
            "recall": 0.5,
            "f1": 0.5,
            "auc": 0.75,
            "log_loss": expected_loss,
        }
    )
    assert set(metrics) == set(METRICS[Task.BINARY])


def test_multiclass_metrics_average_over_the_classes():
    truth = np.array([0, 1, 2, 2])
    probabilities = np.array([[0.8, 0.1, 0.1], [0.3, 0.4, 0.3], [0.2, 0.2, 0.6], [0.5, 0.2, 0.3]])
    metrics = class_metrics(truth, probabilities, Task.MULTICLASS)
    assert metrics["accuracy"] == 0.75
    assert metrics["balanced_accuracy"] == pytest.approx((1 + 1 + 0.5) / 3)
    assert metrics["precision"] == pytest.approx((0.5 + 1 + 1) / 3)
    assert metrics["recall"] == metrics["balanced_accuracy"]
    assert metrics["f1"] == pytest.approx((2 / 3 + 1 + 2 / 3) / 3)
    assert metrics["auc"] == pytest.approx((1 + 1 + 3.5 / 4) / 3, abs=0.05)


def test_auc_is_undefined_where_a_class_is_missing():
    two = np.array([[0.9, 0.1], [0.2, 0.8]])
    three = np.array([[0.8, 0.1, 0.1], [0.3, 0.4, 0.3]])
    one_class = class_metrics(np.array([1, 1]), two, Task.BINARY)
    assert one_class["auc"] is None
    assert class_metrics(np.array([0, 1]), three, Task.MULTICLASS)["auc"] is None
    assert one_class["balanced_accuracy"] == 0.5


def test_precision_and_recall_of_two_classes_are_those_of_the_second():
    probabilities = class_probabilities(np.array([[0.9], [0.8], [0.2], [0.1]], np.float32))
    metrics = class_metrics(np.array([1, 0, 1, 1]), probabilities, Task.BINARY)
    assert metrics["precision"] == pytest.approx(1 / 2)
    assert metrics["recall"] == pytest.approx(1 / 3)
    assert metrics["f1"] == pytest.approx(2 / 5)


def test_two_classes_with_softmax():
    probabilities = class_probabilities(np.array([[0.9, 0.1], [0.2, 0.8]], np.float32))
    metrics = class_metrics(np.array([0, 1]), probabilities, Task.MULTICLASS)
    assert metrics["auc"] == metrics["f1"] == 1.0


def test_log_loss_is_clipped():
    certain = np.array([[1.0, 0.0]])
    assert log_loss(np.array([1]), certain) == pytest.approx(-math.log(1e-7))
    assert log_loss(np.array([0]), certain) == pytest.approx(1e-7, rel=1e-3)


def test_probabilities_of_a_sigmoid_and_of_a_softmax_sum_to_one():
    assert class_probabilities(np.array([[0.25]], np.float32)).tolist() == [[0.75, 0.25]]
    assert class_probabilities(np.full((1, 3), 1 / 3, np.float32)).sum() == 1.0


@pytest.mark.parametrize(
    ("task", "classes"), [(Task.BINARY, 2), (Task.MULTICLASS, 2), (Task.MULTICLASS, 5)]
)
def test_classes_are_scored_as_by_scikit_learn(task, classes):
    random = np.random.default_rng(classes)
    for rows in (classes, 7, 200):
        # Rounded, so that scores tie.
        probabilities = random.random((rows, classes)).round(1) + 0.01
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        truth = random.integers(0, classes, rows)
        metrics = class_metrics(truth, probabilities, task)
        predicted = probabilities.argmax(axis=1)
        shared = {"labels": np.arange(classes), "zero_division": 0}
        shared["average"] = "binary" if task is Task.BINARY else "macro"
        precision, recall, f1, _ = sklearn.metrics.precision_recall_fscore_support(
            truth, predicted, **shared
        )
        held = np.unique(truth)
        expected = {
            "accuracy": sklearn.metrics.accuracy_score(truth, predicted),
            "balanced_accuracy": sklearn.metrics.recall_score(
                truth, predicted, labels=held, average="macro", zero_division=0
            ),
            "precision": precision,
            "recall": recall,
            "f1": f1,
        }
        if len(held) == classes:
            scores = probabilities[:, 1] if classes == 2 else probabilities
            expected["auc"] = sklearn.metrics.roc_auc_score(truth, scores, multi_class="ovr")
        known = {name: metrics[name] for name in expected}
        assert known == pytest.approx(expected, rel=1e-14, abs=1e-14)
        assert (metrics["auc"] is None) == ("auc" not in expected)


def test_numbers_are_scored_as_by_scikit_learn():
    random = np.random.default_rng(1)
    truth, predictions = random.normal(1e6, 1e3, 300), random.normal(1e6, 1e3, 300)
    metrics = regression_metrics(truth, predictions)
    assert metrics["mse"] == pytest.approx(
        sklearn.metrics.mean_squared_error(truth, predictions), rel=1e-14
    )
    assert metrics["mae"] == pytest.approx(
        sklearn.metrics.mean_absolute_error(truth, predictions), rel=1e-14
    )
    assert metrics["r2"] == pytest.approx(sklearn.metrics.r2_score(truth, predictions), rel=1e-14)


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_prediction_that_is_not_finite_has_no_score(wrong):
    with pytest.raises(ValueError, match="finite"):
        regression_metrics(np.array([1.0, 2.0]), np.array([1.0, wrong]))


@pytest.mark.parametrize("classes", [2, 3])
def test_the_metrics_of_a_named_class_are_those_of_scikit_learn(classes):
    generator = np.random.default_rng(0)
    truth = generator.integers(0, classes, 60)
    probabilities = generator.dirichlet(np.ones(classes), 60)
    given = probabilities.argmax(axis=1)
    task = Task.BINARY if classes == 2 else Task.MULTICLASS
    for positive in range(classes):
        metrics = class_metrics(truth, probabilities, task, positive)
        for name in ("precision", "recall", "f1"):
            score = getattr(sklearn.metrics, f"{name}_score")
            expected = score(truth, given, labels=[positive], average="macro")
            assert metrics[name] == pytest.approx(expected), name
