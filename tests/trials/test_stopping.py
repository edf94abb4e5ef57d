"""A trial that is asked to stop while it trains, by every trainer."""

import pytest

from models.data.preparation.splitting import Evaluation
from models.store.artifacts import Artifacts
from models.trials.run import run_trial
from models.trials.spec import EarlyStopping
from models.trials.trainers.base import EpochReport
from models.trials.trainers.keras import KerasTrainer
from models.trials.trainers.numpy.trainer import NumpyTrainer

CV = Evaluation(method="cv", folds=3, test_fraction=0.1)


@pytest.fixture(params=[KerasTrainer, NumpyTrainer], ids=lambda trainer: trainer.name)
def run(request):
    """Run a trial that is asked to stop wherever `answer` is true."""

    def run_until(answer, spec):
        return run_trial(spec, answer, request.param())

    return run_until


def test_a_stopped_trial_keeps_its_curve_and_is_scored_by_its_best_epoch(run, line, trial):
    spec = trial(line, epochs=10)
    result = run(lambda report: report.epoch >= 3, spec)
    assert result.stopped
    assert result.failure is None
    assert result.epochs == 3
    assert {len(figures) for figures in result.history.values()} == {3}
    assert result.history["val_loss"][result.best_epoch - 1] == pytest.approx(
        result.score, rel=1e-3
    )
    assert result.overfit_gap is not None
    [name] = result.weights
    assert Artifacts(line.artifacts_root).exists(name)
    whole = run(lambda report: False, spec)
    assert not whole.stopped
    assert whole.history["val_loss"][:3] == result.history["val_loss"]


def test_a_trial_stopped_in_its_first_run_has_no_other(run, stored, plane, trial):
    data = stored(plane(), evaluation=CV)
    result = run(lambda report: report.epoch == 2, trial(data, epochs=5))
    assert result.stopped
    assert [(report.fold, report.epochs) for report in result.folds] == [(0, 2)]
    assert result.spread == 0.0


def test_a_run_that_had_just_begun_does_not_spoil_the_score(run, stored, plane, trial):
    data = stored(plane(), evaluation=CV)
    result = run(lambda report: report.fold == 2, trial(data, epochs=4))
    assert result.stopped
    assert [(report.fold, report.epochs) for report in result.folds] == [(0, 4), (1, 4)]
    assert len(result.weights) == 2


def test_a_trial_that_ends_by_itself_is_not_stopped(run, line, trial):
    at_its_end = run(lambda report: report.epoch == 4, trial(line, epochs=4))
    assert not at_its_end.stopped
    still = trial(line, {"learning_rate": 1e-9}, early_stopping=EarlyStopping(2, 1.0), epochs=9)
    by_its_own_rule = run(lambda report: report.epoch == 3, still)
    assert by_its_own_rule.epochs == 3
    assert not by_its_own_rule.stopped


def test_the_telling_goes_on_without_an_answer(run, line, trial):
    told: list[EpochReport] = []
    result = run(told.append, trial(line, epochs=2))
    assert [report.epoch for report in told] == [1, 2]
    assert not result.stopped
