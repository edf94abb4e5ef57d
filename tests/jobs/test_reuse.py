"""Results that one job reuses from another, over a real store and real oracles."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, text

from models.data.preparation.splitting import Evaluation
from models.jobs.commands import JobCommands
from models.jobs.model import JobState, TrialRef
from models.jobs.reader import JobReader
from models.jobs.search.reuse import training_digest
from models.jobs.search.search import Search
from models.jobs.store.held_job import HeldJob
from models.oracles.strategy import Hyperband, Manual, Random
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.store.tables import trials
from models.trials.spec import (
    EarlyStopping,
    Failure,
    FailureKind,
    Objective,
    RunReport,
    TrialResult,
)
from tests.jobs.steps import LINEAR, best_trial, manual, next_trial, present, scored

METRICS = {"loss": 0.5, "accuracy": 0.75}
SPACE = {"learning_rate": {"type": "float", "min": 1e-4, "max": 1e-1, "sampling": "log"}}


@pytest.fixture
def begin(begin: Callable[..., Search]) -> Callable[..., Search]:
    """The search of a new job, which reuses what it can unless `reuse` is false."""
    return lambda **spec: begin(**({"reuse": True} | spec))


@pytest.fixture
def newest(database: Database, reader: JobReader) -> Callable[[], list[Any]]:
    """The trials of the newest job."""

    def read() -> list[Any]:
        return HeldJob(database, reader.page(1)[0].id, "reader").trials()

    return read


def result(spec: Any, metrics: dict[str, Any] = METRICS, spread: float = 0.25) -> TrialResult:
    """The result of two executions of a trial."""
    runs = tuple(
        RunReport(
            fold=0,
            execution=execution,
            seed=execution,
            score=metrics[spec.objective.metric],
            metrics={k: v and v + sign * spread for k, v in metrics.items()},
            training_loss=0.1,
            best_epoch=2,
            epochs=2,
            seconds=1.0,
            weights=f"{spec.weights}/weights-0-{execution}.npz",
        )
        for execution, sign in ((0, -1), (1, 1))
    )
    return scored(
        metrics[spec.objective.metric],
        metrics=metrics,
        folds=runs,
        weights=tuple(run.weights for run in runs),
    )


def train(search: Search, artifacts: Artifacts, **options: Any) -> list[Any]:
    """Train all that is left; return what was trained."""
    trained = []
    while spec := search.next_trial():
        answer = result(spec, **options)
        for name in answer.weights:
            artifacts.write(name, name.encode())
        search.completed(spec.number, answer)
        trained.append(spec)
    assert search.stop_reason() is not None
    return trained


def test_results_of_equal_trials_of_another_job_are_reused(
    begin, reader: JobReader, artifacts: Artifacts, newest
) -> None:
    assert len(train(begin(strategy=manual(3)), artifacts)) == 3
    (source,) = reader.page(1)
    earlier = newest()
    assert len(train(begin(strategy=manual(5)), artifacts)) == 2
    found = newest()
    assert [trial.reused_from for trial in found] == [
        *[TrialRef(source.id, number) for number in (1, 2, 3)],
        None,
        None,
    ]
    for trial, former in zip(found, earlier, strict=False):
        assert (trial.state, trial.score, trial.seconds) == ("completed", former.score, 0.0)
        assert trial.result["history"] == former.result["history"]
        assert trial.started <= trial.finished


def test_the_job_can_refuse_results_of_others(begin, artifacts: Artifacts, newest) -> None:
    train(begin(strategy=manual(2)), artifacts)
    one = {**LINEAR, "learning_rate": 0.001}
    search = begin(strategy=Manual((one, one)), reuse=False)
    assert len(train(search, artifacts)) == 1
    assert newest()[1].reused_from.trial == 1
    train(begin(strategy=manual(2)), artifacts)
    assert all(trial.reused_from for trial in newest())


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": "ds_2"},
        {"target": "other"},
        {"features": ("petal width (cm)",)},
        {"evaluation": Evaluation(validation_fraction=0.3)},
        {"evaluation": Evaluation(group="petal width (cm)")},
        {"evaluation": Evaluation(time="petal width (cm)")},
        {"evaluation": Evaluation(seed=9)},
        {"allow_negative": True},
        {"class_weight": "balanced"},
        {"class_weight": (("0", 1.0), ("1", 2.0), ("2", 1.0))},
        {"sample_weight": "petal width (cm)"},
        {"executions": 2},
        {"early_stopping": EarlyStopping()},
        {"early_stopping": EarlyStopping(start_from_epoch=1)},
        {"objective": Objective("accuracy", "max")},
        {"seed": 4},
        {"budget": {"epochs": 3}},
        {"strategy": Manual(({**LINEAR, "learning_rate": 0.5},))},
    ],
    ids=str,
)
def test_trials_that_differ_in_anything_are_trained(begin, artifacts: Artifacts, change) -> None:
    train(begin(strategy=manual(1)), artifacts)
    assert len(train(begin(**{"strategy": manual(1)} | change), artifacts)) == 1


def test_a_test_dataset_and_a_seed_that_is_the_same_change_no_result(
    begin, artifacts: Artifacts
) -> None:
    first = Evaluation(test_fraction=0.0)
    train(begin(strategy=manual(1), evaluation=first, seed=4), artifacts)
    same = Evaluation(test_fraction=0.0, test_dataset="ds_9", seed=4)
    assert train(begin(strategy=manual(1), evaluation=same, seed=4), artifacts) == []


def test_another_objective_is_scored_from_the_same_metrics(
    begin, artifacts: Artifacts, newest
) -> None:
    watching = EarlyStopping(metric="accuracy")
    train(begin(strategy=manual(1), direction="min", early_stopping=watching), artifacts)
    same = EarlyStopping()
    assert train(begin(strategy=manual(1), direction="max", early_stopping=same), artifacts) == []
    (trial,) = newest()
    assert trial.score == 0.75
    assert trial.result["spread"] == pytest.approx(0.25)
    assert [run["score"] for run in trial.result["folds"]] == [0.5, 1.0]


def test_a_metric_that_is_unknown_is_trained_for(begin, artifacts: Artifacts) -> None:
    plan = {"strategy": manual(1), "early_stopping": EarlyStopping(metric="accuracy")}
    train(begin(**plan), artifacts, metrics={"loss": 0.5, "accuracy": None})
    assert len(train(begin(**plan, direction="max"), artifacts)) == 1


def test_failed_trials_are_not_reused(begin, artifacts: Artifacts) -> None:
    search = begin(strategy=manual(1))
    spec = next_trial(search)
    search.failed(spec.number, Failure(FailureKind.DIVERGED, "no"))
    assert len(train(begin(strategy=manual(1)), artifacts)) == 1


def test_the_search_ends_at_a_target_that_a_reused_result_reaches(
    begin, artifacts: Artifacts
) -> None:
    train(begin(strategy=manual(3)), artifacts)
    search = begin(strategy=manual(3), budget={"target_score": 0.6})
    assert search.next_trial() is None
    assert search.stop_reason() == "target"
    assert best_trial(search).number == 1


def test_oracles_learn_from_reused_results(begin, artifacts: Artifacts) -> None:
    plan = {"strategy": Random(), "space": SPACE, "budget": {"max_trials": 4}}
    first = train(begin(**plan), artifacts)
    search = begin(**plan | {"budget": {"max_trials": 6}})
    later = train(search, artifacts)
    assert [spec.number for spec in later] == [5, 6]
    assert not [s for s in later if s.values in [spec.values for spec in first]]


def test_the_weights_come_along_while_they_are_there(begin, artifacts: Artifacts, newest) -> None:
    """Of three equally good trials the first job keeps the weights of the first."""
    train(begin(strategy=manual(3)), artifacts)
    kept = newest()[0].result["weights"]
    search = begin(strategy=manual(3))
    assert train(search, artifacts) == []
    weights = newest()[0].result["weights"]
    assert [name.rpartition("/")[0] for name in weights] == [
        search.weights_of(best_trial(search).number)
    ] * 2
    for old, new in zip(kept, weights, strict=True):
        assert artifacts.read(new) == artifacts.read(old) == old.encode()
    search.drop_weights()
    assert all(artifacts.exists(name) for name in kept + weights)


def test_weights_that_are_gone_stay_away(
    begin, artifacts: Artifacts, newest, reader: JobReader
) -> None:
    train(begin(strategy=manual(1)), artifacts)
    artifacts.delete(f"jobs/{reader.page(1)[0].id}")
    search = begin(strategy=manual(1))
    train(search, artifacts)
    assert not artifacts.exists(search.weights_of(best_trial(search).number))
    assert search.spec_of(best_trial(search)).weights == search.weights_of(
        best_trial(search).number
    )


def test_a_better_trial_of_its_own_costs_the_other_job_nothing(
    begin, artifacts: Artifacts, newest
) -> None:
    train(begin(strategy=manual(1)), artifacts)
    kept = newest()[0].result["weights"]
    search = begin(strategy=manual(2))
    (spec,) = train(search, artifacts, metrics={"loss": 0.1, "accuracy": 0.9})
    assert best_trial(search).number == spec.number == 2
    assert all(artifacts.exists(name) for name in kept)


def test_trials_that_continue_others_are_reused_too(begin, artifacts: Artifacts) -> None:
    plan = {
        "strategy": Hyperband(max_epochs=4, factor=2),
        "space": SPACE,
        "budget": {"epochs": 4},
        "seed": 5,
    }
    first = train(begin(**plan), artifacts)
    assert any(spec.parent for spec in first)
    assert train(begin(**plan), artifacts) == []


def test_a_result_survives_the_job_that_trained_it(
    begin, database: Database, commands: JobCommands, reader: JobReader, artifacts, newest
) -> None:
    train(begin(strategy=manual(1)), artifacts)
    (first,) = reader.page(1)
    train(begin(strategy=manual(1)), artifacts)
    (second,) = reader.page(1)
    HeldJob(database, first.id, "worker-1").finish(JobState.FAILED)
    commands.delete(first.id)
    assert train(begin(strategy=manual(1)), artifacts) == []
    assert newest()[0].reused_from == TrialRef(second.id, 1)


def test_trials_with_reused_results_do_not_shorten_the_estimate(
    begin, artifacts: Artifacts, reader: JobReader
) -> None:
    train(begin(strategy=manual(1)), artifacts)
    train(begin(strategy=manual(2)), artifacts)
    job = replace(reader.page(1)[0], planned_trials=3)
    assert present(reader.with_progress(job).progress).eta_seconds == 2.0


def test_the_store_is_asked_by_an_index(database: Database) -> None:
    query = select(trials).where(
        trials.c.digest == "x", trials.c.state == "completed", trials.c.job != "y"
    )
    compiled = query.compile(database.engine, compile_kwargs={"literal_binds": True})
    with database.read() as connection:
        steps = connection.execute(text(f"EXPLAIN QUERY PLAN {compiled}")).all()
    assert "ix_trials_digest" in str(steps)


def test_the_digest_of_a_continued_training_differs_from_that_of_one_in_one_go(make_spec) -> None:
    spec = make_spec()
    digests = {
        training_digest(spec, "ds_1", LINEAR, 4),
        training_digest(spec, "ds_1", LINEAR, 4, 2, "parent"),
        training_digest(spec, "ds_1", LINEAR, 4, 2, "other parent"),
        training_digest(spec, "ds_1", LINEAR, 4, 1, "parent"),
        training_digest(make_spec(seed=9), "ds_1", LINEAR, 4),
    }
    assert len(digests) == 5


@pytest.mark.parametrize(
    ("objective", "options", "is_same"),
    [
        (Objective("log_loss", "min"), {}, True),
        (Objective("accuracy", "max"), {}, False),
        (Objective("accuracy", "max"), {"early_stopping": EarlyStopping(metric="loss")}, True),
        (Objective("loss", "min"), {"early_stopping": EarlyStopping(start_from_epoch=2)}, False),
    ],
)
def test_an_objective_is_part_of_a_digest_only_where_it_changes_the_training(
    make_spec, objective, options, is_same
) -> None:
    plain = training_digest(make_spec(early_stopping=EarlyStopping()), "ds_1", LINEAR, 4)
    spec = make_spec(**{"objective": objective, "early_stopping": EarlyStopping()} | options)
    assert (training_digest(spec, "ds_1", LINEAR, 4) == plain) is is_same


def test_a_digest_of_an_earlier_version_is_found_again(make_spec) -> None:
    spec = make_spec(early_stopping=EarlyStopping())
    assert training_digest(spec, "ds_1", LINEAR, 4).startswith("e5daaf598147d198")
