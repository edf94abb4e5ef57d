from dataclasses import replace

import numpy as np
import pytest

from models.data.preparation.splitting import Evaluation
from models.data.preparation.tasks import Task
from models.errors import Invalid
from models.trials.data import load, prepare


def test_data_is_prepared_once_for_all_trials(line):
    assert prepare(line) is prepare(replace(line))
    assert prepare(replace(line, seed=8)) is not prepare(line)


def test_a_fold_learns_its_scaling_from_its_training_rows_alone(stored, plane):
    rows = plane()
    rows["a"] = rows["a"] * 10 + 3
    [fold] = prepare(stored(rows)).folds
    assert fold.training.x_train.mean(axis=0) == pytest.approx([0, 0], abs=1e-5)
    assert fold.training.x_train.std(axis=0) == pytest.approx([1, 1], rel=1e-4)
    assert abs(fold.training.x_validation.mean(axis=0)).max() > 1e-3
    assert fold.training.y_train.std() == pytest.approx(1, rel=1e-4)
    assert fold.training.target_scale == pytest.approx(np.std(fold.training_truth))


def test_folds_cover_all_rows_but_the_test_part(stored, plane):
    data = prepare(stored(plane(), evaluation=Evaluation(method="cv", folds=3)))
    assert len(data.folds) == 3
    assert sum(len(fold.validation_truth) for fold in data.folds) == 54


def test_chosen_features_only(stored, plane):
    [fold] = prepare(stored(plane(), features=("b",))).folds
    assert fold.training.input_shape == (1,)
    assert fold.preprocessor.columns == ("b",)


def test_a_validation_dataset_is_scored_whole(stored, plane, validated_on):
    other = stored(plane(11, seed=1))
    data = validated_on(stored(plane()), other)
    [fold] = prepare(data).folds
    assert fold.validation_truth.tolist() == plane(11, seed=1)["y"].tolist()
    assert fold.training.x_validation.shape == (11, 2)
    assert len(fold.training.x_train) == 54


@pytest.mark.parametrize(
    ("columns", "types", "message"),
    [
        ({"a": [1.0], "y": [1.0]}, {}, "no column 'b'"),
        ({"a": [1.0], "b": [1.0], "y": [1.0]}, {"b": "boolean"}, "is of type boolean"),
        ({"a": [1.0], "b": [1.0], "y": [np.nan]}, {}, "None of its rows has a value in 'y'"),
    ],
)
def test_a_validation_dataset_must_have_the_same_columns(
    stored, columns, types, message, plane, validated_on
):
    data = validated_on(stored(plane()), stored(columns, types=types))
    with pytest.raises(Invalid, match=message) as caught:
        prepare(data)
    assert list(caught.value.errors) == ["evaluation.validation_dataset"]


def test_method_train_validates_on_the_training_rows(stored, plane):
    data = prepare(stored(plane(), evaluation=Evaluation(method="train")))
    [fold] = data.folds
    assert fold.training.x_validation is fold.training.x_train
    assert data.reference_loss is None


def test_reference_losses_are_those_of_constant_predictions(stored, plane):
    regression = prepare(stored(plane()))
    assert regression.reference_loss == pytest.approx(np.var(regression.folds[0].training_truth))
    rows = plane() | {"y": np.arange(60) % 2.0}
    assert prepare(stored(rows, task=Task.BINARY)).reference_loss == pytest.approx(
        np.log(2), rel=1e-2
    )


def test_training_rows_are_encoded_without_their_own_target(stored):
    generator = np.random.default_rng(0)
    names = np.array([f"v{number}" for number in range(200)], dtype=object)
    columns = {"c": names[generator.integers(200, size=800)], "y": generator.normal(size=800)}
    data = stored(columns, types={"c": "category"})
    [fold] = prepare(data).folds
    [encoded] = fold.preprocessor.encoded
    rows = load(data).split.folds[0].train
    seen = encoded.transform(columns["c"][rows])[:, 0]
    trained = fold.training.x_train[:, -1]
    assert np.corrcoef(seen, fold.training_truth)[0, 1] > 0.3
    assert np.corrcoef(trained, fold.training_truth)[0, 1] < 0.15
