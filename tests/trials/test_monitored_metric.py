"""The best epoch and the end of a training follow the monitored metric."""

from dataclasses import replace

import numpy as np
import pytest

from models.data.preparation.splitting import Evaluation
from models.data.preparation.tasks import Task
from models.errors import Invalid
from models.networks.outputs import Outputs
from models.trials.monitor import (
    VALIDATION_LOSS,
    Monitor,
    monitored_metric,
    resolve_early_stopping,
)
from models.trials.run import run_trial
from models.trials.spec import EarlyStopping, Objective
from models.trials.trainers.base import Recorder, Run, TrainingData
from tests.trials.results import history, metrics

X = np.zeros((4, 1), np.float32)
LOSS, F1 = Objective("loss", "min"), Objective("f1", "max")
ACCURACY = Monitor("accuracy", "max")


def recorded(
    monitor: Monitor,
    figures: list[float],
    rule: EarlyStopping | None = None,
    losses: list[float] | None = None,
) -> Recorder:
    """Record epochs of these validation accuracies until the training ends."""
    y = np.array([1, 1, 1, 1])
    data = TrainingData(X, y, X, y, Outputs.of(Task.BINARY))
    run = Run(0, 0, 1, "mlp", {}, len(figures), early_stopping=rule, monitor=monitor)
    recorder = Recorder(run, data)
    for epoch, figure in enumerate(figures, start=1):
        loss = losses[epoch - 1] if losses else 1.0
        recorder.record(epoch, 1.0, loss, figure, figure, lambda: np.full((4, 1), 0.5))
        if recorder.ended:
            break
    return recorder


def trained(recorder: Recorder) -> int:
    return len(recorder.history["loss"])


def test_the_first_of_equal_epochs_is_the_best() -> None:
    assert recorded(ACCURACY, [0.5, 0.8, 0.7, 0.8]).best_epoch == 2


def test_the_loss_does_not_matter_where_another_metric_is_monitored() -> None:
    assert recorded(ACCURACY, [0.5, 0.8, 0.7], losses=[3.0, 2.0, 1.0]).best_epoch == 2


def test_an_improvement_is_measured_in_the_units_of_the_metric() -> None:
    recorder = recorded(ACCURACY, [0.5, 0.55, 0.58, 0.9], EarlyStopping(2, min_delta=0.1))
    assert trained(recorder) == 3
    assert recorder.best_epoch == 3


@pytest.mark.parametrize(("start", "epochs", "best"), [(0, 3, 1), (2, 5, 3), (9, 6, 1)])
def test_early_epochs_count_neither_for_the_patience_nor_as_the_best(start, epochs, best) -> None:
    figures = [0.9, 0.1, 0.5, 0.4, 0.3, 0.2]
    recorder = recorded(ACCURACY, figures, EarlyStopping(2, start_from_epoch=start))
    assert (trained(recorder), recorder.best_epoch) == (epochs, best)


def test_the_loss_decides_where_the_metric_is_undefined() -> None:
    auc = Monitor("auc", "max")
    recorder = recorded(auc, [0.5] * 5, EarlyStopping(2), losses=[3.0, 1.0, 2.0, 2.0, 0.5])
    assert (trained(recorder), recorder.best_epoch) == (4, 2)
    assert np.isnan(recorder.history["val_auc"]).all()


@pytest.mark.parametrize(
    ("task", "objective", "rule", "weight", "expected"),
    [
        (Task.REGRESSION, LOSS, None, None, VALIDATION_LOSS),
        (Task.REGRESSION, Objective("r2", "max"), EarlyStopping(), None, VALIDATION_LOSS),
        (Task.REGRESSION, Objective("mae", "min"), None, None, Monitor("mae", "min")),
        (Task.BINARY, F1, None, None, Monitor("f1", "max")),
        (Task.BINARY, F1, EarlyStopping(), "balanced", Monitor("f1", "max")),
        (Task.BINARY, F1, EarlyStopping(metric="auc"), None, Monitor("auc", "max")),
        (Task.BINARY, F1, EarlyStopping(metric="loss"), None, VALIDATION_LOSS),
        (Task.BINARY, LOSS, None, "balanced", Monitor(by_class_weight=True)),
        (
            Task.BINARY,
            F1,
            EarlyStopping(metric="log_loss"),
            "balanced",
            Monitor("loss", "min", True),
        ),
    ],
)
def test_what_is_monitored(task, objective, rule, weight, expected) -> None:
    assert monitored_metric(task, objective, rule, weight) == expected


def test_the_metric_of_early_stopping_is_one_of_the_task() -> None:
    asked = EarlyStopping(metric="val_f1")
    assert resolve_early_stopping(Task.BINARY, asked) == replace(asked, metric="f1")
    assert resolve_early_stopping(Task.BINARY, None) is None
    with pytest.raises(Invalid, match="not a metric of a regression task") as refusal:
        resolve_early_stopping(Task.REGRESSION, asked)
    assert list(refusal.value.errors) == ["early_stopping.metric"]


@pytest.fixture
def rare(stored):
    """Rows of which one in 16 is of the class that is to be found."""
    generator = np.random.default_rng(0)
    ill = generator.random(800) < 1 / 16
    columns = {f"x{number}": generator.normal(size=800) + 0.9 * ill for number in range(4)}
    evaluation = Evaluation(validation_fraction=0.3, test_fraction=0.1)
    return stored({**columns, "y": ill.astype(float)}, Task.BINARY, evaluation)


NETWORK = {"num_layers": 2, "units": 64, "optimizer": "adam", "learning_rate": 0.01}


def test_training_on_does_not_lose_the_rare_class(rare, trial) -> None:
    weighted = replace(rare, class_weight="balanced")
    results = {epochs: run_trial(trial(weighted, NETWORK, epochs=epochs)) for epochs in (3, 40)}
    few, many = (metrics(result)["recall"] for result in results.values())
    assert many >= few - 0.1
    curve = history(results[40])["val_weighted_loss"]
    assert results[40].best_epoch == np.argmin(curve) + 1
    # The unweighted loss would choose an epoch that finds fewer of them.
    assert np.argmin(curve) < np.argmin(history(results[40])["val_loss"])


def test_the_kept_epoch_has_the_best_score(rare, trial) -> None:
    objective = Objective("balanced_accuracy", "max")
    result = run_trial(trial(rare, NETWORK, epochs=15, objective=objective))
    curve = history(result)["val_balanced_accuracy"]
    assert len(curve) == 15
    assert result.best_epoch == np.argmax(curve) + 1
    assert result.score == pytest.approx(max(curve))
    assert result.best_epoch != np.argmin(history(result)["val_loss"]) + 1


def test_the_named_class_is_monitored() -> None:
    truth, outputs = np.array([0, 0, 1]), np.array([[0.1], [0.6], [0.4]])
    found = [
        Monitor("recall", "max").measure(Task.BINARY, truth, outputs, None, positive)
        for positive in (0, 1, None)
    ]
    assert found == [0.5, 0.0, 0.0]
