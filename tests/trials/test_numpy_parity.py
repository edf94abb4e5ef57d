"""The NumPy trainer gives the answers of the reference trainer, from the same seed."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from models.data.preparation.tasks import Task
from models.networks.families import build
from models.networks.inputs import Inputs
from models.networks.outputs import Outputs
from models.space.drawing import Values
from models.space.hyperparameters import ACTIVATIONS, INITIALIZERS
from models.trials.monitor import Monitor
from models.trials.spec import EarlyStopping
from models.trials.trainers.base import Run, TrainingData, epoch_order
from models.trials.trainers.keras import KerasTrainer, released
from models.trials.trainers.numpy.layout import Weights, initialize, plan_layers
from models.trials.trainers.numpy.trainer import NumpyTrainer
from tests.trials import results

# Rounding of float32 over 20 steps: 1e-6 was measured, 2e-6 with nadam.
CLOSE: dict[str, Any] = {"rtol": 1e-5, "atol": 5e-6}

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(50, 4)).astype(np.float32)
Y = np.sin(X @ np.array([1.0, -2.0, 0.5, 1.0])).astype(np.float32)
# A row that does not count, and weights that do not average 1.
WEIGHTS = GENERATOR.gamma(1.0, 2.0, size=37).astype(np.float32)
WEIGHTS[5] = 0
VALUES: Values = {"num_layers": 2, "units": [16, 9], "batch_size": 8, "learning_rate": 0.01}


def data(task=Task.REGRESSION, x=X, weights=None):
    y = (
        Y
        if task is Task.REGRESSION
        else np.digitize(Y, [0] if task is Task.BINARY else [-0.5, 0.5])
    )
    scale = 20.0 if task is Task.REGRESSION else 1.0
    # 37 rows leave five for the last batch of eight.
    # A mean of 1.5 deviations, so that no number of a regression is below 0.
    outputs = Outputs.of(task, 3, mean=1.5)
    return TrainingData(x[:37], y[:37], x[37:], y[37:], outputs, scale, weights)


def both(values, data, **options):
    options = {"epochs": 4, "seed": 3} | options
    run = Run(0, 0, network="mlp", values=VALUES | values, **options)
    return [trainer.train([run], [data])[0] for trainer in (KerasTrainer(), NumpyTrainer())]


assert_same = partial(results.assert_same, close=CLOSE)


@pytest.mark.parametrize(
    "values",
    [
        {"optimizer": "adam"},
        {"optimizer": "adamw", "weight_decay": 0.1},
        {"optimizer": "nadam", "weight_decay": 0.01},
        {"optimizer": "sgd", "weight_decay": 0.01},
        {"optimizer": "sgd", "momentum": 0.9},
        {"optimizer": "rmsprop"},
        {"optimizer": "rmsprop", "momentum": 0.9, "learning_rate": 0.001},
        {"optimizer": "adagrad"},
        {"optimizer": "adamax"},
        {"l2": 0.01},
        {"l1": 0.01, "l2": 0.001},
        {"loss": "mae"},
        {"loss": "huber", "huber_delta": 0.3},
        {"loss": "quantile", "quantile": 0.9},
        {"loss": "poisson", "l2": 0.01},
        {"optimizer": "adam", "beta_1": 0.5, "beta_2": 0.9},
        {"optimizer": "nadam", "beta_1": 0.0, "beta_2": 0.99},
        {"optimizer": "adamax", "beta_1": 0.8, "beta_2": 0.5},
        {"optimizer": "sgd", "global_clipnorm": 0.1, "batch_normalization": True, "l1": 0.01},
        {"global_clipnorm": 1000.0},
        {"batch_normalization": True},
        {"batch_normalization": True, "num_layers": 3, "units": 8, "activation": "tanh"},
        {"lr_schedule": "cosine"},
        {"lr_schedule": "flat_cosine"},
        {"warmup": 0.5},
        {"lr_schedule": "flat_cosine", "warmup": 0.1, "optimizer": "sgd"},
        {"lr_schedule": "exponential", "optimizer": "sgd"},
        {"members": 3},
        {"scaling_layer": True, "batch_normalization": True, "l2": 0.01},
        {"members": 2, "batch_normalization": [True, False], "l1": 0.01, "l2": 0.001},
        {"members": 2, "num_layers": 0, "units": 1, "global_clipnorm": 0.1},
        {"members": 2, "loss": "poisson", "num_layers": 1, "units": 8},
        {"num_layers": 0, "units": 1},
        {"batch_size": 100},
        {"batch_size": 36},
        {"batch_size": 1},
        {"batch_size": 4, "num_layers": 12, "units": 32},
    ],
    ids=str,
)
def test_every_hyperparameter(values):
    assert_same(*both(values, data()))


@pytest.mark.parametrize("first", [0, 5, len(ACTIVATIONS) - 5])
def test_activations(first):
    chosen = list(ACTIVATIONS[first : first + 5])
    assert_same(*both({"num_layers": 5, "units": 8, "activation": chosen}, data()))


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("task", [Task.BINARY, Task.MULTICLASS])
def test_classes(task, smoothing, members):
    assert_same(*both({"label_smoothing": smoothing, "members": members}, data(task)))


@pytest.mark.parametrize(
    ("task", "values", "x"),
    [
        (Task.REGRESSION, {"l2": 0.01, "batch_normalization": True}, X),
        (Task.BINARY, {"optimizer": "sgd"}, X * 30),  # probabilities that round to 0 and 1
        (Task.MULTICLASS, {"l2": 0.01}, X),
        (Task.MULTICLASS, {"label_smoothing": 0.1}, X),
        (Task.MULTICLASS, {"members": 3}, X),
        (Task.REGRESSION, {"members": 2, "loss": "huber"}, X),
        (Task.REGRESSION, {"loss": "quantile", "quantile": 0.2}, X),
    ],
    ids=str,
)
def test_weights_of_rows(task, values, x):
    weighted = both(values, data(task, x, WEIGHTS))
    assert_same(*weighted)
    [plain] = NumpyTrainer().train(
        [Run(0, 0, 3, "mlp", VALUES | values, epochs=4)], [data(task, x)]
    )
    assert plain.history["val_loss"] != weighted[1].history["val_loss"]


@pytest.mark.parametrize("task", Task)
def test_weighted_losses_and_weights_are_those_of_plain_keras_fit(task):
    # Nothing of ours but the network; without penalties its own loss is the one to compare with.
    whole, kept = data(task, weights=WEIGHTS), []
    [result] = NumpyTrainer().train([Run(0, 0, 3, "mlp", VALUES, epochs=4)], [whole])
    unit = whole.target_scale**2
    validation = (whole.x_validation, whole.y_validation.reshape(-1, 1))
    with released():
        model = build("mlp", VALUES, Inputs((4,)), whole.outputs, 3)
        for epoch in range(4):
            order = epoch_order(3, epoch, 37)
            fitted = model.fit(
                whole.x_train[order],
                whole.y_train[order].reshape(-1, 1),
                sample_weight=WEIGHTS[order],
                validation_data=validation,
                batch_size=8,
                shuffle=False,
                verbose=0,
            )
            kept.append(model.get_weights())
            for name in ("loss", "val_loss"):
                [figure] = fitted.history[name]
                np.testing.assert_allclose(result.history[name][epoch], figure * unit, **CLOSE)
    for ours, theirs in zip(result.weights, kept[result.best_epoch - 1], strict=True):
        np.testing.assert_allclose(ours, theirs, **CLOSE)


@pytest.mark.parametrize(("batch", "rate", "seed"), [(4, 0.02, 1), (8, 0.01, 0)])
def test_the_best_weights_outlive_worse_epochs(batch, rate, seed):
    values = {"batch_size": batch, "units": 32, "learning_rate": rate}
    reference, result = both(values, data(), epochs=9, seed=seed)
    # Better, worse and better again, and not the best at the end.
    losses = result.history["val_loss"]
    signs = np.sign(np.diff(losses[: result.best_epoch]))
    assert -1 in signs
    assert 1 in signs
    assert result.best_epoch < 9
    np.testing.assert_allclose(losses, reference.history["val_loss"], rtol=1e-3)
    for ours, theirs in zip(result.weights, reference.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)


def test_confident_classes():
    # Probabilities that round to 0 and 1: the loss must come from the scores.
    assert_same(*both({"optimizer": "sgd", "num_layers": 0}, data(Task.BINARY, x=X * 30)))


def test_images():
    assert_same(*both({}, data(x=X.reshape(50, 2, 2))))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_reduce_on_plateau():
    # A rate this high jumps about the optimum, so that the loss stops getting better.
    values = {"num_layers": 0, "optimizer": "sgd", "learning_rate": 0.3, "batch_size": 3}
    reference, result = both(values | {"lr_schedule": "reduce_on_plateau"}, data(), epochs=12)
    assert_same(reference, result)
    _, constant = both(values, data(), epochs=12)
    assert result.history != constant.history


@pytest.mark.parametrize("schedule", ["constant", "cosine", "flat_cosine", "exponential"])
def test_going_on_from_a_parent(schedule):
    values = {"lr_schedule": schedule, "warmup": 0.5}
    parent, _ = both(values, data(), epochs=2)
    children = both(values, data(), epochs=5, initial_epoch=2, initial_weights=parent.weights)
    assert_same(*children)
    assert children[1].epochs == 5


def test_a_schedule_that_is_longer_than_the_training():
    values = {"lr_schedule": "cosine", "warmup": 0.1}
    whole = both(values, data(), epochs=8)
    first = both(values, data(), epochs=3, schedule_epochs=8)
    assert_same(*first)
    for long, short in zip(whole, first, strict=True):
        assert long.history["loss"][:3] == short.history["loss"]


def test_early_stopping():
    values = {"optimizer": "sgd", "learning_rate": 0.5, "batch_size": 3}
    reference, result = both(values, data(), epochs=30, early_stopping=EarlyStopping(3, 0.1))
    assert_same(reference, result)
    assert 3 < result.epochs < 30


@pytest.mark.parametrize(
    "monitor",
    [
        Monitor("accuracy", "max"),
        Monitor("balanced_accuracy", "max"),
        Monitor("auc", "max"),
        Monitor(by_class_weight=True),
    ],
    ids=lambda monitor: monitor.series,
)
def test_the_monitored_metric(monitor):
    whole = replace(data(Task.BINARY), weights_validation=WEIGHTS[:13])
    rule = EarlyStopping(3)
    reference, result = both({}, whole, epochs=12, early_stopping=rule, monitor=monitor)
    assert_same(reference, result)
    assert list(result.history)[-1] == monitor.series or monitor.metric == "accuracy"


def test_divergence():
    reference, result = both({"optimizer": "sgd", "learning_rate": 10.0}, data(), epochs=50)
    assert result.diverged
    assert reference.diverged
    assert (result.epochs, result.best_epoch) == (reference.epochs, reference.best_epoch)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"batch_size": 100},
        {"batch_size": 37, "batch_normalization": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
def test_validation_on_the_training_rows(values, weights):
    rows = data().x_train, data().y_train
    same = TrainingData(*rows, *rows, Outputs.of(Task.REGRESSION), weights_train=weights)
    assert_same(*both(values, same))


def test_a_few_rows_that_are_validated_on():
    rows = X[:4], np.array([0, 1, 1, 0])
    xor = TrainingData(*rows, *rows, Outputs.of(Task.BINARY))
    values = {"batch_size": 4, "num_layers": 6, "units": 32}
    assert_same(*both(values, xor, epochs=8))


@pytest.mark.parametrize(
    ("initializer", "members"), [*((name, 1) for name in INITIALIZERS), ("he_normal", 4)]
)
def test_initial_weights_are_those_of_the_keras_network(initializer, members):
    values = VALUES | {"kernel_initializer": initializer, "batch_normalization": [False, True]}
    values["members"] = members
    wanted = build("mlp", values, Inputs((4,)), Outputs.of(Task.MULTICLASS, 3), 11).get_weights()
    plans = plan_layers(values, 4, Outputs.of(Task.MULTICLASS, 3))
    weights = Weights(plans)
    initialize(weights, plans, values, 11)
    assert all(np.array_equal(a, b) for a, b in zip(weights.arrays(), wanted, strict=True))
