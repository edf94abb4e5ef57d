import pytest

from models.space.hyperparameters import ACTIVATIONS, OPTIMIZERS, SCHEDULES, hyperparameters_of
from models.trials.run import run_trial, run_trial_with
from models.trials.trainers.choice import choose_trainer, prefer
from models.trials.trainers.keras import KerasTrainer


def test_numpy_trains_whatever_a_perceptron_can_be():
    values = {name: row.default for name, row in hyperparameters_of("mlp").items()}
    assert choose_trainer("mlp", values).name == "numpy"
    for name, choices in {
        "activation": ACTIVATIONS,
        "optimizer": OPTIMIZERS,
        "lr_schedule": SCHEDULES,
    }.items():
        assert all(choose_trainer("mlp", {name: each}).name == "numpy" for each in choices)
    assert choose_trainer("mlp", {"activation": list(ACTIVATIONS)}).name == "numpy"


@pytest.mark.parametrize(
    ("network", "values"),
    [
        ("cnn", {}),
        ("mlp", {"optimizer": "lion"}),
        ("mlp", {"activation": ["relu", "mish"]}),
        ("mlp", {"lr_schedule": "warm_restarts"}),
        ("mlp", {"residual": True}),
    ],
)
def test_keras_trains_the_rest(network, values):
    assert choose_trainer(network, values).name == "keras"


@pytest.fixture
def preferred():
    yield prefer
    prefer("auto")


@pytest.mark.parametrize("name", ["numpy", "pack", "keras"])
def test_a_process_trains_with_what_it_was_told_to(preferred, name):
    preferred(name)
    assert choose_trainer("mlp", {}).name == name
    assert choose_trainer("mlp", {"optimizer": "lion"}).name == "keras"
    assert choose_trainer("cnn", {}).name == "keras"


def test_a_trial_says_what_trained_it(line, trial):
    spec = trial(line)
    fast, reference = run_trial(spec), run_trial_with(KerasTrainer(), spec)
    assert (fast.trainer, reference.trainer) == ("numpy", "keras")
    assert fast.score == pytest.approx(reference.score, rel=1e-4)
    untrained = trial(line, epochs=1, initial_epoch=1)
    assert run_trial(untrained).trainer is None
