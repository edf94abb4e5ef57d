import pytest

from models.networks.inputs import Inputs
from models.networks.size import size_of
from models.space.drawing import Values
from models.space.hyperparameters import ACTIVATIONS, OPTIMIZERS, SCHEDULES, hyperparameters_of
from models.trials.run import run_trial
from models.trials.trainers.choice import TrainerChoice
from models.trials.trainers.keras import KerasTrainer

ROWS, INPUTS, UNITS = 1000, Inputs((20,)), 3
VALUES: Values = {"num_layers": 2, "units": [64, 32], "batch_size": 50}
# Forward, and backward to the weights and to the signal.
STEP = 3 * 50 * (20 * 64 + 64 * 32 + 32 * 3)
UNKNOWN = [
    ("cnn", {}),
    ("mlp", {"optimizer": "lion"}),
    ("mlp", {"activation": ["relu", "swiglu"]}),
    ("mlp", {"lr_schedule": "warm_restarts"}),
    ("mlp", {"residual": True}),
]


def chosen(values, network="mlp", preference="auto", gpu=False, threshold=STEP, rows=ROWS):
    return TrainerChoice(preference, gpu, threshold).name(network, values, rows, INPUTS, UNITS)


def test_numpy_can_train_every_perceptron():
    values = {name: row.default for name, row in hyperparameters_of("mlp").items()}
    assert chosen(values) == "numpy"
    for name, choices in {
        "activation": ACTIVATIONS,
        "optimizer": OPTIMIZERS,
        "lr_schedule": SCHEDULES,
    }.items():
        assert {chosen({name: each}) for each in choices} == {"numpy"}
    assert chosen({"activation": list(ACTIVATIONS)}) == "numpy"


@pytest.mark.parametrize("preference", ["auto", "numpy", "keras"])
@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize(("network", "values"), UNKNOWN)
def test_keras_trains_what_numpy_cannot(network, values, gpu, preference):
    assert chosen(values, network, preference, gpu, threshold=10**18) == "keras"


@pytest.mark.parametrize(
    ("gpu", "threshold", "expected"),
    [(False, 0, "numpy"), (True, STEP + 1, "numpy"), (True, STEP, "keras"), (True, 0, "keras")],
)
def test_a_gpu_gets_the_steps_of_the_threshold_and_above(gpu, threshold, expected):
    assert chosen(VALUES, gpu=gpu, threshold=threshold) == expected
    assert chosen(VALUES, preference="numpy", gpu=gpu, threshold=threshold) == "numpy"
    assert chosen(VALUES, preference="keras", gpu=gpu, threshold=threshold) == "keras"


def test_a_step_has_no_more_rows_than_there_are():
    assert size_of("mlp", VALUES, INPUTS, UNITS).training_multiply_adds(50) == STEP
    assert chosen(VALUES | {"batch_size": 5000}, gpu=True, rows=49) == "numpy"
    assert chosen(VALUES | {"batch_size": 5000}, gpu=True, rows=50) == "keras"


def test_a_trial_names_its_trainer(line, trial):
    spec = trial(line)
    fast, reference = run_trial(spec), run_trial(spec, trainer=KerasTrainer())
    assert (fast.trainer, reference.trainer) == ("numpy", "keras")
    assert fast.score == pytest.approx(reference.score, rel=1e-4)
    untrained = trial(line, epochs=1, initial_epoch=1)
    assert run_trial(untrained).trainer is None
