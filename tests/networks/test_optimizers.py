import keras
import numpy as np
import pytest

from models.data.preparation.tasks import Task
from models.networks.families import build
from models.networks.inputs import Inputs
from models.networks.optimizers import create_optimizer, plateau_callbacks
from models.networks.outputs import Outputs
from models.networks.steps import Steps, default_epochs, default_patience
from models.space.drawing import Values
from models.space.hyperparameters import OPTIMIZERS
from models.trials.trainers.numpy.optimizers import Rates

KERAS_CLASSES = {
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "nadam": keras.optimizers.Nadam,
    "sgd": keras.optimizers.SGD,
    "rmsprop": keras.optimizers.RMSprop,
    "adagrad": keras.optimizers.Adagrad,
    "adamax": keras.optimizers.Adamax,
}
X = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
Y = X[:, :1] * 2


def weights_after_training(values):
    keras.utils.set_random_seed(0)
    values = {"num_layers": 0, "learning_rate": 0.01, **values}
    model = build("mlp", values, Inputs((3,)), Outputs.of(Task.REGRESSION), seed=1)
    for _ in range(3):
        model.train_on_batch(X, Y)
    return model.get_weights()[0]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_and_learning_rate(name):
    optimizer = create_optimizer({"optimizer": name, "learning_rate": 0.02}, Steps(10))
    assert type(optimizer) is KERAS_CLASSES[name]
    assert float(optimizer.learning_rate) == pytest.approx(0.02)


def test_learning_rate_changes_the_training():
    slow = weights_after_training({"learning_rate": 0.001})
    fast = weights_after_training({"learning_rate": 0.1})
    assert not np.allclose(slow, fast)


@pytest.mark.parametrize("name", ["sgd", "rmsprop"])
def test_momentum_changes_the_training(name):
    assert create_optimizer({"optimizer": name, "momentum": 0.9}, Steps(1)).momentum == 0.9
    without = weights_after_training({"optimizer": name})
    with_momentum = weights_after_training({"optimizer": name, "momentum": 0.9})
    assert not np.allclose(without, with_momentum)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weight_decay_shrinks_the_kernel_with_every_optimizer(name):
    free = weights_after_training({"optimizer": name})
    decayed = weights_after_training({"optimizer": name, "weight_decay": 1.0})
    assert np.linalg.norm(decayed) < np.linalg.norm(free)


def test_adamw_without_decay_is_adam():
    adam = weights_after_training({"optimizer": "adam"})
    adamw = weights_after_training({"optimizer": "adamw"})
    assert np.array_equal(adam, adamw)


@pytest.mark.parametrize(
    ("schedule", "half", "later", "end"),
    [
        ("cosine", 0.5, 0.146447, 0.0),
        ("flat_cosine", 1.0, 0.5, 0.0),
        ("exponential", 0.1, 0.1**1.5, 0.01),
    ],
)
def test_schedules_fall_over_the_whole_training(schedule, half, later, end):
    values = {"lr_schedule": schedule, "learning_rate": 0.2}
    rate = create_optimizer(values, Steps(total=100))._learning_rate
    assert float(rate(0)) == pytest.approx(0.2)
    assert float(rate(50)) == pytest.approx(0.2 * half)
    assert float(rate(75)) == pytest.approx(0.2 * later, rel=1e-5)
    assert float(rate(100)) == pytest.approx(0.2 * end, abs=1e-7)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "flat_cosine", "exponential"])
def test_the_rate_rises_linearly_during_the_warm_up(schedule):
    values = {"lr_schedule": schedule, "learning_rate": 0.2}
    plain = Rates.of(values, Steps(total=100))
    warm = create_optimizer(values | {"warmup": 0.2}, Steps(total=100, done=3))._learning_rate
    for step in (0, 9, 16, 17, 60):
        factor = min(1.0, (step + 4) / 20)
        assert float(warm(step)) == pytest.approx(plain.at(step + 3) * factor, rel=1e-5)


@pytest.mark.parametrize(
    ("network", "rows", "batch", "epochs"),
    [
        ("mlp", 1, 32, 200),
        ("mlp", 300, 32, 200),
        ("mlp", 2560, 32, 100),
        ("mlp", 2560, 64, 200),
        ("mlp", 10**6, 32, 20),
        ("cnn", 1258, 32, 50),
    ],
)
def test_epochs_follow_a_number_of_steps(network, rows, batch, epochs):
    assert default_epochs(network, rows, batch) == epochs
    assert default_patience(epochs) == max(10, epochs // 8)


@pytest.mark.parametrize("schedule", ["cosine", "flat_cosine", "exponential"])
def test_a_continued_training_enters_its_schedule_where_the_parent_left(schedule):
    values = {"lr_schedule": schedule, "learning_rate": 0.2}
    whole = create_optimizer(values, Steps(total=100))._learning_rate
    rest = create_optimizer(values, Steps(total=100, done=30))._learning_rate
    assert float(rest(20)) == pytest.approx(float(whole(50)))


def test_reduce_on_plateau_halves_the_rate_after_five_epochs():
    values: Values = {
        "lr_schedule": "reduce_on_plateau",
        "learning_rate": 0.2,
        "num_layers": 0,
    }
    [callback] = plateau_callbacks(values, "val_loss")
    model = build("mlp", values, Inputs((3,)), Outputs.of(Task.REGRESSION), seed=1)
    callback.set_model(model)
    callback.on_train_begin()
    rates = []
    for epoch, loss in enumerate([1.0, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9]):
        callback.on_epoch_end(epoch, {"val_loss": loss})
        rates.append(round(float(model.optimizer.learning_rate), 6))
    assert rates == [0.2] * 6 + [0.1] * 2
    assert plateau_callbacks({"lr_schedule": "constant"}, "val_loss") == []
