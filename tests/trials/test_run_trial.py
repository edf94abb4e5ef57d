import json
import pickle
from dataclasses import asdict
from statistics import fmean, pstdev
from typing import Any

import numpy as np
import pytest

from models.data.library.builtin_loading import load_builtin
from models.data.library.storage import write_dataset
from models.data.preparation.splitting import Evaluation
from models.data.preparation.tasks import Task
from models.networks.families import build
from models.networks.inputs import Inputs
from models.networks.outputs import Outputs
from models.store.artifacts import Artifacts
from models.trials.data import prepare
from models.trials.run import load_weights, run_trial, train_if_missing
from models.trials.spec import DataRef, EarlyStopping, FailureKind, Objective
from models.trials.trainers.base import EpochReport
from tests.trials.results import failure, history, metrics

CV = Evaluation(method="cv", folds=3, test_fraction=0.1)
NAMES = {"loss", "mse", "mae", "rmse", "r2", "parameters"}


def test_a_trial_answers_scores_in_the_targets_own_units(line, trial):
    result = run_trial(trial(line, epochs=15))
    assert result.failure is None
    assert set(metrics(result)) == NAMES
    assert 50 < metrics(result)["rmse"] < 400
    assert result.score == metrics(result)["loss"] == metrics(result)["mse"]
    assert metrics(result)["r2"] > 0.9
    assert result.spread == 0.0
    assert result.best_epoch is not None
    assert history(result)["val_loss"][result.best_epoch - 1] == pytest.approx(
        result.score, rel=1e-3
    )
    assert (len(result.folds), result.parameters, result.epochs) == (1, 3, 15)
    assert result.seconds > 0


def test_specs_and_results_travel_between_processes_and_as_json(line, trial):
    spec = trial(line, early_stopping=EarlyStopping(3, 0.5))
    assert pickle.loads(pickle.dumps(spec)) == spec
    result = run_trial(spec)
    assert pickle.loads(pickle.dumps(result)) == result
    assert json.loads(json.dumps(asdict(result), allow_nan=False))["score"] == result.score


def test_every_run_has_a_seed_of_its_own_and_equal_trials_have_the_same(line, trial):
    def seeds(values, **options):
        result = run_trial(trial(line, values, executions=2, epochs=1, **options))
        return [run.seed for run in result.folds]

    values = {"batch_size": 8, "learning_rate": 0.2}
    first = seeds(values)
    others = seeds(values | {"learning_rate": 0.3}) + seeds(values, seed=2)
    assert len({*first, *others}) == 6
    again = dict(reversed(values.items()))
    assert seeds(again, job="job_2", number=5, weights="jobs/job_2/trials/5") == first


@pytest.mark.parametrize("metric", sorted(NAMES))
def test_the_score_is_the_objective(line, metric, trial):
    objective = Objective(metric, "max" if metric == "r2" else "min")
    result = run_trial(trial(line, objective=objective, epochs=1))
    assert result.score == metrics(result)[metric] == result.folds[0].score


def test_stored_weights_give_the_score_again(line, trial):
    result = run_trial(trial(line, values={"num_layers": 1, "units": 4}))
    [name] = result.weights
    weights = load_weights(Artifacts(line.artifacts_root), name)
    values = {"num_layers": 1, "units": 4}
    model = build("mlp", values, Inputs((2,)), Outputs.of(line.task), 9)
    model.set_weights(weights)
    [fold] = prepare(line).folds
    predictions = fold.encoder.decode(np.asarray(model(fold.training.x_validation)))
    assert ((predictions - fold.validation_truth) ** 2).mean() == pytest.approx(result.score)


@pytest.mark.parametrize(("metric", "sign"), [("loss", -1), ("r2", 1)])
def test_weights_are_written_unless_another_trial_has_won_already(line, trial, metric, sign):
    objective = Objective(metric, "min" if metric == "loss" else "max")
    artifacts = Artifacts(line.artifacts_root)
    parts = {"objective": objective, "epochs": 1}
    score = run_trial(trial(line, weights="jobs/job_1/trials/7", **parts)).score
    for better, is_kept in ((0.001, False), (0.0, True), (-0.001, True)):
        spec = trial(
            line, weights=f"jobs/job_1/trials/{better}", to_beat=score + sign * better, **parts
        )
        result = run_trial(spec)
        assert result.score == score
        assert artifacts.exists(*result.weights) is is_kept


