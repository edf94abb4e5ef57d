"""A pack of networks gives each the answers that it would have alone, and those of Keras."""


import numpy as np
import pytest

from models.data.tasks import Task
from models.networks.outputs import Outputs
from models.trials.keras_trainer import KerasTrainer
from models.trials.numpy_trainer import NumpyTrainer
from models.trials.packs.trainer import PackTrainer
from models.trials.packs.work import Work
from models.trials.trainer import Run, TrainingData

# Rounding of float32 over 15 steps: 4e-6 was measured.
CLOSE = {"rtol": 2e-5, "atol": 1e-5}

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(50, 4)).astype(np.float32)
Y = np.sin(X @ np.array([1.0, -2.0, 0.5, 1.0])).astype(np.float32)
VALUES = {"num_layers": 2, "batch_size": 8, "learning_rate": 0.01}
# Networks that differ in all that may differ inside a pack.
WIDTHS = [[16, 9], [5, 20], [11, 11]]


def data(task=Task.REGRESSION, rows=37, features=4, **options):
    bounds = {Task.BINARY: [0], Task.MULTICLASS: [-0.5, 0.5]}
    y = Y if task is Task.REGRESSION else np.digitize(Y, bounds[task])
    x = X[:, :features]
    scale = 20.0 if task is Task.REGRESSION else 1.0
    # 37 rows leave five for the last batch of eight.
    return TrainingData(x[:rows], y[:rows], x[37:], y[37:], Outputs.of(task, 3), scale, **options)


def run(values, number=0, **options):
    options = {"epochs": 3, "seed": 3 + number, "execution": number, "fold": 0} | options
    return Run(network="mlp", values=VALUES | values, **options)


def train(trainer, runs, rows):
    """The results of trials of one run each."""
    return [trainer.train([each], rows)[0] for each in runs]


def together(runs, rows, report=None, trainer=None):
    """The same from one pack."""
    works = [Work([each], rows, report) for each in runs]
    (trainer or PackTrainer()).train_together(works)
    return [work.results()[0] for work in works]


def assert_same(reference, result):
    assert list(result.history) == list(reference.history)
    for name, figures in reference.history.items():
        np.testing.assert_allclose(result.history[name], figures, **CLOSE)
    for kept, wanted in zip(result.weights, reference.weights, strict=True):
        assert kept.dtype == wanted.dtype
        np.testing.assert_allclose(kept, wanted, **CLOSE)
    np.testing.assert_allclose(result.validation_outputs, reference.validation_outputs, **CLOSE)
    np.testing.assert_allclose(result.training_outputs, reference.training_outputs, **CLOSE)
    for figure in ("best_epoch", "epochs", "parameters", "diverged", "stopped"):
        assert getattr(result, figure) == getattr(reference, figure)


# Values for all networks of a pack, and those of each.
MATRIX = [
    (
        Task.REGRESSION,
        {"activation": ["relu", "selu"]},
        [
            {"optimizer": "adam"},
            {"optimizer": "adamw", "weight_decay": 0.1, "lr_schedule": "cosine"},
            {"l2": 0.01, "lr_schedule": "exponential", "learning_rate": 0.03},
        ],
    ),
    (
        Task.MULTICLASS,
        {"optimizer": "nadam", "activation": ["sigmoid", "softplus"]},
        [{}, {"l2": 0.1}, {"weight_decay": 0.01, "kernel_initializer": "he_normal"}],
    ),
    (
        Task.BINARY,
        {"optimizer": "sgd", "activation": ["leaky_relu", "linear"]},
        [{"momentum": 0.9}, {"learning_rate": 0.1}, {"momentum": 0.5, "weight_decay": 0.01}],
    ),
    (
        Task.REGRESSION,
        {"optimizer": "rmsprop", "activation": ["elu", "gelu"], "learning_rate": 0.001},
        [{"momentum": 0.9}, {}, {"kernel_initializer": "orthogonal"}],
    ),
    (
        Task.REGRESSION,
        {"optimizer": "adagrad", "activation": ["silu", "tanh"]},
        [{}, {"l2": 0.01}, {"learning_rate": 0.1}],
    ),
    (
        Task.REGRESSION,
        {"optimizer": "adamax", "batch_normalization": [True, False], "activation": "sigmoid"},
        [{}, {"l2": 0.01}, {"learning_rate": 0.1}],
    ),
]


@pytest.mark.parametrize(
    ("task", "common", "own"),
    MATRIX,
    ids=[common.get("optimizer", "adam") for _, common, _ in MATRIX],
)
def test_a_pack_gives_the_answers_of_keras_and_of_each_network_alone(task, common, own):
    runs = [
        run(common | values | {"units": units}, number)
        for number, (values, units) in enumerate(zip(own, WIDTHS, strict=True))
    ]
    rows = [data(task)]
    packed = together(runs, rows)
    assert_same(KerasTrainer().train(runs[:1], rows)[0], packed[0])
    for reference, result in zip(train(NumpyTrainer(), runs, rows), packed, strict=True):
        assert_same(reference, result)
