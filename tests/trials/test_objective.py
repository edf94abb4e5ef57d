import pytest

from models.data.preparation.tasks import Task
from models.errors import Invalid
from models.trials.spec import METRICS, Objective, resolve_objective


def test_the_default_is_the_least_validation_loss():
    assert resolve_objective(Task.REGRESSION) == Objective("loss", "min")


@pytest.mark.parametrize("task", list(Task))
def test_direction_follows_from_the_metric_with_and_without_val(task):
    for metric, direction in METRICS[task].items():
        assert resolve_objective(task, metric) == Objective(metric, direction)
        assert resolve_objective(task, f"val_{metric}", direction) == Objective(metric, direction)
    assert METRICS[Task.REGRESSION]["r2"] == METRICS[Task.BINARY]["auc"] == "max"


def test_an_unknown_metric_is_refused_with_the_list():
    with pytest.raises(Invalid, match="loss, mse, mae, rmse, r2") as caught:
        resolve_objective(Task.REGRESSION, "val_accuracy")
    assert list(caught.value.errors) == ["objective.metric"]


@pytest.mark.parametrize("direction", ["max", "up", ""])
def test_a_direction_that_is_wrong_is_refused(direction):
    with pytest.raises(Invalid) as caught:
        resolve_objective(Task.REGRESSION, "mae", direction)
    assert list(caught.value.errors) == ["objective.direction"]


def test_a_better_score_is_smaller_or_larger_and_any_is_better_than_none():
    smaller, larger = Objective("loss", "min"), Objective("accuracy", "max")
    assert smaller.is_better(0.1, 0.2)
    assert not smaller.is_better(0.2, 0.1)
    assert larger.is_better(0.2, 0.1)
    for objective in (smaller, larger):
        assert not objective.is_better(0.1, 0.1)
        assert objective.is_better(0.1, None)
        assert not objective.is_better(None, 0.1)
        assert not objective.is_better(None, None)


def test_scores_are_sorted_by_their_loss_and_the_best_is_found():
    scores = [0.2, None, 0.3, 0.1]
    assert sorted(scores, key=Objective("loss", "min").loss) == [0.1, 0.2, 0.3, None]
    assert sorted(scores, key=Objective("accuracy", "max").loss) == [0.3, 0.2, 0.1, None]
    assert Objective("loss", "min").best(*scores) == 0.1
    assert Objective("accuracy", "max").best(*scores) == 0.3
    assert Objective("accuracy", "max").best(None) is None
