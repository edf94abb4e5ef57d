"""Class weights and sample weights, from stored rows to trained networks."""

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from models.data.preparation.splitting import Evaluation
from models.data.preparation.tasks import Task
from models.trials.data import PreparedFold, load, prepare, prepare_fold
from models.trials.run import run_trial
from tests.trials.results import history, metrics

CV = Evaluation(method="cv", folds=3, test_fraction=0.1)


@pytest.fixture
def rare():
    """Two overlapping classes, of which the second, "yes", has one row in twelve."""
    generator = np.random.default_rng(0)
    is_rare = np.arange(1200) % 12 == 0
    a, b = generator.normal(size=(2, 1200)) + 1.2 * is_rare
    labels = np.where(is_rare, "yes", "no").astype(object)
    return {"a": a, "b": b, "w": np.arange(1200) % 7 + 0.5, "y": labels}


@pytest.fixture
def classes(stored, rare):
    """The stored rows of `rare` with these weights."""

    def name(**options):
        return stored(rare, task=Task.BINARY, types={"y": "category"}, **options)

    return name


def test_a_class_that_no_row_is_trained_on_does_not_count(stored):
    moments = np.arange(100.0)
    labels = np.where(moments >= 80, "new", np.where(moments % 4 == 0, "a", "b")).astype(object)
    columns = {"a": moments % 7, "t": moments, "y": labels}
    evaluation = Evaluation(time="t")
    data = stored(
        columns,
        task=Task.MULTICLASS,
        types={"y": "category"},
        class_weight="balanced",
        evaluation=evaluation,
    )
    [fold] = prepare(data).folds
    assert fold.training.outputs.units == 3
    assert fold.class_factors is not None
    assert fold.class_factors["new"] == 1.0
    assert weights_of(fold).mean() == pytest.approx(1.0)
    assert fold.validation_truth.tolist().count("new") == 10


def weights_of(fold: PreparedFold) -> np.ndarray:
    assert fold.training.weights_train is not None
    return fold.training.weights_train


def test_rows_have_no_weights_unless_asked_for(classes):
    assert prepare(classes()).folds[0].training.weights_train is None


def test_balanced_is_worked_out_on_the_training_rows_of_each_fold(classes):
    folds = prepare(classes(class_weight="balanced", evaluation=CV)).folds
    assert len(folds) == 3
    for fold in folds:
        truth = fold.training_truth.astype(str)
        wanted = compute_class_weight("balanced", classes=np.array(["no", "yes"]), y=truth)
        assert fold.class_factors == pytest.approx(dict(zip(["no", "yes"], wanted, strict=True)))
        weights = weights_of(fold)
        assert weights.dtype == np.float32
        np.testing.assert_allclose(weights, wanted[(truth == "yes").astype(int)], rtol=1e-6)
        assert weights.mean() == pytest.approx(1.0)
    # 1,080 rows with 90 of the rare class, of which each fold trains on 720 with 60.
    shares = {"no": 720 / (2 * 660), "yes": 720 / (2 * 60)}
    assert folds[0].class_factors == pytest.approx(shares)


def test_weights_of_classes_and_rows_are_multiplied(classes, rare):
    data = classes(class_weight=(("yes", 4.0),), sample_weight="w")
    [fold] = prepare(data).folds
    assert fold.class_factors == {"no": 1.0, "yes": 4.0}
    assert fold.preprocessor.columns == ("a", "b")
    numbers = np.array([24, 7, 25, 3])
    weights = weights_of(prepare_fold(load(data), data, numbers))
    np.testing.assert_allclose(weights, rare["w"][numbers] * [4.0, 1.0, 1.0, 1.0], rtol=1e-6)


@pytest.mark.parametrize("network_values", [{"num_layers": 1, "units": 8}, {}], ids=str)
def test_balanced_finds_more_of_the_rare_class(classes, trial, network_values):
    values = {"learning_rate": 0.3} | network_values
    plain, balanced = (
        metrics(run_trial(trial(classes(class_weight=weight), values=values, epochs=20)))
        for weight in (None, "balanced")
    )
    assert plain["recall"] < 0.5
    assert balanced["recall"] > plain["recall"] + 0.3
    assert balanced["balanced_accuracy"] > plain["balanced_accuracy"] + 0.1


def test_rows_without_weight_teach_nothing(stored, plane, trial, validated_on):
    sound = stored(plane(40, seed=1))
    rows = plane(120) | {"w": np.arange(120) % 3}
    rows["y"] = np.where(rows["w"] == 0, rows["y"] + 20_000, rows["y"])
    fooled, right = (
        metrics(run_trial(trial(validated_on(stored(rows, **options), sound), epochs=30)))
        for options in ({"features": ("a", "b")}, {"sample_weight": "w"})
    )
    assert fooled["mae"] > 5000
    assert right["mae"] < 500


def test_only_the_training_loss_is_weighted(stored, plane, trial):
    rows = plane() | {"w": np.full(60, 8.0)}
    # Eight times the loss is eight times the gradient, which makes no difference to Adam.
    values = {"optimizer": "adam"}
    plain = run_trial(trial(stored(rows, features=("a", "b")), values=values))
    data = stored(rows, features=("a", "b"), sample_weight="w")
    weighted = run_trial(trial(data, values=values))
    eightfold = [8 * loss for loss in history(plain)["loss"]]
    assert history(weighted)["loss"] == pytest.approx(eightfold, rel=1e-4)
    for name in ("val_loss", "mae", "val_mae"):
        assert history(weighted)[name] == pytest.approx(history(plain)[name], rel=1e-4)
    assert weighted.metrics == pytest.approx(plain.metrics, rel=1e-4)
    assert weighted.overfit_gap == pytest.approx(plain.overfit_gap, rel=1e-3)
