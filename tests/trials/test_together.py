"""Several trials in one task: packed where they can be, each with its own result."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from models.data.preparation.splitting import Evaluation
from models.data.preparation.tasks import Task
from models.store.artifacts import Artifacts
from models.trials.run import run_trial_with
from models.trials.spec import FailureKind
from models.trials.together import run_trials
from models.trials.trainers.choice import prefer
from models.trials.trainers.numpy.trainer import NumpyTrainer


@pytest.fixture(autouse=True)
def _packs() -> Iterator[None]:
    prefer("pack")
    yield
    prefer("auto")


def numbered(specs):
    return [
        replace(spec, number=number, weights=f"jobs/job_1/trials/{number}")
        for number, spec in enumerate(specs)
    ]


def test_each_trial_has_the_result_that_it_would_have_alone(stored, plane, trial):
    data = stored(plane(), evaluation=Evaluation(method="cv", folds=3, test_fraction=0.1))
    rates = [{"learning_rate": rate} for rate in (0.1, 0.01, 1e30)]
    gone = replace(data, dataset="ds_gone")
    other = {"activation": "mish"}  # nobody knows it
    specs = numbered(
        [*(trial(data, values, executions=2) for values in rates), trial(gone), trial(data, other)]
    )
    told = []
    results = run_trials(specs, lambda number, epoch: told.append((number, epoch.fold)))
    assert [result.trainer for result in results] == ["pack", "pack", "pack", None, "keras"]
    for spec, result in zip(specs[:2], results, strict=False):
        alone = run_trial_with(NumpyTrainer(), spec)
        assert result.score == pytest.approx(alone.score, rel=1e-5)
        assert result.spread == pytest.approx(alone.spread, rel=1e-4)
        assert result.history["val_loss"] == pytest.approx(alone.history["val_loss"], rel=1e-5)
        assert len(result.folds) == 6
        assert all(Artifacts(data.artifacts_root).exists(name) for name in result.weights)
    assert results[2].failure.kind is FailureKind.DIVERGED
    assert results[3].failure.kind is FailureKind.ERROR
    assert results[4].failure is None  # a linear network has no activations
    assert {number for number, _ in told} == {0, 1, 2, 4}
    # All runs of all trials take their first epoch before any takes its second.
    assert told[:12] == [(number, fold) for number in (0, 1) for fold in (0, 0, 1, 1, 2, 2)]


def test_a_trial_of_several_is_stopped_alone(line, trial):
    specs = numbered([trial(line, epochs=5), trial(line, {"learning_rate": 0.01}, epochs=5)])
    results = run_trials(specs, lambda number, epoch: number == 1 and epoch.epoch == 2)
    assert [(result.stopped, result.epochs) for result in results] == [(False, 5), (True, 2)]


def test_trials_go_on_from_their_parents(line, trial):
    parents = numbered([trial(line), trial(line, {"learning_rate": 0.01})])
    children = [
        replace(parent, weights=f"{parent.weights}-more", epochs=6, initial_epoch=3, parent=parent)
        for parent in parents
    ]
    results = run_trials(children)
    for child, result in zip(children, results, strict=True):
        assert result.score == pytest.approx(run_trial_with(NumpyTrainer(), child).score, rel=1e-5)


def test_tasks_of_classes_are_packed_too(stored, plane, trial):
    columns = plane()
    columns["y"] = columns["a"] > 0
    data = stored(columns, task=Task.BINARY, types={"y": "boolean"})
    specs = numbered([trial(data, {"learning_rate": rate}, epochs=20) for rate in (0.1, 0.2)])
    results = run_trials(specs)
    assert all(result.metrics["accuracy"] > 0.5 for result in results)
