import functools
import gc
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.data.preparation.tasks import Task
from models.networks.outputs import Outputs
from models.space.drawing import Values
from models.trials.spec import EarlyStopping
from models.trials.trainers.base import EpochReport, Run, TrainingData
from models.trials.trainers.keras import KerasTrainer

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(40, 3)).astype(np.float32)
Y = (X @ np.array([1.0, -2.0, 0.5])).astype(np.float32)
DATA = TrainingData(X[:30], Y[:30], X[30:], Y[30:], Outputs.of(Task.REGRESSION))
LINEAR: Values = {"num_layers": 0, "optimizer": "sgd", "learning_rate": 0.1, "batch_size": 10}


def train(values=LINEAR, data=DATA, **options):
    options = {"epochs": 2, "seed": 1} | options
    run = Run(fold=0, execution=0, network="mlp", values=values, **options)
    return KerasTrainer().train([run], [data])[0]


def losses(result):
    return result.history["val_loss"]


@functools.cache
def losses_with(changed):
    return losses(train(LINEAR | dict(changed)))


def test_training_learns_and_records_every_epoch():
    result = train(epochs=20)
    assert set(result.history) == {"loss", "val_loss", "mae", "val_mae"}
    assert [len(figures) for figures in result.history.values()] == [20] * 4
    assert losses(result)[-1] < 0.01 * losses(result)[0]
    assert result.epochs == 20
    assert result.parameters == 4
    assert result.seconds > 0
    assert not result.diverged


@pytest.mark.parametrize(
    "changed",
    [
        {"num_layers": 1},
        {"num_layers": 1, "units": 8},
        {"num_layers": 1, "units": 8, "activation": "tanh"},
        {"num_layers": 1, "units": 8, "dropout": 0.5},
        {"num_layers": 1, "units": 8, "batch_normalization": True},
        {"kernel_initializer": "he_normal"},
        {"l2": 0.1},
        {"optimizer": "adam"},
        {"learning_rate": 0.05},
        {"momentum": 0.5},
        {"weight_decay": 0.1},
        {"lr_schedule": "cosine"},
        {"lr_schedule": "exponential"},
        {"batch_size": 7},
    ],
    ids=str,
)
def test_every_hyperparameter_changes_the_training(changed):
    before = tuple((name, changed[name]) for name in list(changed)[:-1])
    assert losses_with(before) != losses_with(tuple(changed.items()))


def test_reduce_on_plateau_changes_a_training_that_has_stalled():
    # A rate this high jumps about the optimum, so that the loss stops getting better.
    values = LINEAR | {"learning_rate": 0.9, "batch_size": 3}
    constant, lowered = (
        train(values | {"lr_schedule": schedule}, epochs=9)
        for schedule in ("constant", "reduce_on_plateau")
    )
    assert losses(constant)[:5] == losses(lowered)[:5]
    assert losses(constant) != losses(lowered)


def test_batch_size_is_the_rows_of_one_step():
    one_step = train(LINEAR | {"num_layers": 0, "batch_size": 30}, epochs=1)
    larger_than_the_data = train(LINEAR | {"num_layers": 0, "batch_size": 8192}, epochs=1)
    three_steps = train(epochs=1)
    assert losses(one_step) == losses(larger_than_the_data) != losses(three_steps)


def test_figures_are_in_own_units():
    scaled = TrainingData(X[:30], Y[:30], X[30:], Y[30:], DATA.outputs, target_scale=100.0)
    plain, own = train(), train(data=scaled)
    assert own.history["loss"] == pytest.approx([v * 1e4 for v in plain.history["loss"]])
    assert own.history["val_mae"] == pytest.approx([v * 100 for v in plain.history["val_mae"]])
    assert own.best_epoch == plain.best_epoch


def test_history_leaves_weight_penalties_out():
    result = train(LINEAR | {"l2": 1.0}, epochs=1)
    truth, outputs = DATA.y_validation, result.validation_outputs[:, 0]
    assert losses(result)[0] == pytest.approx(float(((truth - outputs) ** 2).mean()), rel=1e-5)


def test_the_best_weights_are_the_ones_kept():
    # Rising batch noise makes later epochs worse; the best one must come back.
    result = train(LINEAR | {"learning_rate": 0.6, "batch_size": 3}, epochs=8)
    assert result.best_epoch == 1 + int(np.argmin(losses(result)))
    assert result.best_epoch < 8
    squared = (DATA.y_validation - result.validation_outputs[:, 0]) ** 2
    assert float(squared.mean()) == pytest.approx(min(losses(result)), rel=1e-4)
    kernel, bias = result.weights
    assert DATA.x_validation @ kernel + bias == pytest.approx(result.validation_outputs, rel=1e-4)