def test_folds_and_executions_are_averaged(stored, plane, trial):
    data = stored(plane(), evaluation=CV)
    result = run_trial(trial(data, executions=2, epochs=2))
    assert [(run.fold, run.execution) for run in result.folds] == [
        (fold, execution) for fold in range(3) for execution in range(2)
    ]
    scores: list[Any] = [run.score for run in result.folds]
    assert len(set(scores)) == 6
    assert result.score == fmean(scores)
    assert result.spread == pstdev(scores) > 0
    runs: list[Any] = [run.metrics["mae"] for run in result.folds]
    assert metrics(result)["mae"] == fmean(runs)
    assert len(set(result.weights)) == 6
    assert all(Artifacts(data.artifacts_root).exists(name) for name in result.weights)
    alone = run_trial(trial(data, epochs=2))
    assert [run.score for run in alone.folds] == scores[::2]


def test_method_train_scores_on_the_training_rows(stored, trial):
    rows = {"a": [0.0, 0.0, 1.0, 1.0], "b": [0.0, 1.0, 0.0, 1.0], "y": [0.0, 1.0, 1.0, 0.0]}
    data = stored(rows, task=Task.BINARY, evaluation=Evaluation(method="train"))
    values = {"num_layers": 1, "units": 16, "activation": "tanh", "optimizer": "adam"}
    result = run_trial(
        trial(data, values=values, epochs=60, objective=Objective("accuracy", "max"))
    )
    assert result.score == 1.0
    assert metrics(result)["loss"] == pytest.approx(result.folds[0].training_loss)
    assert result.overfit_gap is None
    assert result.overfit is None


@pytest.mark.parametrize(
    ("labels", "kind", "task"),
    [
        (["no", "yes"], "category", Task.BINARY),
        ([0.0, 1.0], "boolean", Task.BINARY),
        ([3.0, 7.0], "number", Task.BINARY),
        (["a", "b", "c"], "category", Task.MULTICLASS),
        ([1.0, 2.0, 5.0], "number", Task.MULTICLASS),
    ],
)
def test_classes_of_any_type(stored, labels, kind, task, plane, trial):
    rows = plane()
    number = np.digitize(rows["a"], [0] if len(labels) == 2 else [-0.6, 0.6])
    chosen = [labels[each] for each in number]
    rows["y"] = np.array(chosen, dtype=object if kind == "category" else float)
    data = stored(rows, task=task, types={"y": kind})
    result = run_trial(trial(data, values={"learning_rate": 1.0}, epochs=25))
    assert set(metrics(result)) == {
        "loss",
        "accuracy",
        "balanced_accuracy",
        "precision",
        "recall",
        "f1",
        "auc",
        "log_loss",
        "parameters",
    }
    assert metrics(result)["accuracy"] > 0.8
    assert metrics(result)["auc"] > 0.9
    assert set(history(result)) == {"loss", "val_loss", "accuracy", "val_accuracy"}


def test_images(tmp_path, trial):
    digits = load_builtin("digits")
    write_dataset(digits, Artifacts(str(tmp_path)), "ds_digits")
    data = DataRef(
        str(tmp_path), "ds_digits", "target", Task.MULTICLASS, Evaluation(), 1, features=("x",)
    )
    result = run_trial(trial(data, values={"num_layers": 1}, epochs=3))
    assert result.failure is None
    assert metrics(result)["accuracy"] > 0.8


def test_divergence_is_a_result_on_real_data(tmp_path, trial):
    write_dataset(load_builtin("diabetes"), Artifacts(str(tmp_path)), "ds_diabetes")
    data = DataRef(str(tmp_path), "ds_diabetes", "target", Task.REGRESSION, Evaluation(), 1)
    result = run_trial(trial(data, values={"learning_rate": 10.0}, epochs=50))
    assert failure(result).kind is FailureKind.DIVERGED
    assert "epoch" in failure(result).message
    assert result.score is None
    assert result.metrics is None
    assert history(result)["loss"][-1] is None or history(result)["val_loss"][-1] is None
    json.dumps(asdict(result), allow_nan=False)


def test_early_stopping_and_best_epoch(line, trial):
    still = {"learning_rate": 1e-9}
    rule = EarlyStopping(patience=2, min_delta=1.0)
    result = run_trial(trial(line, values=still, epochs=9, early_stopping=rule))
    assert result.epochs == 3
    assert result.best_epoch == 1 + int(np.argmin(history(result)["val_loss"]))


