import math

import numpy as np
import pytest

from models.data.tasks import Task
from models.trials.metrics import class_metrics, class_probabilities, log_loss, regression_metrics
from models.trials.objective import METRICS


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