def test_early_stopping_waits_for_patience_epochs():
    crawling = LINEAR | {"learning_rate": 1e-9}
    stopped = train(crawling, epochs=9, early_stopping=EarlyStopping(2, min_delta=0.1))
    assert stopped.epochs == 3
    going_on = train(epochs=5, early_stopping=EarlyStopping(2, min_delta=0.0))
    assert going_on.epochs == 5


def test_min_delta_is_in_own_units():
    scaled = TrainingData(X[:30], Y[:30], X[30:], Y[30:], DATA.outputs, target_scale=1000.0)
    rule = EarlyStopping(1, min_delta=100.0)
    assert train(epochs=4, early_stopping=rule).epochs == 2
    assert train(data=scaled, epochs=3, early_stopping=rule).epochs == 3


def test_divergence_ends_a_run_and_the_trial():
    run = Run(0, 0, 1, "mlp", LINEAR | {"learning_rate": 10.0}, epochs=200)
    results = KerasTrainer().train([run, run], [DATA])
    assert len(results) == 1
    assert results[0].diverged
    assert results[0].epochs < 200


def test_a_run_goes_on_from_given_weights():
    parent = train(epochs=3)
    child = train(epochs=5, initial_epoch=3, initial_weights=parent.weights)
    assert child.epochs == 5
    assert len(losses(child)) == 2
    assert child.best_epoch in (4, 5)
    assert losses(child)[0] < losses(parent)[0]


def test_one_validation_row_is_enough():
    data = TrainingData(X[:30], Y[:30], X[30:31], Y[30:31], DATA.outputs)
    assert len(losses(train(data=data))) == 2


@pytest.mark.parametrize(("task", "classes"), [(Task.BINARY, 2), (Task.MULTICLASS, 3)])
def test_classes(task, classes):
    y = np.digitize(Y, [0] if classes == 2 else [-1, 1])
    data = TrainingData(X[:30], y[:30], X[30:], y[30:], Outputs.of(task, classes))
    result = train(LINEAR | {"learning_rate": 1.0}, data=data, epochs=30)
    assert set(result.history) == {"loss", "val_loss", "accuracy", "val_accuracy"}
    assert result.history["accuracy"][-1] > 0.85
    assert result.validation_outputs.shape == (10, 1 if classes == 2 else 3)


def test_epochs_are_reported_as_they_end():
    told: list[EpochReport] = []
    run = Run(2, 1, 1, "mlp", LINEAR, epochs=3, initial_epoch=1)
    [result] = KerasTrainer().train([run], [DATA] * 3, told.append)
    assert [(each.fold, each.execution, each.epoch) for each in told] == [(2, 1, 2), (2, 1, 3)]
    assert [each.logs["val_loss"] for each in told] == losses(result)


def test_nothing_of_a_trial_stays_in_memory():
    def found() -> list[Any]:
        return [each for each in gc.get_objects() if isinstance(each, keras.Model | tf.Graph)]

    before = found()  # what other tests left, and is not collected yet, does not count
    train({"num_layers": 1, "units": 4})
    kept = [each for each in found() if not any(each is other for other in before)]
    assert {type(each).__name__ for each in kept} <= {"Graph"}  # TensorFlow's own default graph


def test_seeds_decide_weights_and_order():
    values = {"num_layers": 1, "units": 8, "dropout": 0.3, "batch_size": 7}
    first, again, other = (train(values, seed=seed) for seed in (5, 5, 6))
    assert first.history == again.history
    assert all(np.array_equal(a, b) for a, b in zip(first.weights, again.weights, strict=True))
    assert first.history != other.history


def test_long_trainings_are_compiled_otherwise_but_come_to_the_same():
    x, y = np.tile(X, (2, 1))[:70], np.tile(Y, 2)[:70]
    data = TrainingData(x, y, X, Y, DATA.outputs)
    values = LINEAR | {"batch_size": 1, "learning_rate": 0.01}
    short = train(values, data=data, epochs=14)
    long = train(values, data=data, epochs=15)
    assert losses(short) == pytest.approx(losses(long)[:14], rel=1e-5)
