"""The search over a real store and real oracles; only the training is done by hand."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from sqlalchemy import update

from models.data.preparation.splitting import Evaluation
from models.jobs.model import JobState, TrialState
from models.jobs.reader import JobReader
from models.jobs.search.search import Search
from models.jobs.store.held_job import HeldJob
from models.oracles.strategy import Bayesian, Grid, Hyperband, Manual, Random
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.store.tables import jobs
from models.trials.spec import Failure, FailureKind, TrialSpec
from tests.jobs.steps import LINEAR, best_trial, manual, next_trial, scored

SPACE = {
    "num_layers": {"type": "int", "min": 1, "max": 3},
    "units": {"type": "choice", "values": [8, 16, 32]},
    "learning_rate": {"type": "float", "min": 1e-4, "max": 1e-1, "sampling": "log"},
}
LOST = Failure(FailureKind.LOST, "Its process died.")
DIVERGED = Failure(FailureKind.DIVERGED, "The loss is not finite.")

Open = Callable[..., Search]


@pytest.fixture
def held(database: Database) -> Callable[[], HeldJob]:
    """Reads the trials of the only job."""

    def read() -> HeldJob:
        (job,) = JobReader(database).page(2)
        return HeldJob(database, job.id, "reader")

    return read


def score_of(spec: TrialSpec) -> float:
    """A score that depends on the values alone."""
    values: Mapping[str, Any] = spec.values
    return values["learning_rate"] * 10 + values.get("num_layers", 0)


def drive(
    search: Search, at_once: int = 1, most: int = 1000, score: Callable[..., float] = score_of
) -> list[TrialSpec]:
    """Train up to `most` trials as a worker would, `at_once` at a time; return them."""
    trained: list[TrialSpec] = []
    running: list[TrialSpec] = []
    while search.stop_reason() is None and len(trained) < most:
        while len(running) < at_once and (spec := search.next_trial()):
            running.append(spec)
        if not running:
            assert search.stop_reason() is not None
            break
        spec = running.pop(0)
        search.completed(spec.number, scored(score(spec)))
        trained.append(spec)
    return trained


def fail(search: Search, failure: Failure) -> int:
    """Let the next trial fail; return its number."""
    spec = next_trial(search)
    search.failed(spec.number, failure)
    return spec.number


@pytest.mark.parametrize("at_once", [1, 2, 4])
@pytest.mark.parametrize("strategy", [Random(), Grid()])
def test_the_search_ends_at_exactly_max_trials(begin: Open, held, strategy, at_once) -> None:
    search = begin(strategy=strategy, space=SPACE, budget={"max_trials": 5})
    trained = drive(search, at_once)
    assert [spec.number for spec in trained] == [1, 2, 3, 4, 5]
    assert search.stop_reason() == "max_trials"
    assert search.next_trial() is None
    assert [trial.state for trial in held().trials()] == [TrialState.COMPLETED] * 5


def test_the_search_ends_when_the_strategy_has_no_more(begin: Open) -> None:
    search = begin(strategy=manual(3))
    assert len(drive(search)) == 3
    assert search.stop_reason() == "exhausted"


def test_a_trial_has_its_values_its_epochs_and_its_data(begin: Open) -> None:
    search = begin(strategy=manual(1), executions=2, features=("petal width (cm)",))
    spec = next_trial(search)
    assert spec.values["learning_rate"] == 0.001
    assert (spec.number, spec.epochs, spec.initial_epoch, spec.executions) == (1, 2, 0, 2)
    assert (spec.data.dataset, spec.data.target) == ("ds_1", "target")
    assert spec.data.features == ("petal width (cm)",)
    assert spec.seed == spec.data.seed == 3
    assert spec.parent is None


def test_a_validation_dataset_reaches_the_trial(begin: Open) -> None:
    search = begin(evaluation=Evaluation(validation_dataset="ds_2"))
    assert next_trial(search).data.evaluation.validation_dataset == "ds_2"


def test_the_search_ends_when_enough_trials_have_failed(begin: Open, held) -> None:
    search = begin(strategy=manual(5), budget={"max_failed_trials": 2})
    fail(search, DIVERGED)
    assert search.stop_reason() is None
    assert len(drive(search, most=1)) == 1
    fail(search, DIVERGED)
    assert search.stop_reason() == "max_failed_trials"
    assert held().trial(3).failure_message == "The loss is not finite."
    assert [trial.state for trial in held().trials()] == ["failed", "completed", "failed"]


def test_a_result_with_a_failure_is_a_failed_trial_with_its_curve(begin: Open, held) -> None:
    search = begin(strategy=manual(2))
    spec = next_trial(search)
    search.completed(spec.number, scored(None, failure=DIVERGED, history={"loss": [9.0, None]}))
    (trial,) = held().trials()
    assert (trial.state, trial.failure_kind) == (TrialState.FAILED, "diverged")
    assert trial.result == {"history": {"loss": [9.0, None]}}
    assert search.best is None


@pytest.mark.parametrize(
    ("direction", "scores", "best"),
    [("min", [0.5, 0.9, 0.2, 0.1], 0.2), ("max", [0.5, 0.1, 0.7, 0.9], 0.7)],
)
def test_the_search_ends_when_a_score_is_good_enough(
    begin: Open, direction: str, scores: list[float], best: float
) -> None:
    search = begin(strategy=manual(4), direction=direction, budget={"target_score": best})
    remaining = iter(scores)
    trained = drive(search, score=lambda spec: next(remaining))
    assert len(trained) == 3
    assert search.stop_reason() == "target"
    assert (best_trial(search).number, best_trial(search).score) == (3, best)


def test_the_search_ends_when_its_time_is_up(begin: Open) -> None:
    search = begin(strategy=manual(4), budget={"max_seconds": 1e-9})
    assert search.stop_reason() == "max_seconds"


def test_time_counts_over_all_workers(
    begin: Open, take_up: Open, database: Database, crash
) -> None:
    search = begin(strategy=manual(4), budget={"max_seconds": 3600})
    assert search.stop_reason() is None
    with database.write() as connection:
        connection.execute(update(jobs).values(seconds=4000.0))
    crash()
    assert take_up("worker-2").stop_reason() == "max_seconds"


def test_results_of_equal_values_are_reused_without_training(begin: Open, held) -> None:
    one, other = ({**LINEAR, "learning_rate": rate} for rate in (0.1, 0.2))
    search = begin(strategy=Manual((one, other, one, other, one)))
    trained = drive(search)
    assert [spec.number for spec in trained] == [1, 2]
    assert search.stop_reason() == "exhausted"
    found = held().trials()
    assert [trial.score for trial in found] == [1.0, 2.0, 1.0, 2.0, 1.0]
    sources = [trial.reused_from and trial.reused_from.trial for trial in found]
    assert sources == [None, None, 1, 2, 1]
    assert {trial.state for trial in found} == {TrialState.COMPLETED}
    assert found[2].result == found[0].result
    assert found[2].seconds == 0.0
    assert best_trial(search).number == 1


def test_values_that_are_being_trained_wait_for_the_result(begin: Open, held) -> None:
    one, other = ({**LINEAR, "learning_rate": rate} for rate in (0.1, 0.2))
    search = begin(strategy=Manual((one, one, other)))
    first, third = next_trial(search), next_trial(search)
    assert (first.number, third.number) == (1, 3)
    assert search.next_trial() is None
    assert search.stop_reason() is None
    search.completed(1, scored(0.5))
    assert search.next_trial() is None
    assert held().trial(2).reused_from.trial == 1
    search.completed(3, scored(0.4))
    assert search.stop_reason() == "exhausted"


def test_values_that_failed_are_trained_again(begin: Open, held) -> None:
    values = {**LINEAR, "learning_rate": 0.1}
    search = begin(strategy=Manual((values, values)))
    fail(search, DIVERGED)
    assert [spec.number for spec in drive(search)] == [2]
    assert [trial.state for trial in held().trials()] == ["failed", "completed"]


def test_a_trial_lost_with_its_process_is_tried_once_more(begin: Open, held) -> None:
    search = begin(strategy=manual(1))
    lost = next_trial(search)
    search.failed(1, LOST)
    assert held().trial(1).state == TrialState.WAITING
    assert search.stop_reason() is None
    assert next_trial(search) == lost
    search.completed(1, scored(0.5))
    trial = held().trial(1)
    assert (trial.state, trial.retries, trial.score) == (TrialState.COMPLETED, 1, 0.5)


def test_a_trial_lost_twice_has_failed(begin: Open, held) -> None:
    search = begin(strategy=manual(1))
    assert fail(search, LOST) == fail(search, LOST) == 1
    trial = held().trial(1)
    assert (trial.state, trial.retries, trial.failure_kind) == (TrialState.FAILED, 1, "lost")
    assert search.stop_reason() == "exhausted"


@pytest.mark.parametrize("kind", [kind for kind in FailureKind if kind != FailureKind.LOST])
def test_other_failures_are_not_tried_again(begin: Open, held, kind: FailureKind) -> None:
    search = begin(strategy=manual(1))
    fail(search, Failure(kind, "no"))
    assert held().trial(1).state == TrialState.FAILED
    assert search.next_trial() is None


def test_a_requeued_trial_waits_again_and_is_not_counted_as_lost(begin: Open, held) -> None:
    search = begin(strategy=manual(1))
    before = next_trial(search)
    search.requeue(1)
    assert next_trial(search) == before
    assert held().trial(1).retries == 0


@pytest.mark.parametrize(
    "strategy", [Grid(points=2), Random(), Bayesian(num_initial_points=2)], ids=lambda s: s.name
)
def test_after_a_crash_the_search_goes_on_as_if_nothing_had_happened(
    queued, take_up: Open, reader: JobReader, database: Database, crash, strategy
) -> None:
    plan = {"strategy": strategy, "space": SPACE, "budget": {"max_trials": 6}}
    uninterrupted = queued(**plan)
    whole = drive(take_up())
    HeldJob(database, uninterrupted.id, "worker-1").finish(JobState.SUCCEEDED)
    job = queued(**plan)
    for owner in ("worker-1", "worker-2", "worker-3"):
        search = take_up(owner)
        assert len(drive(search, most=2)) == 2
        search.next_trial()  # under way when the worker dies
        crash()
    drive(take_up("worker-4"))
    found = reader.trials(job)
    assert [(trial.number, trial.values) for trial in found] == [
        (spec.number, spec.values) for spec in whole
    ]
    assert {trial.state for trial in found} == {TrialState.COMPLETED}
    assert [trial.score for trial in found] == [score_of(spec) for spec in whole]


def test_a_restored_search_knows_its_best_its_failures_and_its_results(
    begin: Open, take_up: Open, crash, held
) -> None:
    values = {**LINEAR, "learning_rate": 0.1}
    worse = {**LINEAR, "learning_rate": 0.2}
    search = begin(strategy=Manual((values, worse, worse, values)), budget={"max_failed_trials": 2})
    drive(search, most=1)
    fail(search, DIVERGED)
    crash()
    search = take_up("worker-2")
    assert (best_trial(search).number, best_trial(search).score) == (1, 1.0)
    fail(search, DIVERGED)
    assert search.stop_reason() == "max_failed_trials"
    search.next_trial()
    assert held().trial(4).reused_from.trial == 1


def test_the_earlier_of_two_equal_scores_is_the_best(begin: Open, take_up: Open, crash) -> None:
    search = begin(strategy=manual(3))
    drive(search, score=lambda spec: 0.5)
    assert best_trial(search).number == 1
    crash()
    assert best_trial(take_up("worker-2")).number == 1


@pytest.mark.parametrize(
    ("direction", "scores", "best"), [("min", [3, 1, 2], 2), ("max", [1, 3, 2], 2)]
)
def test_only_the_weights_of_the_best_trial_are_kept(
    begin: Open, artifacts: Artifacts, direction: str, scores: list[float], best: int
) -> None:
    search = begin(strategy=manual(3), direction=direction)
    folders = {}
    for score in scores:
        spec = next_trial(search)
        artifacts.write(f"{spec.weights}/weights-0-0.npz", b"x")
        folders[spec.number] = spec.weights
        search.completed(spec.number, scored(float(score)))
    assert {n for n, folder in folders.items() if artifacts.exists(folder)} == {best}
    assert search.weights_of(best_trial(search).number) == folders[best]


def test_a_trial_knows_which_score_to_beat(begin: Open) -> None:
    search = begin(strategy=Random(), space=SPACE)
    to_beat = []
    for score in (2.0, 3.0, 1.0, 5.0):
        spec = next_trial(search)
        to_beat.append(spec.to_beat)
        search.completed(spec.number, scored(score))
    assert to_beat == [None, 2.0, 2.0, 1.0]
    assert search.spec_of(best_trial(search)).to_beat is None, "what is trained again is kept"


def test_an_ensemble_needs_the_weights_of_the_twenty_best(
    begin: Open, take_up: Open, crash, artifacts: Artifacts
) -> None:
    search = begin(planned=25, strategy=manual(25), ensemble=4)
    to_beat, folders = [], {}
    for number in range(25):
        spec = next_trial(search)
        to_beat.append(spec.to_beat)
        artifacts.write(f"{spec.weights}/weights-0-0.npz", b"x")
        folders[spec.number] = spec.weights
        search.completed(spec.number, scored(100.0 - number))
    assert to_beat == [*[None] * 20, 100.0, 99.0, 98.0, 97.0, 96.0]
    kept = list(range(25, 5, -1))
    assert [trial.number for trial in search.kept] == kept
    assert {n for n, folder in folders.items() if artifacts.exists(folder)} == set(kept)
    crash()
    again = take_up("worker-2")
    assert [trial.number for trial in again.kept] == kept
    again.drop_weights()
    assert {n for n, folder in folders.items() if artifacts.exists(folder)} == set(kept)


def test_of_hyperband_all_weights_may_be_continued(begin: Open) -> None:
    search = begin(strategy=Hyperband(max_epochs=3, factor=3), space=SPACE)
    for _ in range(2):
        spec = next_trial(search)
        assert spec.to_beat is None
        search.completed(spec.number, scored(1.0))


def test_the_weights_of_a_failed_trial_are_dropped(begin: Open, artifacts: Artifacts) -> None:
    search = begin(strategy=manual(1))
    spec = next_trial(search)
    artifacts.write(f"{spec.weights}/weights-0-0.npz", b"x")
    search.failed(spec.number, DIVERGED)
    assert not artifacts.exists(spec.weights)


def test_hyperband_keeps_what_it_may_continue_until_the_end(
    begin: Open, artifacts: Artifacts
) -> None:
    search = begin(strategy=Hyperband(max_epochs=4, factor=2), space=SPACE, budget={"epochs": 4})
    specs = []
    while spec := search.next_trial():
        if spec.parent is not None:
            assert artifacts.exists(spec.parent.weights)
            assert spec.initial_epoch > 0
        artifacts.write(f"{spec.weights}/weights-0-0.npz", b"x")
        search.completed(spec.number, scored(score_of(spec)))
        specs.append(spec)
    assert search.stop_reason() == "exhausted"
    assert any(spec.parent for spec in specs)
    assert all(artifacts.exists(spec.weights) for spec in specs)
    search.drop_weights()
    kept = [spec.weights for spec in specs if artifacts.exists(spec.weights)]
    assert kept == [search.weights_of(best_trial(search).number)]
