"""Hopeless trials in a search, and in a real job."""

from collections.abc import Callable
from typing import Any

import pytest

from models.errors import LeaseLost
from models.jobs.model import JobState, TrialRef, TrialState
from models.jobs.pruning import AshaRule, MedianRule
from models.jobs.reader import JobReader
from models.jobs.search.search import Search
from models.jobs.store.held_job import HeldJob
from models.oracles.strategy import Manual
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.trials.spec import Failure, FailureKind, RunReport, TrialResult
from models.trials.trainers.base import EpochReport
from tests.jobs.steps import LINEAR, best_trial, manual, next_trial, present, scored

MEDIAN = MedianRule(min_epochs=2, min_trials=1)
GOOD, POOR = [1.0, 0.5, 0.2], [3.0, 2.9, 2.8]


@pytest.fixture
def begin(begin: Callable[..., Search]) -> Callable[..., Search]:
    """The search of a new job that prunes by `MEDIAN`, unless a test says otherwise."""
    return lambda **spec: begin(**({"pruning": MEDIAN, "strategy": manual(4)} | spec))


def curve(figures: list[float], fold: int = 0, start: int = 1) -> list[EpochReport]:
    """What a run reports whose validation loss takes these values."""
    return [
        EpochReport(fold, 0, epoch, {"loss": figure / 2, "val_loss": figure})
        for epoch, figure in enumerate(figures, start)
    ]


def stopped(score: float) -> TrialResult:
    return scored(score, stopped=True)


def complete(search: Search, figures: list[float]) -> int:
    """Train the next trial to its end."""
    spec = next_trial(search)
    search.reported({spec.number: curve(figures)})
    search.completed(spec.number, scored(min(figures)))
    return spec.number


def states(reader: JobReader) -> list[TrialState]:
    (job,) = reader.page(2)
    return [trial.state for trial in reader.trials(job)]


def test_a_hopeless_trial_is_named_and_ends_with_its_score(begin, reader: JobReader) -> None:
    search = begin()
    complete(search, GOOD)
    second, third = next_trial(search), next_trial(search)
    assert search.reported({2: curve(GOOD[:1]), 3: curve(POOR[:1])}) == []
    assert search.reported({2: curve(GOOD[1:], start=2), 3: curve(POOR[1:], start=2)}) == [3]
    search.completed(second.number, scored(0.1))
    search.completed(third.number, stopped(2.8))
    (job,) = reader.page(2)
    assert states(reader) == [TrialState.COMPLETED, TrialState.COMPLETED, TrialState.STOPPED]
    progress = present(reader.with_progress(job).progress)
    assert (progress.completed, progress.stopped, progress.running) == (2, 1, 0)
    trial = reader.trial(job, 3)
    assert trial.score == 2.8
    result = present(trial.result)
    assert result["history"] == {"loss": [2.8]}
    assert "stopped" not in result


def test_without_a_rule_no_trial_is_hopeless(begin, reader: JobReader) -> None:
    search = begin(pruning=None)
    complete(search, GOOD)
    search.next_trial()
    assert search.reported({2: curve(POOR)}) == []


def test_only_the_first_run_is_judged(begin) -> None:
    search = begin()
    complete(search, GOOD)
    search.next_trial()
    assert search.reported({2: [*curve(GOOD), *curve(POOR, fold=1)]}) == []
    assert search.reported({2: curve(POOR, fold=2)}) == []


def test_a_stopped_trial_of_several_runs_does_not_win_over_a_completed_one(
    begin, artifacts: Artifacts, reader: JobReader
) -> None:
    search = begin(executions=2)
    specs = [next_trial(search) for _ in range(3)]
    for spec in specs:
        artifacts.write(f"{spec.weights}/weights-0-0.npz", b"x")

    def kept() -> list[int]:
        return [spec.number for spec in specs if artifacts.exists(spec.weights)]

    (job,) = reader.page(2)
    search.completed(1, stopped(0.3))
    assert best_trial(search).number == present(reader.best_trial(job)).number == 1
    search.completed(2, scored(0.5))
    assert best_trial(search).number == present(reader.best_trial(job)).number == 2
    assert kept() == [2, 3]
    search.completed(3, stopped(0.1))
    assert best_trial(search).number == present(reader.best_trial(job)).number == 2
    assert kept() == [2]


