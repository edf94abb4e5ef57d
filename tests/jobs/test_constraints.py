"""Searches with constraints and several objectives; only the training is done by hand."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from models.errors import Conflict, NotFound
from models.jobs.commands import JobCommands
from models.jobs.model import JobState
from models.jobs.reader import JobReader
from models.jobs.search.reuse import training_digest
from models.jobs.search.search import Search
from models.jobs.spec import JobSpec
from models.jobs.store.held_job import HeldJob
from models.retention.units import Room, Unit, UnitNeeds
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.trials.spec import Constraint, Objective, TrialResult, scored_by
from tests.jobs.steps import LINEAR, manual, present, scored

SMALL = Constraint("parameters", max=100)
SIZE = Objective("parameters", "min")


@pytest.fixture
def train(artifacts: Artifacts) -> Callable[..., list[float | None]]:
    """Train the trials of a search, given their losses and sizes; return what each had to beat."""

    def run(search: Search, *results: tuple[float, float]) -> list[float | None]:
        to_beat = []
        for loss, parameters in results:
            spec = search.next_trial()
            assert spec is not None
            to_beat.append(spec.to_beat)
            artifacts.write(f"{spec.weights}/weights-0-0.npz", b"w")
            metrics = {"loss": loss, "accuracy": 1 - loss, "parameters": parameters}
            result = scored_by(scored(None, metrics=metrics), spec.objectives, spec.constraints)
            search.completed(spec.number, result)
        return to_beat

    return run


@pytest.fixture
def job(reader: JobReader) -> Callable[[], Any]:
    """The only job."""
    return lambda: reader.page(1)[0]


def kept(artifacts: Artifacts, job: str) -> set[int]:
    return {int(file.name.split("/")[3]) for file in artifacts.files(f"jobs/{job}/trials")}


def test_a_trial_that_breaks_a_constraint_never_wins(
    begin: Callable[..., Search], reader: JobReader, train: Any, job: Any, artifacts: Artifacts
) -> None:
    search = begin(strategy=manual(4), constraints=(SMALL,))
    to_beat = train(search, (0.1, 500), (0.4, 100), (0.2, 101), (0.3, 90))
    assert to_beat == [None, None, 0.4, 0.4]
    assert search.best is not None
    assert search.best.number == 4
    assert present(reader.best_trial(job())).number == 4
    assert kept(artifacts, job().id) == {4}
    listed = reader.trials(job(), sort="score")
    assert [(trial.number, trial.fits) for trial in listed] == [
        (4, True),
        (2, True),
        (3, False),
        (1, False),
    ]
    assert listed[-1].result is not None
    assert listed[-1].result["violations"] == {"parameters": 4.0}
    following = [
        [trial.number for trial in reader.trials(job(), sort="score", after=number)]
        for number in (4, 2, 3, 1)
    ]
    assert following == [[2, 3, 1], [3, 1], [1], []]


def test_a_worker_that_takes_over_knows_the_same_best_trial(
    begin: Callable[..., Search], take_up_again: Any, train: Any
) -> None:
    search = begin(strategy=manual(3), constraints=(SMALL,))
    train(search, (0.1, 500), (0.4, 100))
    again = take_up_again()
    assert again.best is not None
    assert again.best.number == 2


@pytest.fixture
def take_up_again(database: Database, artifacts: Artifacts, reader: JobReader) -> Any:
    def take() -> Search:
        job = reader.page(1)[0]
        search = Search(job, HeldJob(database, job.id, "worker-1"), artifacts)
        search.resume()
        return search

    return take


def test_a_target_counts_only_where_the_constraints_are_kept(
    begin: Callable[..., Search], train: Any
) -> None:
    budget = {"target_score": 0.2}
    search = begin(strategy=manual(4), constraints=(SMALL,), budget=budget)
    train(search, (0.1, 500))
    assert search.stop_reason() is None
    train(search, (0.15, 50))
    assert search.stop_reason() == "target"


def test_several_objectives_keep_the_weights_of_their_front(
    begin: Callable[..., Search], train: Any, job: Any, artifacts: Artifacts, reader: JobReader
) -> None:
    search = begin(strategy=manual(4), other_objectives=(SIZE,))
    to_beat = train(search, (0.4, 100), (0.1, 500), (0.5, 200), (0.2, 90))
    assert to_beat == [None] * 4
    assert kept(artifacts, job().id) == {2, 4}
    assert reader.front(job()) == [2, 4]
    assert present(reader.best_trial(job())).number == 2
    assert reader.trial(job(), 4).scores == {"loss": 0.2, "parameters": 90}
    assert search.best is not None
    assert search.best.number == 2


@pytest.fixture
def ended(begin: Callable[..., Search], database: Database, train: Any, job: Any) -> Any:
    """An ended job with a front of two trials, another one, and one that breaks a constraint."""
    aims = {"other_objectives": (SIZE,), "constraints": (SMALL,)}
    search = begin(strategy=manual(4), budget={"max_trials": 4}, **aims)
    train(search, (0.4, 50), (0.1, 90), (0.5, 60), (0.05, 500))
    held = HeldJob(database, job().id, "worker-1")
    assert held.end_search("max_trials", 1.0, job().changes)
    held.finish(JobState.SUCCEEDED)
    return job()


def test_the_weights_of_the_front_are_needed_when_the_job_has_ended(
    ended: Any, database: Database
) -> None:
    needs = UnitNeeds(database).of(Unit(Room.JOBS, ended.id))
    needed = [f"jobs/{ended.id}/trials/{number}/w" in needs for number in (1, 2, 3, 4)]
    assert needed == [True, True, False, False]


def test_a_trial_of_an_ended_job_can_be_chosen(ended: Any, commands: JobCommands, job: Any) -> None:
    chosen = commands.finish(ended.id, 3)
    assert (chosen.state, chosen.chosen_trial) == (JobState.QUEUED, 3)
    assert chosen.stop_reason == "max_trials"
    assert commands.finish(ended.id, 3) == chosen
    with pytest.raises(Conflict, match="choose a trial when it has ended"):
        commands.finish(ended.id, 1)


def test_a_trial_that_may_not_win_cannot_be_chosen(ended: Any, commands: JobCommands) -> None:
    with pytest.raises(Conflict, match="Trial 4 breaks a constraint"):
        commands.finish(ended.id, 4)
    with pytest.raises(NotFound, match="There is no trial 9"):
        commands.finish(ended.id, 9)


def test_a_raised_budget_forgets_what_was_chosen(ended: Any, commands: JobCommands) -> None:
    commands.finish(ended.id, 1)
    again = commands.change(ended.id, {"max_trials": 9})
    assert again.chosen_trial is None


def test_results_of_another_class_or_without_a_latency_are_not_reused(
    make_spec: Callable[..., JobSpec],
) -> None:
    def digest(*aims: Objective, **changes: Any) -> str:
        first, *others = aims
        spec = make_spec(objective=first, other_objectives=tuple(others), **changes)
        return training_digest(spec, "ds_1", LINEAR, 4)

    f1, ill, well = (Objective("f1", "max", label) for label in (None, "ill", "well"))
    latency = Objective("latency_ms", "min")
    bounded = Constraint("latency_ms", max=1.0)
    assert len({digest(f1), digest(ill), digest(well), digest(f1, latency)}) == 4
    assert digest(f1, latency) == digest(f1, constraints=(bounded,))
    logarithmic = Objective("log_loss", "min")  # monitors the loss, too
    assert digest(logarithmic) == digest(Objective("loss", "min"), SIZE, constraints=(SMALL,))


def test_a_result_is_held_against_the_aims_of_each_job() -> None:
    result = scored(None, metrics={"loss": 0.5, "recall": 0.6, "parameters": 90.0, "f1": None})
    recall = Objective("recall", "max")
    found = scored_by(result, [recall, SIZE], [Constraint("recall", min=0.8), SMALL])
    assert (found.score, found.scores) == (0.6, {"recall": 0.6, "parameters": 90.0})
    assert found.violations == {"recall": pytest.approx(0.25)}
    assert found.violation == pytest.approx(0.25)
    undefined = scored_by(result, [recall], [Constraint("f1", min=0.1)])
    assert undefined.violation == 1e9
    failed = scored_by(result, [recall, Objective("f1", "max")], [])
    assert failed.failure is not None
    assert "'f1' is undefined" in failed.failure.message
    with pytest.raises(KeyError):
        scored_by(result, [recall], [Constraint("latency_ms", max=1)])


@pytest.mark.parametrize(
    ("constraint", "value", "excess"),
    [
        (Constraint("loss", max=2.0), 2.0, 0.0),
        (Constraint("loss", max=2.0), 3.0, 0.5),
        (Constraint("loss", min=-4.0, max=1.0), -6.0, 0.5),
        (Constraint("loss", max=0.0), 0.25, 0.25),
        (Constraint("loss", max=1e-300), 1e300, 1e9),
    ],
    ids=str,
)
def test_an_excess_is_a_share_of_the_bound(
    constraint: Constraint, value: float, excess: float
) -> None:
    assert constraint.excess(value) == pytest.approx(excess)


def test_a_value_just_beyond_a_bound_breaks_it() -> None:
    assert Constraint("loss", max=1e300).excess(1.0000000000000002e300) > 0


def test_a_message_names_the_value_and_the_bound() -> None:
    assert SMALL.describe(120) == "parameters is 120, above 100"
    assert Constraint("recall", min=0.8).describe(0.5) == "recall is 0.5, below 0.8"
    assert SMALL.describe(None) == "parameters is undefined"


def test_results_of_earlier_versions_break_nothing() -> None:
    assert replace(TrialResult(), score=1.0).violation == 0
