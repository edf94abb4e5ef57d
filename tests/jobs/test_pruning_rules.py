"""The rules on fixed curves."""

import pytest

from models.errors import Invalid
from models.jobs.pruning import (
    AshaRule,
    MedianRule,
    Pruner,
    PruningRule,
    check_pruning,
    running_means,
)
from models.jobs.schema.parts import PruningSchema
from models.oracles.strategy import Grid, Hyperband, Manual, Random
from models.trials.monitor import VALIDATION_LOSS, Monitor

LOSS = VALIDATION_LOSS
GOOD = [1.0, 0.5, 0.3, 0.2]
FAIR = [2.0, 1.0, 0.6, 0.4]
POOR = [3.0, 2.0, 1.8, 1.6]


def completed(pruner: Pruner, *curves: list[float]) -> None:
    for number, curve in enumerate(curves, start=1):
        pruner.add(number, curve)
        pruner.complete(number)


def epochs_survived(pruner: Pruner, trial: int, curve: list[float]) -> int:
    """After how many epochs the trial is hopeless; all of them if it never is."""
    for epoch, figure in enumerate(curve, start=1):
        if pruner.add(trial, [figure]):
            return epoch
    return len(curve)


def test_running_means() -> None:
    assert running_means([4.0, 2.0, 3.0]) == [4.0, 3.0, 3.0]


def test_median_compares_the_best_with_the_median_of_the_means_until_then() -> None:
    # Means until epoch 2: 0.75, 1.5, 2.5; until 3: 0.6, 1.2, 2.27; until 4: 0.5, 1.0, 2.1.
    pruner = Pruner(MedianRule(min_epochs=2, min_trials=3), LOSS)
    completed(pruner, GOOD, FAIR, POOR)
    assert epochs_survived(pruner, 4, [9.0, 1.51, 1.0, 1.0]) == 2
    assert epochs_survived(pruner, 5, [9.0, 1.5, 1.21, 1.0]) == 3
    assert epochs_survived(pruner, 6, [9.0, 1.5, 1.2, 1.0]) == 4
    # One good epoch is enough: it is the best so far that counts.
    assert epochs_survived(pruner, 7, [0.1, 9.0, 9.0, 9.0]) == 4


def test_median_waits_for_its_epochs_and_its_trials() -> None:
    pruner = Pruner(MedianRule(min_epochs=3, min_trials=2), LOSS)
    completed(pruner, GOOD)
    assert epochs_survived(pruner, 2, POOR) == 4
    pruner.complete(2)
    assert epochs_survived(pruner, 3, [9.0, 9.0, 9.0, 9.0]) == 3


def test_median_counts_completed_trials_only() -> None:
    pruner = Pruner(MedianRule(min_epochs=1, min_trials=1), LOSS)
    pruner.add(1, GOOD)  # still running, or stopped
    assert epochs_survived(pruner, 2, POOR) == 4
    pruner.complete(1)
    assert epochs_survived(pruner, 3, POOR) == 1


def test_median_takes_the_mean_of_a_shorter_trial_over_all_it_has() -> None:
    pruner = Pruner(MedianRule(min_epochs=1, min_trials=1), LOSS)
    completed(pruner, [2.0, 1.0])
    assert epochs_survived(pruner, 2, [2.0, 1.5, 1.5, 1.5]) == 4
    assert epochs_survived(pruner, 3, [2.0, 1.6, 1.6, 1.6]) == 2


def test_asha_lets_the_best_share_go_on_at_each_rung() -> None:
    pruner = Pruner(AshaRule(min_epochs=1, reduction_factor=2), LOSS)
    # The first to come anywhere goes on; later ones must be among the better half.
    assert epochs_survived(pruner, 1, FAIR) == 4
    assert epochs_survived(pruner, 2, POOR) == 1
    assert epochs_survived(pruner, 3, [2.5, 0.9, 0.5, 0.4]) == 1
    # Of four at the first rung the second still goes on, and fails at the rung of two epochs.
    assert epochs_survived(pruner, 4, [2.0, 1.1, 0.1, 0.1]) == 2
    assert epochs_survived(pruner, 5, GOOD) == 4