def test_the_best_of_stopped_trials_wins_where_none_completed(begin, reader: JobReader) -> None:
    search = begin(strategy=manual(3))
    for score in (0.3, 0.1, 0.2):
        search.completed(next_trial(search).number, stopped(score))
    (job,) = reader.page(2)
    assert best_trial(search).number == present(reader.best_trial(job)).number == 2
    assert search.stop_reason() == "exhausted"


def test_values_of_a_stopped_trial_are_not_trained_again(begin, reader: JobReader) -> None:
    one, other = ({**LINEAR, "learning_rate": rate} for rate in (0.1, 0.2))
    search = begin(strategy=Manual((one, one, other)))
    search.completed(next_trial(search).number, stopped(0.5))
    assert next_trial(search).number == 3
    (job,) = reader.page(2)
    again = reader.trial(job, 2)
    assert (again.state, again.score) == (TrialState.STOPPED, 0.5)
    assert again.reused_from == TrialRef(job.id, 1)


def test_curves_that_come_with_the_results_of_another_job_count(
    begin, take_up, crash, reader: JobReader, database: Database
) -> None:
    run = RunReport(0, 0, 1, 0.2, {"loss": 0.2}, 0.1, 3, 3, 1.0, "gone/weights-0-0.npz")
    first = begin(pruning=None, strategy=manual(1))
    first.next_trial()
    history = {"loss": GOOD, "val_loss": GOOD}
    first.completed(1, scored(0.2, history=history, folds=(run,), weights=(run.weights,)))
    HeldJob(database, reader.page(1)[0].id, "worker-1").finish(JobState.SUCCEEDED)
    second = begin(strategy=manual(2), reuse=True)
    assert next_trial(second).number == 2
    assert second.reported({2: curve(POOR)}) == [2]
    crash()
    again = take_up("worker-2")
    assert next_trial(again).number == 2
    assert again.reported({2: curve(POOR)}) == [2]


@pytest.mark.parametrize("rule", [MEDIAN, AshaRule(min_epochs=2, reduction_factor=2)])
def test_a_new_worker_knows_the_curves_of_the_one_before(begin, take_up, crash, rule) -> None:
    search = begin(pruning=rule, executions=2)
    spec = next_trial(search)
    search.reported({spec.number: [*curve(GOOD[:1]), *curve(GOOD[1:], start=2)]})
    search.reported({spec.number: curve(POOR, fold=1)})
    search.completed(spec.number, scored(0.2))
    running = next_trial(search).number
    search.reported({running: curve(GOOD)})
    crash()
    search = take_up("worker-2")
    assert next_trial(search).number == running
    # It begins anew: were its epochs of before still there, these would be later ones.
    assert search.reported({running: curve(POOR[:1])}) == []
    assert search.reported({running: curve(POOR[1:], start=2)}) == [running]


@pytest.mark.parametrize("interrupt", ["requeue", "lose"])
def test_a_trial_that_is_tried_again_begins_with_an_empty_curve(begin, interrupt: str) -> None:
    search = begin(strategy=manual(2))
    complete(search, GOOD)
    search.next_trial()
    search.reported({2: curve(GOOD)})
    if interrupt == "lose":
        search.failed(2, Failure(FailureKind.LOST, "Its process died."))
    else:
        search.requeue(2)
    assert next_trial(search).number == 2
    assert search.reported({2: curve(POOR)}) == [2]


def test_reports_are_written_by_the_owner_alone(begin, take_up, crash) -> None:
    search = begin()
    search.next_trial()
    crash()
    take_up("worker-2")
    with pytest.raises(LeaseLost):
        search.reported({1: curve(GOOD)})


def test_a_running_trial_shows_its_curve_so_far(begin, reader: JobReader, database) -> None:
    search = begin(executions=2)
    (job,) = reader.page(2)
    search.next_trial()
    assert reader.trial(job, 1).result is None
    search.reported({1: curve([3.0, 2.0])})
    search.reported(
        {1: [*curve([1.0], start=3), EpochReport(0, 1, 1, {"loss": 0, "val_loss": 5.0})]}
    )
    assert reader.trial(job, 1).result == {
        "history": {"loss": [0.75, 1.0, 0.5], "val_loss": [4.0, 2.0, 1.0]}
    }
    search.requeue(1)
    search.next_trial()
    assert reader.trial(job, 1).result is None
    HeldJob(database, job.id, "worker-1").report({1: curve([float("nan")])})
    assert reader.trial(job, 1).result == {"history": {"loss": [None], "val_loss": [None]}}


