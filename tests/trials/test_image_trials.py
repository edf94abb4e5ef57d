import numpy as np
import pytest

from models.data.preparation.tasks import Task
from models.networks.families import build
from models.networks.inputs import Inputs
from models.networks.outputs import Outputs
from models.registry.onnx.model import OnnxAnswers, merge
from models.space.drawing import Values
from models.trials.data import load, prepare
from models.trials.run import run_trial
from models.trials.spec import FailureKind, Objective
from models.trials.trainers.keras import forward

SMALL: Values = {
    "conv_blocks": 1,
    "filters": 4,
    "num_layers": 0,
    "optimizer": "adam",
    "learning_rate": 0.02,
    "dropout": 0.1,
}


@pytest.fixture
def bars(stored):
    """Images of 6×5 with a bright row or a bright column, and which of both."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 60, (120, 6, 5)).astype(np.uint8)
    for number, image in enumerate(images):
        place = generator.integers(5)
        image[(slice(None), place) if number % 2 else (place, slice(None))] += 180
    columns = {"x": images, "y": np.arange(120) % 2.0}
    return stored(columns, Task.BINARY, types={"x": "image"})


def spec(trial, data, **options):
    options = {"network": "cnn", "epochs": 4, "objective": Objective("accuracy", "max")} | options
    return trial(data, values=SMALL, **options)


def tuned(trial, data, **options):
    return run_trial(spec(trial, data, **options))


def test_the_same_trial_gives_the_same_scores_again(bars, trial):
    first, again = tuned(trial, bars), tuned(trial, bars)
    assert first.failure is None
    assert first.metrics == again.metrics
    assert first.history == again.history
    assert tuned(trial, bars, seed=2).metrics != first.metrics


def test_a_bright_row_is_told_from_a_bright_column(bars, trial):
    result = tuned(trial, bars, epochs=30)
    assert result.metrics["accuracy"] > 0.9
    assert result.metrics["loss"] < 0.4
    assert result.seconds > 0


def test_a_trial_goes_on_from_the_kernels_of_its_parent(bars, trial):
    parent = tuned(trial, bars)
    onward = {"initial_epoch": 4, "parent": spec(trial, bars), "weights": "child"}
    child = tuned(trial, bars, epochs=6, **onward)
    assert child.failure is None
    assert child.epochs == 6
    assert child.history["loss"][0] < parent.history["loss"][0]


def test_a_table_fails_the_trial_at_the_network(line, trial):
    result = tuned(trial, line, objective=Objective("loss", "min"))
    assert result.failure.kind == FailureKind.ERROR
    assert "network: 'cnn' learns from images" in result.failure.message


def test_more_images_than_go_through_at_once_are_all_answered(stored):
    images = np.random.default_rng(0).integers(0, 256, (1100, 28, 28)).astype(np.uint8)
    columns = {"x": images, "y": np.arange(1100) % 3.0}
    ref = stored(columns, Task.MULTICLASS, types={"x": "image"})
    (fold,), data = prepare(ref).folds, load(ref)
    x = fold.preprocessor.transform(data.dataset, slice(None))
    model = build("cnn", SMALL, Inputs((28, 28, 1)), Outputs.of(Task.MULTICLASS, 3), seed=1)
    whole = np.asarray(model(x))
    np.testing.assert_allclose(forward(model, x), whole, atol=1e-6)
    graph = OnnxAnswers.load(merge(fold.preprocessor, fold.encoder, model))
    np.testing.assert_allclose(graph(data.dataset, np.arange(1100), ("x",)), whole, atol=1e-5)
