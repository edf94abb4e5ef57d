"""Periodic embeddings and embeddings of categories: exact gradients, and both trainers alike."""

from functools import partial

import numpy as np
import pytest

from models.data.preparation.tasks import Task
from models.networks.families import build
from models.networks.inputs import Inputs, Stage, plan_stage
from models.networks.outputs import Outputs
from models.space.drawing import Values
from models.trials.trainers.base import Run, TrainingData
from models.trials.trainers.choice import TrainerChoice
from models.trials.trainers.keras import KerasTrainer
from models.trials.trainers.numpy.inputs import StagePass, initialize_stage, stage_views
from models.trials.trainers.numpy.layout import Weights, initialize, plan_layers
from models.trials.trainers.numpy.trainer import NumpyTrainer
from tests.trials import results

GENERATOR = np.random.default_rng(0)
INPUTS = Inputs((13,), 3, (2, 6))
X = np.hstack(
    [
        GENERATOR.normal(size=(60, 3)),
        np.eye(2)[GENERATOR.integers(2, size=60)],
        np.eye(6)[GENERATOR.integers(6, size=60)],
        GENERATOR.normal(size=(60, 2)),
    ]
).astype(np.float32)
Y = (np.sin(3 * X[:, 0]) + X[:, 5:11] @ GENERATOR.normal(size=6)).astype(np.float32)

PERIODIC: Values = {
    "numeric_encoding": "periodic",
    "frequencies": 3,
    "frequency_scale": 0.3,
    "numeric_embedding_size": 4,
}
EMBEDDING: Values = {"category_encoding": "embedding", "category_embedding_size": 3}
BOTH: Values = PERIODIC | EMBEDDING
VALUES: Values = {"num_layers": 2, "units": [16, 9], "batch_size": 8, "learning_rate": 0.01}

assert_same = partial(results.assert_same, close={"rtol": 2e-5, "atol": 1e-5})


def planned(values) -> Stage:
    stage = plan_stage(values, INPUTS)
    assert stage is not None
    return stage


def data(task=Task.REGRESSION):
    y = Y if task is Task.REGRESSION else np.digitize(Y, [-0.5, 0.5])
    outputs = Outputs.of(task, 3)
    rows = X[:45], y[:45], X[45:], y[45:]
    return TrainingData(*rows, outputs, numbers=3, categories=(2, 6))


def both(values, data, **options):
    run = Run(0, 0, 3, "mlp", VALUES | values, **({"epochs": 4} | options))
    return [trainer.train([run], [data])[0] for trainer in (KerasTrainer(), NumpyTrainer())]


@pytest.mark.parametrize("values", [PERIODIC, EMBEDDING, BOTH], ids=["periodic", "one", "both"])
def test_gradients_are_those_of_small_differences(values):
    stage = planned(values)
    flat = np.zeros(stage.parameters, np.float64)
    arrays, gradient = stage_views(flat, stage), np.zeros_like(flat)
    initialize_stage(arrays, stage, 1)
    signal = np.vstack([X[:20].T, np.ones((1, 20))])
    weights = np.random.default_rng(1).normal(size=(stage.outputs, 20))

    def loss():
        return float((StagePass(stage, arrays, None, 20).encode(signal)[:-1] * weights).sum())

    network = StagePass(stage, arrays, stage_views(gradient, stage), 20)
    network.encode(signal)
    network.slope[:] = weights
    network.learn(signal)
    step = 1e-6
    for place in range(len(flat)):
        kept = flat[place]
        flat[place] = kept + step
        above = loss()
        flat[place] = kept - step
        below = loss()
        flat[place] = kept
        assert gradient[place] == pytest.approx((above - below) / (2 * step), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(
    "values",
    [
        PERIODIC,
        EMBEDDING,
        BOTH,
        BOTH | {"num_layers": 0, "units": 1},
        BOTH | {"members": 3},
        BOTH | {"members": 2, "num_layers": 0, "units": 1, "global_clipnorm": 0.1},
        BOTH | {"scaling_layer": True},
        BOTH | {"batch_normalization": True, "optimizer": "sgd"},
        BOTH | {"weight_decay": 0.1, "optimizer": "adamw", "lr_schedule": "cosine"},
        BOTH | {"global_clipnorm": 0.1, "l2": 0.01, "optimizer": "sgd"},
        PERIODIC | {"frequencies": 1, "numeric_embedding_size": 1, "batch_size": 100},
    ],
    ids=str,
)
def test_both_trainers_give_the_same_network(values):
    assert_same(*both(values, data()))


def test_classes_and_a_parent():
    parent, _ = both(BOTH, data(Task.MULTICLASS), epochs=2)
    assert_same(
        *both(
            BOTH,
            data(Task.MULTICLASS),
            epochs=4,
            initial_epoch=2,
            initial_weights=parent.weights,
        )
    )


def test_all_parts_of_a_row_are_encoded():
    whole = TrainingData(X[:, :3], Y, X[:, :3], Y, Outputs.of(Task.REGRESSION), numbers=3)
    assert_same(*both(PERIODIC, whole))


def test_initial_weights_are_those_of_the_keras_network():
    values = VALUES | BOTH
    outputs = Outputs.of(Task.REGRESSION)
    stage = planned(values)
    plans = plan_layers(values, stage.outputs, outputs)
    weights = Weights(plans, stage)
    initialize(weights, plans, values, 11)
    wanted = build("mlp", values, INPUTS, outputs, 11).get_weights()
    assert weights.size == sum(array.size for array in wanted)
    assert all(np.array_equal(a, b) for a, b in zip(weights.arrays(), wanted, strict=True))


def test_a_wave_is_learned_that_plain_numbers_do_not_show():
    x = np.random.default_rng(0).uniform(-1.7, 1.7, size=(600, 1)).astype(np.float32)
    y = np.sin(20 * x[:, 0]).astype(np.float32)
    rows = TrainingData(x[:400], y[:400], x[400:], y[400:], Outputs.of(Task.REGRESSION), numbers=1)
    losses = {}
    for encoding in ("standard", "periodic"):
        values = VALUES | {"numeric_encoding": encoding}
        if encoding == "periodic":
            values |= {"frequency_scale": 2.0}
        (trained,) = NumpyTrainer().train([Run(0, 0, 1, "mlp", values, epochs=20)], [rows])
        losses[encoding] = min(trained.history["val_loss"])
    assert losses["periodic"] < losses["standard"] / 5


def test_numpy_trains_every_encoding():
    bins: Values = {"numeric_encoding": "piecewise", "bins": 4, "missing_indicators": True}
    for values in (BOTH, bins):
        assert TrainerChoice("auto", False, 0).name("mlp", values, 50, INPUTS, 1) == "numpy"
    # The arithmetic of the trained encodings counts.
    choice = TrainerChoice("auto", True, 3 * 32 * (13 * 64 + 64 * 64 + 64 + 1))
    assert choice.name("mlp", {}, 50, INPUTS, 1) == "numpy"
    assert choice.name("mlp", BOTH | {"frequencies": 128}, 50, INPUTS, 1) == "keras"