REQUEST = {
    "model": "pruned",
    "dataset": "builtin:iris",
    "target": "target",
    "search_space": {"num_layers": 1, "units": 8},
    "early_stopping": {"patience": 50},
    # So many that a trial is stopped long before, however fast it trains.
    "budget": {"epochs": 100_000},
    "seed": 1,
}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"rule": "median"}, {"min_epochs": 5, "min_trials": 5}),
        ({"rule": "median", "min_trials": 2}, {"min_epochs": 5, "min_trials": 2}),
        ({"rule": "asha", "min_epochs": 1}, {"min_epochs": 1, "reduction_factor": 4}),
        (None, None),
    ],
)
def test_a_request_is_answered_with_every_option_of_its_rule(app_client, rule, expected) -> None:
    body = {**REQUEST, "pruning": rule, "strategy": "random"}
    made = app_client.post("/tune?dry_run=true", json=body)
    assert made.status_code == 200, made.get_json()
    expected = expected and {"rule": rule["rule"], **expected}
    assert made.get_json()["request"]["pruning"] == expected
    job = app_client.post("/tune", json=body).get_json()
    assert job["request"]["pruning"] == expected


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"pruning": {"rule": "best"}}, "pruning.rule"),
        ({"pruning": {}}, "pruning.rule"),
        ({"pruning": "median"}, "pruning"),
        ({"pruning": {"rule": "median", "min_epochs": 0}}, "pruning.min_epochs"),
        ({"pruning": {"rule": "median", "min_epochs": True}}, "pruning.min_epochs"),
        ({"pruning": {"rule": "median", "reduction_factor": 3}}, "pruning.reduction_factor"),
        ({"pruning": {"rule": "asha", "min_trials": 3}}, "pruning.min_trials"),
        ({"pruning": {"rule": "asha", "reduction_factor": 1}}, "pruning.reduction_factor"),
        ({"pruning": {"rule": "asha"}, "budget": {"epochs": 5}}, "pruning.min_epochs"),
        ({"pruning": {"rule": "asha"}, "strategy": "hyperband"}, "pruning"),
    ],
)
def test_a_rule_that_does_not_fit_is_refused(app_client, changes, path: str) -> None:
    answer = app_client.post("/tune", json={**REQUEST, **changes})
    assert answer.status_code == 422
    assert list(answer.get_json()["errors"]) == [path]


def test_the_refusal_of_hyperband_says_why(app_client) -> None:
    body = {**REQUEST, "pruning": {"rule": "median"}, "strategy": "hyperband"}
    assert "itself ends weak trials" in app_client.post("/tune", json=body).get_json()["detail"]


@pytest.mark.parametrize(
    "rule", [{"rule": "median", "min_trials": 2}, {"rule": "asha", "reduction_factor": 2}]
)
def test_a_real_job_stops_its_hopeless_trials(client, rule: dict[str, Any]) -> None:
    rates = [1e-2, 2e-2, 1e-7, 2e-7]
    strategy = {"name": "manual", "trials": [{"learning_rate": rate} for rate in rates]}
    # One after the other: the good ones must be known before the others can be hopeless.
    request = {**REQUEST, "pruning": rule, "strategy": strategy, "parallelism": 1}
    done = client.wait(client.tune(request)["id"], every=0.2)
    assert done["state"] == "succeeded", done["error"]
    found = client.trials(done["id"])
    assert [trial["state"] for trial in found[2:]] == ["stopped", "stopped"]
    progress = done["progress"]
    assert progress["stopped"] == sum(trial["state"] == "stopped" for trial in found)
    assert progress["completed"] + progress["stopped"] == 4
    assert all(isinstance(trial["overfit"], bool) for trial in found)
    for whole in found[2:]:
        assert 5 <= len(whole["history"]["val_loss"]) == whole["epochs_trained"] < 100_000
        assert whole["score"] == pytest.approx(min(whole["history"]["val_loss"]), rel=1e-3)
        assert whole["overfit"] is False
        assert whole["overfit_gap"] is not None
        assert whole["failure"] is None
    assert done["best_trial"]["state"] == "completed"
    assert done["best_trial"]["number"] in (1, 2)