def test_a_child_continues_from_its_parents_best_weights(line, trial):
    first = trial(line, epochs=2)
    parent = run_trial(first)
    second = trial(line, epochs=4, initial_epoch=2, parent=first, weights="jobs/job_1/trials/2")
    child = run_trial(second)
    assert child.failure is None
    assert child.epochs == 4
    assert child.best_epoch in (3, 4)
    assert len(history(child)["loss"]) == 2
    assert history(child)["loss"][0] < history(parent)["loss"][1]
    assert child.weights == ("jobs/job_1/trials/2/weights-0-0.npz",)


def test_a_parent_whose_weights_are_gone_is_trained_again(line, trial):
    first = trial(line, epochs=2)
    second = trial(line, epochs=4, initial_epoch=2, parent=first, weights="jobs/job_1/trials/2")
    run_trial(first)
    child = run_trial(second)
    artifacts = Artifacts(line.artifacts_root)
    artifacts.delete(first.weights)
    again = run_trial(second)
    assert artifacts.exists(first.weights)
    assert (again.score, again.history) == (child.score, child.history)


def test_a_stopped_trial_whose_weights_are_gone_is_trained_as_far_as_it_came(line, trial):
    spec = trial(line, epochs=50, executions=2)
    result = run_trial(spec, lambda report: (report.execution, report.epoch) == (1, 2))
    (run,) = result.folds
    assert (result.stopped, run.epochs) == (True, 50)
    artifacts = Artifacts(line.artifacts_root)
    weights = artifacts.read(run.weights)
    assert train_if_missing(spec, result) is None
    artifacts.delete(spec.weights)
    again = train_if_missing(spec, result)
    assert again is not None
    assert (again.score, again.folds[0].epochs) == (result.score, 50)
    assert artifacts.read(run.weights) == weights
    one = trial(line, epochs=50, weights="jobs/one")
    stopped = run_trial(one, lambda report: report.epoch == 3)
    artifacts.delete(one.weights)
    again = train_if_missing(one, stopped)
    assert again is not None
    assert (again.score, again.epochs, stopped.epochs) == (stopped.score, 3, 3)


def test_a_parent_that_cannot_be_trained_again_is_an_error_of_the_trial(line, caplog, trial):
    lost = trial(line, epochs=1, values={"learning_rate": 1e30}, weights="jobs/none")
    result = run_trial(trial(line, initial_epoch=1, parent=lost))
    assert failure(result).kind is FailureKind.ERROR
    assert "weights-0-0.npz" in failure(result).message
    assert "Trial 1 of job job_1 failed." in caplog.text


def test_a_full_memory_is_told_apart(line, trial):
    class FullDevice:
        name = "full"

        def train(self, runs, data, report=None):
            raise MemoryError("OOM when allocating tensor")

    result = run_trial(trial(line), trainer=FullDevice())
    assert failure(result).kind is FailureKind.OUT_OF_MEMORY
    assert "OOM when allocating" in failure(result).message


def test_a_trial_without_epochs_is_an_error(line, trial):
    assert failure(run_trial(trial(line, epochs=2, initial_epoch=2))).kind is FailureKind.ERROR


def test_an_objective_that_is_undefined_is_an_error(stored, plane, trial, validated_on):
    rows = plane()
    data = stored(rows)
    data = validated_on(data, stored({name: cells[:1] for name, cells in rows.items()}))
    result = run_trial(trial(data, objective=Objective("r2", "max"), epochs=1))
    assert failure(result).kind is FailureKind.ERROR
    assert result.score is None
    assert metrics(result)["r2"] is None
    assert metrics(result)["mae"] > 0


def test_epochs_are_reported(line, trial):
    told: list[EpochReport] = []
    result = run_trial(trial(line, epochs=2), told.append)
    assert [each.epoch for each in told] == [1, 2]
    assert [each.logs["val_loss"] for each in told] == history(result)["val_loss"]


def test_a_network_that_learns_its_rows_by_heart_is_overfit(stored, trial):
    generator = np.random.default_rng(0)
    noise = {name: generator.normal(size=24) for name in ("a", "b", "c", "d", "y")}
    values = {"num_layers": 1, "units": 256, "optimizer": "adam", "learning_rate": 0.02}
    data = stored(noise, evaluation=Evaluation(validation_fraction=0.4, test_fraction=0.0))
    # Early stopping would keep a network from it; a short training must not be flagged.
    by_heart = run_trial(trial(data, values=values, epochs=20))
    fold = by_heart.folds[0]
    assert by_heart.overfit_gap == pytest.approx(metrics(by_heart)["loss"] - fold.training_loss)
    assert by_heart.overfit