def test_asha_judges_by_the_best_until_the_rung() -> None:
    pruner = Pruner(AshaRule(min_epochs=2, reduction_factor=2), LOSS)
    assert epochs_survived(pruner, 1, [1.0, 5.0, 5.0, 5.0]) == 4
    assert epochs_survived(pruner, 2, [0.9, 9.0, 1.0, 1.0]) == 4
    assert epochs_survived(pruner, 3, [1.1, 1.1, 0.0, 0.0]) == 2


def test_asha_looks_at_every_rung_that_a_batch_of_epochs_has_passed() -> None:
    pruner = Pruner(AshaRule(min_epochs=1, reduction_factor=2), LOSS)
    pruner.add(1, GOOD)
    # Worse at epoch 2 and better at epoch 4, all of which were reported at once.
    assert pruner.add(2, [0.9, 0.8, 0.1, 0.1])
    # What was passed before is not looked at again.
    assert not Pruner(AshaRule(min_epochs=1, reduction_factor=2), LOSS).add(1, POOR)


def test_asha_has_no_place_for_what_was_forgotten() -> None:
    pruner = Pruner(AshaRule(min_epochs=1, reduction_factor=2), LOSS)
    pruner.add(1, GOOD)
    pruner.forget(1)
    assert not pruner.add(2, POOR)


@pytest.mark.parametrize("rule", [MedianRule(2, 1), AshaRule(2, 2)], ids=["median", "asha"])
def test_epochs_that_do_not_count_in_training_do_not_count_here(rule: PruningRule) -> None:
    early = Pruner(rule, LOSS, start_from_epoch=1)
    every = Pruner(rule, LOSS)
    for pruner in (early, every):
        pruner.add(1, [0.0, 0.2, 0.2, 0.2])
        pruner.complete(1)
    lucky_start = [0.0, 0.9, 0.9, 0.9]
    assert not every.add(2, lucky_start)
    assert not early.add(2, lucky_start[:2])
    assert early.add(2, lucky_start[2:])


def test_more_accuracy_is_better() -> None:
    pruner = Pruner(MedianRule(min_epochs=1, min_trials=1), Monitor("accuracy", "max"))
    completed(pruner, [0.5, 0.9])
    assert not pruner.add(2, [0.6])
    assert pruner.add(3, [0.4])


@pytest.mark.parametrize("figure", [float("nan"), float("inf")])
def test_a_figure_that_is_not_finite_is_the_worst(figure) -> None:
    pruner = Pruner(MedianRule(min_epochs=1, min_trials=1), LOSS)
    completed(pruner, GOOD)
    assert pruner.add(2, [figure])
    assert not pruner.add(3, [figure, 0.1])


@pytest.mark.parametrize("rule", [MedianRule(3, 4), AshaRule(2, 5)])
def test_rules_are_stored_as_json(rule) -> None:
    assert PruningSchema().load(PruningSchema().dump(rule)) == rule


def test_hyperband_takes_no_rule_beside_its_own() -> None:
    with pytest.raises(Invalid, match="Hyperband itself ends weak trials") as refusal:
        check_pruning(MedianRule(), Hyperband(), 50)
    assert list(refusal.value.errors) == ["pruning"]
    check_pruning(None, Hyperband(), 50)
    for strategy in (Random(), Grid(), Manual(({},))):
        check_pruning(AshaRule(), strategy, 50)


def test_a_rule_that_could_never_stop_a_trial_is_refused() -> None:
    check_pruning(MedianRule(min_epochs=9), Random(), 10)
    with pytest.raises(Invalid, match="none could be stopped after 10") as refusal:
        check_pruning(MedianRule(min_epochs=10), Random(), 10)
    assert list(refusal.value.errors) == ["pruning.min_epochs"]
