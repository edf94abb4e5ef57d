import gc
import json
import platform
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from models.data.preparation.tasks import Task
from models.networks.families import build
from models.networks.inputs import Inputs
from models.networks.outputs import Outputs
from models.space.drawing import Values
from models.trials.trainers.base import EpochReport, Run, TrainingData, epoch_order
from models.trials.trainers.keras import KerasTrainer
from models.trials.trainers.numpy.regularization import Dropout
from models.trials.trainers.numpy.trainer import NumpyTrainer, subnormals_flushed

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(60, 5)).astype(np.float32)
Y = np.sin(X.sum(axis=1)).astype(np.float32)
DATA = TrainingData(X[:45], Y[:45], X[45:], Y[45:], Outputs.of(Task.REGRESSION))
VALUES: Values = {"num_layers": 2, "units": 24, "dropout": 0.3, "batch_size": 8}

HISTORY = """
import json, sys
from tests.trials.test_numpy_trainer import train
print(json.dumps(train().history))
"""


def train(values=VALUES, data=DATA, report=None, **options):
    options = {"epochs": 3, "seed": 1} | options
    run = Run(0, 0, network="mlp", values=values, **options)
    return NumpyTrainer().train([run], [data], report)[0]


def test_the_same_to_the_last_bit_whatever_was_trained_before():
    first = train()
    train({"num_layers": 4, "units": 100, "activation": "gelu"})
    again = train()
    assert first.history == again.history
    assert all(np.array_equal(a, b) for a, b in zip(first.weights, again.weights, strict=True))
    assert train(seed=2).history != first.history


def test_the_same_to_the_last_bit_in_another_process():
    done = subprocess.run([sys.executable, "-c", HISTORY], capture_output=True, check=True)
    assert json.loads(done.stdout) == train().history


def test_members_learn_by_their_own_losses_and_are_validated_by_their_mean():
    # A rate so small that the weights stay as they are.
    still = {"members": 4, "dropout": 0.0, "learning_rate": 1e-12}
    result = train(VALUES | still, epochs=1)
    for part, truth in (("", DATA.y_train), ("val_", DATA.y_validation)):
        outputs = result.validation_outputs if part else result.training_outputs
        of_mean = np.mean((outputs[:, 0] - truth) ** 2)
        [loss] = result.history[f"{part}loss"]
        # The mean of squared errors exceeds that of the mean by the variance of the members.
        assert loss == pytest.approx(of_mean, rel=1e-5) if part else loss > 1.05 * of_mean


@pytest.mark.parametrize("members", [1, 3])
def test_weights_fit_the_keras_network(members):
    values = VALUES | {"batch_normalization": True, "members": members}
    result = train(values)
    model = build("mlp", values, Inputs((5,)), DATA.outputs, 1)
    model.set_weights(result.weights)
    outputs = np.asarray(model(DATA.x_validation, training=False))
    np.testing.assert_allclose(outputs, result.validation_outputs, rtol=1e-5, atol=1e-6)
    assert result.parameters == model.count_params()


def test_epochs_are_reported_as_they_end():
    told: list[EpochReport] = []
    result = train(report=told.append, initial_epoch=1)
    assert [each.epoch for each in told] == [2, 3]
    assert [each.logs["val_loss"] for each in told] == result.history["val_loss"]


def test_a_run_that_diverges_is_the_last():
    values = VALUES | {"optimizer": "sgd", "learning_rate": 10.0}
    run = Run(0, 0, 1, "mlp", values, epochs=200)
    [result] = NumpyTrainer().train([run, run], [DATA])
    assert result.diverged
    assert result.epochs < 200


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.95])
def test_dropout_leaves_out_the_share_asked_for_and_keeps_the_mean(rate):
    signal, dropped = np.ones((1000, 200), np.float32), np.empty((1000, 200), np.float32)
    dropout = Dropout(rate, signal.shape)
    dropout.learn(signal, dropped, np.random.SFC64(1))
    left = np.mean(dropped == 0)
    deviation = np.sqrt(rate * (1 - rate) / signal.size)
    assert abs(left - rate) < 4 * deviation
    assert set(np.unique(dropped)) == {0, np.float32(dropped.max())}
    assert dropped.max() == pytest.approx(1 / (1 - rate), rel=1e-3)
    slope = np.full_like(signal, 2.0)
    dropout.back(slope)
    np.testing.assert_array_equal(slope, 2 * dropped)


def test_every_draw_of_dropout_is_another():
    signal, noise = np.ones((8, 8), np.float32), np.random.SFC64(1)
    dropout, draws = Dropout(0.5, signal.shape), [np.empty_like(signal) for _ in range(2)]
    for draw in draws:
        dropout.learn(signal, draw, noise)
    assert not np.array_equal(draws[0], draws[1])


def test_dropout_trains_as_in_keras_on_average():
    """Over many seeds the mean losses of both trainers agree, where single runs cannot."""
    values = {"num_layers": 1, "units": 64, "dropout": 0.5, "batch_size": 45}
    runs = [Run(0, 0, seed, "mlp", values, epochs=2) for seed in range(3)]
    reference, result = (
        np.mean([run.history["loss"] for run in trainer.train(runs, [DATA])], axis=0)
        for trainer in (KerasTrainer(), NumpyTrainer())
    )
    np.testing.assert_allclose(reference, result, rtol=0.15)


def test_an_order_holds_every_row_and_is_new_each_epoch():
    first, second = (epoch_order(5, epoch, 100) for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(100))
    assert list(first) != list(second)
    assert list(first) == list(epoch_order(5, 0, 100))
    assert list(first) != list(epoch_order(6, 0, 100))


def test_memory_stays_flat_over_trials_of_different_shapes():
    def shapes(count):
        for number in range(count):
            layers = 1 + number % 4
            units = [8 * (1 + (number * 7 + layer) % 20) for layer in range(layers)]
            train({"num_layers": layers, "units": units}, epochs=1)

    shapes(8)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    shapes(100)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 200_000


needs_flushing = pytest.mark.skipif(
    not sys.platform.startswith("linux") or platform.machine() not in ("x86_64", "aarch64"),
    reason="subnormal numbers are flushed on Linux only",
)
# Read at run time, so that no compiler computes the product.
TINY = np.array([1e-30, 1e-9], np.float32)


def tiny_product():
    return float(np.prod(TINY))


@needs_flushing
def test_subnormal_numbers_are_0_while_a_network_is_trained():
    products = []
    train(report=lambda epoch: products.append(tiny_product()))
    assert products == [0, 0, 0]
    assert tiny_product() > 0


@needs_flushing
def test_products_below_the_normal_numbers_are_0_within_the_block_only():
    with subnormals_flushed():
        assert tiny_product() == 0
        with subnormals_flushed():
            pass
        assert tiny_product() == 0
    assert tiny_product() > 0
    with pytest.raises(RuntimeError), subnormals_flushed():
        raise RuntimeError
    assert tiny_product() > 0
