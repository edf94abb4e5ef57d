"""Which trial is trained next, over a real ledger and real oracles."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from models.jobs.queries import JobQueries
from models.jobs.search import Search
from models.jobs.spec import NarrowFrom
from models.jobs.steering import Steering
from models.oracles.strategy import Bayesian, Grid, Hyperband, Manual, Random
from models.space.hyperparameters import TrialValues
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.store.tables import jobs, now
from models.trials.spec import TrialSpec
from tests.jobs.steps import scored

SPACE = {
    "num_layers": {"type": "int", "min": 1, "max": 3},
    "units": {"type": "int", "min": 8, "max": 512},
    "learning_rate": {"type": "float", "min": 1e-4, "max": 1e-1, "sampling": "log"},
}
GRID = {"num_layers": 1, "units": {"type": "choice", "values": [64, 8, 32, 16]}}
NEVER = -1.0  # a loss that no trial has
OWN = {"num_layers": 3, "units": 512}

Open = Callable[..., Search]


def seconds(values: TrialValues) -> float:
    """What a trial of these values takes."""
    units = values["units"]
    assert isinstance(values["num_layers"], int)
    assert isinstance(units, int)
    return float(values["num_layers"] * units)


@pytest.fixture
def take_up(database: Database, queries: JobQueries, artifacts: Artifacts, claim) -> Open:
    """The search of the next job that is free, as a new worker finds it."""

    def search(owner: str = "worker-1") -> Search:
        job, ledger = claim(owner)
        ledger.set_dataset("ds_1")
        return Search(queries.get(job.id), ledger, artifacts, seconds=seconds)

    return search


@pytest.fixture
def begin(queued, take_up: Open) -> Open:
    """The search of a new job."""

    def search(target: float | None = NEVER, trials: int | None = 40, **spec: Any) -> Search:
        queued(**({"space": SPACE, "budget": {"max_trials": trials, "target": target}} | spec))
        return take_up()

    return search


def train(search: Search, most: int = 1000) -> list[TrialSpec]:
    """Train up to `most` trials one after the other, as a worker would; answer them."""
    trained: list[TrialSpec] = []
    while len(trained) < most and search.stop_reason() is None:
        search.look_ahead(2)
        spec = search.next_trial()
        if spec is None:
            break
        search.completed(spec.number, scored(spec.values["learning_rate"] * 10))
        trained.append(spec)
    return trained


def values(trained: list[TrialSpec]) -> list[TrialValues]:
    return [spec.values for spec in trained]


def test_the_quickest_of_a_batch_come_first_if_a_target_ends_the_search(begin: Open) -> None:
    sorted_ = values(train(begin(strategy=Random())))
    drawn = values(train(begin(strategy=Random(), target=None)))
    assert len(sorted_) == len(drawn) == 40
    for start in (0, 16, 32):
        batch = slice(start, start + 16)
        assert sorted_[batch] == sorted(drawn[batch], key=seconds)
    assert sorted_ != drawn


@pytest.mark.parametrize("target", [NEVER, None])
def test_a_grid(begin: Open, target: float | None) -> None:
    trained = train(begin(strategy=Grid(), space=GRID, target=target, trials=None))
    assert [v["units"] for v in values(trained)] == (
        [64, 8, 32, 16] if target is None else [8, 16, 32, 64]
    )


def test_bayesian_search_sorts_its_random_beginning_alone(begin: Open) -> None:
    strategy = Bayesian(num_initial_points=6)
    sorted_ = values(train(begin(strategy=strategy, trials=10)))
    drawn = values(train(begin(strategy=strategy, trials=10, target=None)))
    assert sorted_[:6] == sorted(drawn[:6], key=seconds) != drawn[:6]
    # From then on by the same results, so the same proposals.
    assert sorted_[6:] == drawn[6:]


@pytest.mark.parametrize(
    "strategy",
    [
        Manual(({"units": 64, "num_layers": 1}, {"units": 8, "num_layers": 1})),
        Hyperband(max_epochs=4),
        Bayesian(initial_trials=(OWN,), num_initial_points=4),
    ],
    ids=lambda strategy: strategy.name,
)
def test_others_are_trained_as_they_come(begin: Open, strategy) -> None:
    budget = {"epochs": 4, "target": NEVER, "max_trials": 8}
    numbers = [spec.number for spec in train(begin(strategy=strategy, budget=budget))]
    assert len(numbers) >= 2
    assert numbers == sorted(numbers)


def test_bayesian_search_that_takes_results_over_begins_with_no_batch(
    begin: Open, queries: JobQueries
) -> None:
    search = begin(strategy=Bayesian(num_initial_points=6), narrow_from=NarrowFrom("job_1"))
    train(search, 1)
    (job,) = queries.page(2)
    assert len(queries.trials(job, limit=100)) < 6


def test_trials_of_the_users_own_come_first(
    begin: Open, queries: JobQueries, database: Database
) -> None:
    search = begin(strategy=Random())
    train(search, 3)
    (job,) = queries.page(2)
    Steering(database).give(job.id, [OWN])
    search.take_changes(queries.get(job.id))
    assert train(search, 1)[0].values["units"] == 512


def test_another_worker_goes_on_in_the_same_order(
    begin: Open, take_up: Open, database: Database
) -> None:
    begun = values(train(begin(strategy=Random()), 5))
    with database.write() as connection:
        connection.execute(update(jobs).values(lease_until=now() - timedelta(seconds=1)))
    rest = values(train(take_up("worker-2")))
    assert begun + rest == values(train(begin(strategy=Random())))


def test_a_raised_budget_goes_on_with_what_was_not_trained(
    begin: Open, queries: JobQueries, database: Database
) -> None:
    search = begin(strategy=Random(), trials=10)
    trained = values(train(search, 4))
    (job,) = queries.page(2)
    Steering(database).raise_budget(job.id, {"max_trials": 40})
    search.take_changes(queries.get(job.id))
    trained += values(train(search))
    drawn = values(train(begin(strategy=Random(), target=None)))
    assert trained[:4] == sorted(drawn[:10], key=seconds)[:4]
    assert sorted(trained[:16], key=seconds) == sorted(drawn[:16], key=seconds)
    assert trained[16:32] == sorted(drawn[16:32], key=seconds)
